"""One certificate that is trusted, for signers or for time stamps, and where it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from provenance.errors import TrustListError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

AnchorKind = Literal["signer", "time_stamp"]


@dataclass(frozen=True)
class TrustAnchor:
    """pem: the certificate alone. source: the list or file it came from. test_only: every conclusion that rests on
    it says so.
    """

    pem: str = field(repr=False)
    kind: AnchorKind
    source: str
    test_only: bool = False

    @property
    def sha256(self) -> str:
        """Digest of the certificate, hexadecimal."""
        from cryptography.hazmat.primitives import hashes

        return self._certificate().fingerprint(hashes.SHA256()).hex()

    @property
    def subject(self) -> str:
        """The certificate's subject (RFC 4514)."""
        return self._certificate().subject.rfc4514_string()

    @property
    def expires(self) -> str:
        """Its last day, ISO 8601."""
        return f"{self._certificate().not_valid_after_utc:%Y-%m-%d}"

    def _certificate(self) -> Certificate:
        from cryptography import x509

        return x509.load_pem_x509_certificate(self.pem.encode("ascii"))


def anchors_of(
    pem: str, kind: AnchorKind, source: str, *, where: str = "the given text", test_only: bool = False
) -> tuple[TrustAnchor, ...]:
    """The certificates of a PEM text, without the comments around them. Raises `TrustListError`."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        certificates = x509.load_pem_x509_certificates(pem.encode("utf-8"))
    except ValueError as error:
        raise TrustListError(f"{where} holds no PEM certificates ({error}).") from error
    return tuple(
        TrustAnchor(one.public_bytes(Encoding.PEM).decode("ascii"), kind, source, test_only) for one in certificates
    )
