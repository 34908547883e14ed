"""From marked pixels to the file that ships: disclosure metadata, then the credential, which hashes those bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
from numpy.typing import NDArray

from api.records import Record
from audit import records as audit_records
from generator.card import ModelCard
from provenance.certificate import leaf_digest
from provenance.credential import SignedImage, sign_credential
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.errors import IngredientError
from provenance.fingerprint import Fingerprint, fingerprint
from provenance.ingredients import Ingredient, Relationship
from provenance.manifest import (
    NO_TRAINING,
    HumanOversight,
    ManifestDescription,
    ModelStatement,
    SoftBinding,
    TrainingMining,
)
from provenance.metadata import MetadataReport, read_disclosure
from provenance.raw_store import read_raw, reading_settings
from provenance.reader import STORE_MEDIA_TYPE, RawReader, read_credential
from provenance.report import CredentialReport
from provenance.signing_keys import SignerSource
from provenance.time_stamp import TimeStampAuthority
from provenance.update_manifest import Update, updated_store
from provenance.visible_label import VisibleLabel, draw_label
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

if TYPE_CHECKING:
    from provenance.trust import TrustList
    from provenance.trust.store import TrustStore

SYSTEM = "Imprimatur"


@dataclass(frozen=True, slots=True)
class Published:
    """The signed file, its pixels' fingerprint and mark (hexadecimal), and what the event says of its credential."""

    data: bytes = field(repr=False)
    fingerprint: Fingerprint
    mark: str | None
    credential: audit_records.Credential
    signed: SignedImage = field(repr=False)


class Publisher:
    """Encodes, signs, and reads back.

    Args:
        keys: gives the signer in use.
        read: runs the SDK over foreign files; the service gives one that does so in a bounded process.
        training_mining: what the credential allows others to do with the picture.
        label: the visible label that every picture gets; None for none.
        authority: stamps the signatures; None for none.
    """

    def __init__(
        self,
        keys: SignerSource,
        trust: TrustStore,
        provider: str,
        *,
        read: RawReader = read_raw,
        training_mining: TrainingMining = NO_TRAINING,
        label: VisibleLabel | None = None,
        authority: TimeStampAuthority | None = None,
    ) -> None:
        self._keys = keys
        self._trust = trust
        self._provider = provider
        self._training_mining = training_mining
        self._label = label
        self._read = read
        self._authority = authority
        self._version = version("imprimatur")

    @property
    def keys(self) -> SignerSource:
        """Gives the signer in use."""
        return self._keys

    @property
    def trust(self) -> TrustStore:
        """The trust list in force, and earlier ones."""
        return self._trust

    @property
    def authority(self) -> TimeStampAuthority | None:
        """The time-stamp authority in use, if any."""
        return self._authority

    @staticmethod
    def ingredient(
        data: bytes, media_type: str, relationship: Relationship, title: str, pixels: NDArray[np.uint8]
    ) -> Ingredient:
        """A picture that is used, as the credential will list it; `pixels` are those that the guarded decoder gave."""
        return Ingredient(data, media_type, relationship, title, thumbnail_jpeg(pixels))

    def labelled(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The pixels with the visible label, where one is configured. Raises `ProvenanceError`."""
        return pixels if self._label is None else draw_label(pixels, self._label).pixels

    def encode(
        self, pixels: NDArray[np.uint8], image_format: str, record: Record, *, ingredients: Sequence[Ingredient] = ()
    ) -> bytes:
        """The bytes that will be signed: pixels with IPTC/XMP disclosure. Raises `ProvenanceError`."""
        disclosure = DisclosureFields(
            provider=self._provider,
            system=SYSTEM,
            version=self._version,
            created_at=record.created_at,
            unique_id=record.record_id,
            created_or_altered=origin(ingredients),
        )
        return encode_image(pixels, cast("ImageFormat", image_format), disclosure)

    def sign(
        self,
        encoded: bytes,
        image_format: str,
        record: Record,
        card: ModelCard,
        pixels: NDArray[np.uint8],
        *,
        mark: str | None,
        task: str = "text-to-image",
        ingredients: Sequence[Ingredient] = (),
        human_validated: bool = False,
        prompt: str | None = None,
    ) -> Published:
        """Sign the encoded image and validate the result.

        Args:
            mark: payload of the watermark in the pixels, in hexadecimal; None where they carry none.
            ingredients: the pictures that were used, made by `ingredient`.
            human_validated: a person has approved this very picture.
            prompt: only where the caller wants it in the credential, for everybody to read.

        Raises:
            ProvenanceError: nothing may ship.
        """
        self._require_harmless(ingredients)
        print_of_pixels = fingerprint(pixels)
        oversight: HumanOversight = "human_validated" if human_validated else "prompt_guided"
        bindings = [SoftBinding(ISCC_ALGORITHM, print_of_pixels.iscc)]
        if mark is not None:
            bindings.insert(0, SoftBinding(WATERMARK_ALGORITHM, mark, is_watermark=True))
        description = ManifestDescription(
            title=f"Generated image {record.record_id}",
            unique_id=record.record_id,
            provider=self._provider,
            system=SYSTEM,
            system_version=self._version,
            model=ModelStatement(name=card.id, version=card.revision, digest=f"sha256:{card.digest}"),
            created_at=record.created_at,
            task=task,
            ingredients=tuple(ingredients),
            soft_bindings=tuple(bindings),
            thumbnail_jpeg=thumbnail_jpeg(pixels),
            training_mining=self._training_mining,
            visible_label=self._label.text if self._label else None,
            prompt=prompt,
            human_oversight=oversight,
        )
        signer = self._keys.current()
        signed = sign_credential(encoded, image_format, description, signer, authority=self._authority)
        credential = audit_records.Credential(
            manifest=signed.manifest_label,
            digest=hashlib.sha256(signed.manifest_store).hexdigest(),
            signer=leaf_digest(signer.certificate_chain_pem),
            time_stamp=signed.time_stamp,
        )
        return Published(signed.data, print_of_pixels, mark, credential, signed)

    def _require_harmless(self, ingredients: Sequence[Ingredient]) -> None:
        """The SDK will read the ingredients here: first where it can be killed. Raises `IngredientError`."""
        for one in ingredients:
            raw = self._read(one.data, one.media_type, reading_settings(None), None)
            if raw.kind == "gave_up":
                raise IngredientError(
                    f"The picture {one.title!r} is not used: {raw.message}. Save it again without its credential."
                )

    def read(
        self, data: bytes, media_type: str, *, trust: TrustList | None = None, manifest_store: bytes | None = None
    ) -> CredentialReport:
        """What a file's credential says, judged by the trust list in force, or by the given one."""
        judged_by = self._trust.current() if trust is None else trust
        return read_credential(data, media_type, judged_by, manifest_store=manifest_store, read=self._read)

    def read_store(self, manifest_store: bytes) -> CredentialReport:
        """What a manifest store says by itself; that it fits no picture's bytes is for `recovered` to leave aside."""
        return read_credential(manifest_store, STORE_MEDIA_TYPE, self._trust.current(), read=self._read)

    def update(
        self, signed: bytes, image_format: str, *, redact: Sequence[str] = (), stamp: bool, when: datetime
    ) -> bytes:
        """A released file's manifest store with an update manifest. Raises `ProvenanceError`."""
        update = Update(SYSTEM, self._version, when, tuple(redact))
        authority = self._authority if stamp else None
        return updated_store(signed, image_format, update, self._keys.current(), authority).manifest_store

    @staticmethod
    def disclosure(data: bytes) -> MetadataReport:
        """What a file's metadata says about how it was made."""
        return read_disclosure(data)


def origin(ingredients: Sequence[Ingredient]) -> Literal["created", "altered"]:
    """Whether a model made the whole picture, or changed or completed given ones."""
    return "altered" if any(one.relationship != "inputTo" for one in ingredients) else "created"
