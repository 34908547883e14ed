"""Signs with a private key inside a hardware module or any other PKCS #11 token; the key never leaves it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from provenance.errors import SignerError
from provenance.signer import Algorithm, algorithm_of

if TYPE_CHECKING:
    import pkcs11

_PROBE: Final = b"imprimatur: does this key belong to the certificate?"
_KEY_TYPES: Final = {"es": "EC", "ps": "RSA", "ed": "EC_EDWARDS"}
_DIGESTS: Final[dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}


class Pkcs11Signer:
    """Signs with the key of a token that belongs to the first certificate of the chain.

    Thread-safe: one session, one signature at a time; a session that the token has closed is opened again once.
    """

    is_development = False

    def __init__(
        self, library: Path, token: str, pin: str, certificate_chain: Path, *, key_label: str | None = None
    ) -> None:
        """Open the token and find the key.

        Args:
            library: the vendor's PKCS #11 module (`.so`).
            token: the token's label. pin: of its user.
            certificate_chain: PEM file, signing certificate first.
            key_label: only keys of this label are tried; None for all.

        Raises:
            SignerError: module, token, PIN, certificate or key are not as expected.
        """
        try:
            self._chain_pem = certificate_chain.read_text("ascii")
            leaf = x509.load_pem_x509_certificates(self._chain_pem.encode())[0]
        except (OSError, ValueError) as error:
            raise SignerError(
                f"The certificate chain {certificate_chain} cannot be read ({error}); expected PEM, leaf first."
            ) from error
        self._public: Any = leaf.public_key()
        self._alg = algorithm_of(self._public)
        self._library, self._token, self._pin, self._key_label = library, token, pin, key_label
        self._lock = threading.Lock()
        self._session: pkcs11.Session | None = None
        self._key: Any = None
        with self._lock:
            self._open()

    def __repr__(self) -> str:
        return f"Pkcs11Signer(token={self._token!r}, alg={self._alg!r})"

    @property
    def alg(self) -> Algorithm:
        return self._alg

    @property
    def certificate_chain_pem(self) -> str:
        return self._chain_pem

    def sign(self, data: bytes) -> bytes:
        """Raw COSE signature over `data`. Raises `SignerError`; the token's own error is its cause."""
        import pkcs11

        with self._lock, _token_errors(f"token {self._token!r} did not sign"):
            try:
                return self._sign(self._key, data)
            except pkcs11.exceptions.PKCS11Error:
                # Tokens close sessions on their own (reset, time-out, restart of a network module).
                self._close()
                self._open()
                return self._sign(self._key, data)

    def close(self) -> None:
        """Give the session back."""
        with self._lock:
            self._close()

    def _open(self) -> None:
        import pkcs11

        with _token_errors(f"token {self._token!r} of {self._library} cannot be used; check module, label and PIN"):
            token = pkcs11.lib(str(self._library)).get_token(token_label=self._token)
            self._session = token.open(user_pin=self._pin)
            # Only keys of the right type are tried: SoftHSM 2.6 crashes on a mechanism for keys of another type.
            attributes: dict[Any, Any] = {
                pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
                pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType[_KEY_TYPES[self._alg[:2]]],
            }
            if self._key_label is not None:
                attributes[pkcs11.Attribute.LABEL] = self._key_label
            keys = list(self._session.get_objects(attributes))
        self._key = next((key for key in keys if self._belongs(key)), None)
        if self._key is None:
            self._close()
            raise SignerError(
                f"Token {self._token!r} has {len(keys)} private keys of the certificate's type"
                + (f" labelled {self._key_label!r}" if self._key_label else "")
                + ", but none belongs to the first certificate of the chain; put the signing certificate first."
            )

    def _close(self) -> None:
        import pkcs11

        session, self._session, self._key = self._session, None, None
        if session is not None:
            try:
                session.close()
            except pkcs11.exceptions.PKCS11Error:
                return  # the token has forgotten it already

    def _belongs(self, key: Any) -> bool:
        """Whether a key's signature verifies under the certificate; tokens need not hold the public half."""
        import pkcs11

        try:
            _verify(self._public, self._alg, self._sign(key, _PROBE))
        except (InvalidSignature, pkcs11.exceptions.PKCS11Error, ValueError):
            return False
        return True

    def _sign(self, key: Any, data: bytes) -> bytes:
        from pkcs11 import MGF, Mechanism

        bits = self._alg[2:]
        if self._alg == "ed25519":
            return bytes(key.sign(data, mechanism=Mechanism.EDDSA))
        digest = hashlib.new(f"sha{bits}", data).digest()
        if self._alg.startswith("es"):
            return bytes(key.sign(digest, mechanism=Mechanism.ECDSA))  # raw r ‖ s (PKCS #11 3.0 §2.3.1)
        parameters = (Mechanism[f"SHA{bits}"], MGF[f"SHA{bits}"], len(digest))
        return bytes(key.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters))


def _verify(public: Any, alg: Algorithm, signature: bytes) -> None:
    match public:
        case ec.EllipticCurvePublicKey():
            half = len(signature) // 2
            r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            public.verify(encode_dss_signature(r, s), _PROBE, ec.ECDSA(_DIGESTS[alg[2:]]()))
        case rsa.RSAPublicKey():
            digest = _DIGESTS[alg[2:]]()
            public.verify(signature, _PROBE, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        case ed25519.Ed25519PublicKey():
            public.verify(signature, _PROBE)


@contextmanager
def _token_errors(what: str) -> Iterator[None]:
    try:
        import pkcs11
    except ImportError as error:
        raise SignerError("Signing with a PKCS #11 token needs the package python-pkcs11; install it.") from error
    try:
        yield
    except (pkcs11.exceptions.PKCS11Error, RuntimeError, OSError) as error:
        raise SignerError(f"{what} ({type(error).__name__} {error})".rstrip() + ".") from error
