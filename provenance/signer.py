"""Who signs a credential: one protocol, and its implementation over a key in a PEM file.

A key management service or a hardware module implements `Signer` in a dozen lines: it hands out its
certificate chain and signs bytes; the private key never has to be in this process.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from provenance.errors import SignerError

Algorithm = Literal["es256", "es384", "es512", "ps256", "ps384", "ps512", "ed25519"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

# C2PA 2.4 §13.2.1: the allowed algorithms; the curve (or the modulus) must fit the hash.
_CURVES: dict[str, Algorithm] = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}
_HASHES: dict[str, type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
MINIMUM_RSA_BITS = 2048


def algorithm_of(public_key: object) -> Algorithm:
    """The COSE algorithm for a public key (C2PA 2.4 §13.2.1); raises `SignerError` where C2PA allows none."""
    match public_key:
        case ec.EllipticCurvePublicKey(curve=curve) if curve.name in _CURVES:
            return _CURVES[curve.name]
        case rsa.RSAPublicKey(key_size=bits) if bits >= MINIMUM_RSA_BITS:
            return "ps256"
        case ed25519.Ed25519PublicKey():
            return "ed25519"
    raise SignerError(
        "The key's curve or size is not allowed by C2PA; use P-256, P-384, P-521, "
        f"RSA with at least {MINIMUM_RSA_BITS} bits, or Ed25519."
    )


@runtime_checkable
class Signer(Protocol):
    """Signs the bytes of a C2PA claim (COSE `Sig_structure`).

    `sign` returns the raw signature that COSE wants: for ECDSA the fixed-length `r ‖ s`
    (RFC 9053 §2.1), never DER. It may raise anything; the caller keeps the cause.
    """

    @property
    def alg(self) -> Algorithm: ...

    @property
    def certificate_chain_pem(self) -> str:
        """Leaf first, then each issuer; the root may be left out."""
        ...

    @property
    def is_development(self) -> bool:
        """True where the certificate was made on this machine and nobody vouches for it."""
        ...

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True)
class PemSigner:
    """Signs with a private key held in memory; made by `PemSigner.load`."""

    certificate_chain_pem: str
    private_key: PrivateKey = field(repr=False)
    is_development: bool = False

    @classmethod
    def load(
        cls,
        certificate_chain: Path,
        private_key: Path,
        *,
        password: bytes | None = None,
        is_development: bool = False,
    ) -> PemSigner:
        """Read chain and key from PEM files; the key must be encrypted (PKCS #8) under `password`.

        Only a development key may lie there in the clear. Raises `SignerError` where a file is missing, the password
        is wrong or absent, or key and leaf do not fit.
        """
        try:
            chain_pem = certificate_chain.read_text("ascii")
            key_pem = private_key.read_bytes()
            if not is_development and b"ENCRYPTED" not in key_pem:
                raise SignerError(
                    f"The signing key {private_key} is not encrypted; encrypt it with "
                    "`openssl pkcs8 -topk8 -v2 aes-256-cbc -scrypt -in KEY -out ENCRYPTED` and give its passphrase."
                )
            key = serialization.load_pem_private_key(key_pem, password)
        except (OSError, ValueError, TypeError) as error:
            raise SignerError(
                f"The signing key or its certificate chain cannot be read ({error}); expected PEM files at "
                f"{certificate_chain} and {private_key}, and the password of the key if it is encrypted."
            ) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
            raise SignerError(f"C2PA does not allow keys of type {type(key).__name__}; use EC, RSA or Ed25519.")
        signer = cls(chain_pem, key, is_development)
        signer._require_matching_leaf()
        return signer

    def _require_matching_leaf(self) -> None:
        try:
            chain = x509.load_pem_x509_certificates(self.certificate_chain_pem.encode("ascii"))
        except ValueError as error:
            raise SignerError(f"The certificate chain is not PEM X.509 ({error}); leaf first.") from error
        if chain[0].public_key() != self.private_key.public_key():
            raise SignerError(
                "The private key does not belong to the first certificate of the chain; "
                "put the signing certificate first and its issuers after it."
            )

    @property
    def alg(self) -> Algorithm:
        """The COSE algorithm that fits the key (C2PA 2.4 §13.2.1)."""
        return algorithm_of(self.private_key.public_key())

    def sign(self, data: bytes) -> bytes:
        """Raw COSE signature over `data`."""
        match self.private_key:
            case ec.EllipticCurvePrivateKey() as key:
                der = key.sign(data, ec.ECDSA(_HASHES[self.alg[2:]]()))
                width = (key.curve.key_size + 7) // 8
                return b"".join(part.to_bytes(width, "big") for part in decode_dss_signature(der))
            case rsa.RSAPrivateKey() as key:
                digest = _HASHES[self.alg[2:]]()
                return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
            case key:
                return key.sign(data)
