"""From marked pixels to the file that ships: disclosure metadata, then the credential, which hashes those bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from api.marking import Marking
from api.records import Record
from audit import records as audit_records
from generator.card import ModelCard
from provenance.credential import sign_credential
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.fingerprint import Fingerprint, fingerprint
from provenance.manifest import ManifestDescription, ModelStatement, SoftBinding
from provenance.metadata import MetadataReport, read_disclosure
from provenance.reader import read_credential
from provenance.report import CredentialReport
from provenance.signer import Signer
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

if TYPE_CHECKING:
    from provenance.trust import TrustList

SYSTEM = "Imprimatur"


@dataclass(frozen=True, slots=True)
class Published:
    """The signed file, the fingerprint of its pixels, and what the event says of its credential."""

    data: bytes = field(repr=False)
    fingerprint: Fingerprint
    credential: audit_records.Credential


class Publisher:
    """Encodes, signs, and reads back."""

    def __init__(self, signer: Signer, trust: TrustList, provider: str) -> None:
        self._signer = signer
        self._trust = trust
        self._provider = provider
        self._version = version("imprimatur")

    @property
    def signer(self) -> Signer:
        """The signer in use."""
        return self._signer

    def encode(self, pixels: NDArray[np.uint8], image_format: str, record: Record) -> bytes:
        """The bytes that will be signed: pixels with IPTC/XMP disclosure. Raises `ProvenanceError`."""
        disclosure = DisclosureFields(
            provider=self._provider,
            system=SYSTEM,
            version=self._version,
            created_at=record.created_at,
            unique_id=record.record_id,
        )
        return encode_image(pixels, cast("ImageFormat", image_format), disclosure)

    def sign(
        self, encoded: bytes, image_format: str, record: Record, card: ModelCard, pixels: NDArray[np.uint8]
    ) -> Published:
        """Sign the encoded image and validate the result. Raises `ProvenanceError`; then nothing may ship."""
        print_of_pixels = fingerprint(pixels)
        description = ManifestDescription(
            title=f"Generated image {record.record_id}",
            unique_id=record.record_id,
            provider=self._provider,
            system=SYSTEM,
            system_version=self._version,
            model=ModelStatement(name=card.id, version=card.revision, digest=f"sha256:{card.digest}"),
            created_at=record.created_at,
            soft_bindings=(
                SoftBinding(WATERMARK_ALGORITHM, f"{Marking.payload(record):016x}", is_watermark=True),
                SoftBinding(ISCC_ALGORITHM, print_of_pixels.iscc),
            ),
            thumbnail_jpeg=thumbnail_jpeg(pixels),
        )
        signed = sign_credential(encoded, image_format, description, self._signer)
        chain = self._signer.certificate_chain_pem
        credential = audit_records.Credential(
            manifest=signed.manifest_label,
            digest=hashlib.sha256(signed.manifest_store).hexdigest(),
            signer=_leaf_digest(chain),
        )
        return Published(signed.data, print_of_pixels, credential)

    def read(self, data: bytes, media_type: str) -> CredentialReport:
        """What a file's credential says, judged by the configured trust list."""
        return read_credential(data, media_type, self._trust)

    @staticmethod
    def disclosure(data: bytes) -> MetadataReport:
        """What a file's metadata says about how it was made."""
        return read_disclosure(data)


def _leaf_digest(chain_pem: str) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(chain_pem.encode()).fingerprint(hashes.SHA256()).hex()
