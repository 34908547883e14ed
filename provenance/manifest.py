"""What a credential of ours says, before it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from provenance.vocabulary import GENERATION_ASSERTION, TRAINED_ALGORITHMIC_MEDIA

SPEC_VERSION: Final = "2.4.0"
THUMBNAIL_IDENTIFIER: Final = "thumbnail.jpg"

TrainingMining = tuple[tuple[str, str], ...]

NO_TRAINING: Final[TrainingMining] = (
    ("cawg.ai_generative_training", "notAllowed"),
    ("cawg.ai_training", "notAllowed"),
    ("cawg.data_mining", "notAllowed"),
)


@dataclass(frozen=True)
class ModelStatement:
    """Which model made the picture; `digest` is `sha256:<hex>` over weights and configuration."""

    name: str
    version: str
    digest: str


@dataclass(frozen=True)
class SoftBinding:
    """A way from the pixels back to this credential: algorithm name and its value as text."""

    alg: str
    value: str
    is_watermark: bool = False


@dataclass(frozen=True)
class ManifestDescription:
    """Content of a credential for a picture that a model made from nothing.

    `unique_id` is the record's id; `created_at` must know its time zone. The prompt is no part of it.
    """

    title: str
    unique_id: str
    provider: str
    system: str
    system_version: str
    model: ModelStatement
    created_at: datetime
    soft_bindings: tuple[SoftBinding, ...] = ()
    thumbnail_jpeg: bytes | None = field(default=None, repr=False)
    training_mining: TrainingMining = NO_TRAINING
    digital_source_type: str = TRAINED_ALGORITHMIC_MEDIA


def definition(description: ManifestDescription) -> dict[str, Any]:
    """The SDK's manifest definition. Every assertion of ours is a *created* one (C2PA 2.4 §10.2.1)."""
    when = description.created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    assertions = [
        ("c2pa.actions", {"actions": _actions(description, when), "allActionsIncluded": True}),
        *(
            ("c2pa.soft-binding", {"alg": binding.alg, "blocks": [{"scope": {}, "value": binding.value}]})
            for binding in description.soft_bindings
        ),
        (
            "cawg.training-mining",
            {"entries": {entry: {"use": use} for entry, use in description.training_mining}},
        ),
        (
            GENERATION_ASSERTION,
            {
                "unique_id": description.unique_id,
                "provider": description.provider,
                "model": {
                    "name": description.model.name,
                    "version": description.model.version,
                    "digest": description.model.digest,
                },
            },
        ),
    ]
    manifest: dict[str, Any] = {
        "title": description.title,
        "claim_generator_info": [
            {
                "name": description.system,
                "version": description.system_version,
                "specVersion": SPEC_VERSION,
            }
        ],
        "assertions": [{"label": label, "data": data, "created": True} for label, data in assertions],
    }
    if description.thumbnail_jpeg is not None:
        manifest["thumbnail"] = {"format": "image/jpeg", "identifier": THUMBNAIL_IDENTIFIER}
    return manifest


def _actions(description: ManifestDescription, when: str) -> list[dict[str, Any]]:
    actions: list[dict[str, Any]] = [
        {
            "action": "c2pa.created",
            "when": when,
            "digitalSourceType": description.digital_source_type,
            "softwareAgent": {"name": description.model.name, "version": description.model.version},
        }
    ]
    if any(binding.is_watermark for binding in description.soft_bindings):
        actions.append(
            {
                "action": "c2pa.watermarked.bound",
                "when": when,
                "softwareAgent": {"name": description.system, "version": description.system_version},
            }
        )
    return actions
