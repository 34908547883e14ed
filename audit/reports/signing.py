"""Signs a report's document as PAdES (ETSI EN 319 142), time-stamped where an authority is configured."""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from audit.errors import ReportSigningError

if TYPE_CHECKING:
    from pyhanko.sign import SimpleSigner

FIELD_NAME: Final = "Imprimatur"
TIMESTAMP_TIMEOUT_SECONDS: Final = 15


@dataclass(frozen=True)
class DocumentSigner:
    """Who signs documents.

    Args:
        chain: certificates in DER, the signing one first.
        key: private key of the first, PKCS #8 in DER.
        is_development: whether the certificate was made on this machine and nobody vouches for it.
        time_stamp_url: RFC 3161 authority; None to sign without a time stamp.
    """

    chain: tuple[bytes, ...]
    key: bytes = field(repr=False)
    is_development: bool = False
    time_stamp_url: str | None = None

    @classmethod
    def load(
        cls,
        certificates: Path,
        key: Path,
        *,
        password: bytes | None = None,
        is_development: bool = False,
        time_stamp_url: str | None = None,
    ) -> DocumentSigner:
        """Reads PEM files.

        Raises:
            ReportSigningError: a file is missing, the password is wrong, or key and certificate do not fit.
        """
        try:
            chain = x509.load_pem_x509_certificates(certificates.read_bytes())
            private_key = serialization.load_pem_private_key(key.read_bytes(), password)
        except (OSError, ValueError, TypeError) as error:
            raise ReportSigningError(
                f"the certificate or key that signs reports cannot be read ({error}); expected PEM files at "
                f"{certificates} and {key}, and the key's password if it is encrypted"
            ) from error
        if not isinstance(private_key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise ReportSigningError("reports are signed with RSA or elliptic-curve keys; PDF readers know no others")
        if chain[0].public_key() != private_key.public_key():
            raise ReportSigningError(f"the key in {key} does not belong to the first certificate in {certificates}")
        der = serialization.Encoding.DER
        exported = private_key.private_bytes(der, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return cls(tuple(one.public_bytes(der) for one in chain), exported, is_development, time_stamp_url)

    @property
    def name(self) -> str:
        """Subject of the signing certificate."""
        return x509.load_der_x509_certificate(self.chain[0]).subject.rfc4514_string()

    def chain_pem(self) -> str:
        """The certificates as PEM, the signing one first."""
        pem = serialization.Encoding.PEM
        return "".join(x509.load_der_x509_certificate(one).public_bytes(pem).decode() for one in self.chain)

    def describe(self) -> str:
        """What a document says of its signature before it has one."""
        stamped = f"time-stamped by {self.time_stamp_url}" if self.time_stamp_url else "without a time stamp"
        if self.is_development:
            return f"PAdES, {stamped}, with a development certificate: it identifies nobody and nobody vouches for it."
        return f"PAdES, {stamped}, by {self.name}."


def sign_document(pdf: bytes, signer: DocumentSigner, *, reason: str) -> bytes:
    """`pdf` with one signature that certifies it: any later change shows.

    Raises:
        ReportSigningError: the authority does not answer, or the document cannot be signed.
    """
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.sign import PdfSignatureMetadata, PdfSigner
    from pyhanko.sign.fields import MDPPerm, SigSeedSubFilter
    from pyhanko.sign.timestamps import HTTPTimeStamper

    stamper = (
        HTTPTimeStamper(signer.time_stamp_url, timeout=TIMESTAMP_TIMEOUT_SECONDS) if signer.time_stamp_url else None
    )
    metadata = PdfSignatureMetadata(
        field_name=FIELD_NAME,
        md_algorithm="sha256",
        reason=reason,
        subfilter=SigSeedSubFilter.PADES,
        certify=True,
        docmdp_permissions=MDPPerm.NO_CHANGES,
    )
    out = io.BytesIO()

    async def sign() -> None:
        writer = IncrementalPdfFileWriter(io.BytesIO(pdf))
        await PdfSigner(metadata, _simple_signer(signer), timestamper=stamper).async_sign_pdf(writer, output=out)

    try:
        asyncio.run(sign())
    except Exception as error:
        at = f" (time-stamp authority {signer.time_stamp_url})" if stamper else ""
        raise ReportSigningError(
            f"the document could not be signed{at}: {type(error).__name__}: {error}; "
            "check the certificate and the authority, then make the report again"
        ) from error
    return out.getvalue()


def _simple_signer(signer: DocumentSigner) -> SimpleSigner:
    from pyhanko.keys import load_certs_from_pemder_data, load_private_key_from_pemder_data
    from pyhanko.sign import SimpleSigner
    from pyhanko_certvalidator.registry import SimpleCertificateStore

    chain = [next(iter(load_certs_from_pemder_data(one))) for one in signer.chain]
    others = SimpleCertificateStore()  # type: ignore[no-untyped-call]
    others.register_multiple(chain[1:])
    key = load_private_key_from_pemder_data(signer.key, passphrase=None)
    return SimpleSigner(signing_cert=chain[0], signing_key=key, cert_registry=others)
