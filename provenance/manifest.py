"""What a credential of ours says, before it is signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from provenance.errors import ManifestLintError
from provenance.ingredients import Ingredient, ingredient_id, positions
from provenance.vocabulary import (
    ALGORITHMIC_MEDIA,
    COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA,
    GENERATION_ASSERTION,
    MODEL_TYPE,
    TRAINED_ALGORITHMIC_MEDIA,
)

SPEC_VERSION: Final = "2.4.0"
THUMBNAIL_IDENTIFIER: Final = "thumbnail.jpg"

TrainingMining = tuple[tuple[str, str], ...]
HumanOversight = Literal["fully_autonomous", "prompt_guided", "human_validated"]

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
    """Content of a credential. What the actions say follows from `ingredients`:

    - none, or only `inputTo`: *created* by a model;
    - one `parentOf`: that picture was *opened* and *edited* by a model;
    - `componentOf` without a parent: *created*, with each component *placed*.

    unique_id: the record's id. created_at: must know its time zone. task: what was done, in a word
    (`text-to-image`, `inpaint`, ...). visible_label: the text of the label that was drawn into the picture.
    prompt: only where the caller asked for it to be published. human_oversight: `human_validated` where a person
    approved this very picture (C2PA 2.4 §18.28).
    """

    title: str
    unique_id: str
    provider: str
    system: str
    system_version: str
    model: ModelStatement
    created_at: datetime
    task: str = "text-to-image"
    ingredients: tuple[Ingredient, ...] = ()
    soft_bindings: tuple[SoftBinding, ...] = ()
    thumbnail_jpeg: bytes | None = field(default=None, repr=False)
    training_mining: TrainingMining = NO_TRAINING
    visible_label: str | None = None
    prompt: str | None = field(default=None, repr=False)
    human_oversight: HumanOversight = "prompt_guided"

    @property
    def digital_source_type(self) -> str:
        """What the model's action says of its outcome: wholly generated, or partly."""
        partly = any(one.relationship != "inputTo" for one in self.ingredients)
        return COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA if partly else TRAINED_ALGORITHMIC_MEDIA


def definition(description: ManifestDescription) -> dict[str, Any]:
    """The SDK's manifest definition. Every assertion of ours is a *created* one (C2PA 2.4 §10.2.1).

    Ingredients are not in it: `provenance.ingredients.entries` gives them.
    """
    generation: dict[str, Any] = {
        "unique_id": description.unique_id,
        "provider": description.provider,
        "task": description.task,
        "model": {
            "name": description.model.name,
            "version": description.model.version,
            "digest": description.model.digest,
        },
    }
    if description.prompt is not None:
        generation["prompt"] = description.prompt
    assertions = [
        ("c2pa.actions", {"actions": _actions(description), "allActionsIncluded": True}),
        (
            "c2pa.ai-disclosure",
            {
                "modelType": MODEL_TYPE,
                "modelName": description.model.name,
                "modelIdentifier": f"{description.model.name}@{description.model.version} {description.model.digest}",
                "contentProfile": {"humanOversightLevel": description.human_oversight},
            },
        ),
        *(
            ("c2pa.soft-binding", {"alg": binding.alg, "blocks": [{"scope": {}, "value": binding.value}]})
            for binding in description.soft_bindings
        ),
        (
            "cawg.training-mining",
            {"entries": {entry: {"use": use} for entry, use in description.training_mining}},
        ),
        (GENERATION_ASSERTION, generation),
    ]
    manifest: dict[str, Any] = {
        "title": description.title,
        "claim_generator_info": [claim_generator(description.system, description.system_version)],
        "assertions": [{"label": label, "data": data, "created": True} for label, data in assertions],
    }
    if description.thumbnail_jpeg is not None:
        manifest["thumbnail"] = {"format": "image/jpeg", "identifier": THUMBNAIL_IDENTIFIER}
    return manifest


def claim_generator(system: str, version: str) -> dict[str, str]:
    """The generator's entry of a claim, with the version of the specification that it follows."""
    return {"name": system, "version": version, "specVersion": SPEC_VERSION}


def claim_time(time: datetime) -> str:
    """A time as actions carry it: RFC 3339, UTC, whole seconds. Raises `ManifestLintError` without a zone."""
    if time.tzinfo is None:
        raise ManifestLintError(("created_at has no time zone; give a timezone-aware time (C2PA §18.15.4.3)",))
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _actions(description: ManifestDescription) -> list[dict[str, Any]]:
    """Every action, the first of them `c2pa.created` or `c2pa.opened` (C2PA 2.4 §18.15.3)."""
    ingredients = description.ingredients
    parents = positions(ingredients, "parentOf")
    model = {
        "digitalSourceType": description.digital_source_type,
        "softwareAgent": {"name": description.model.name, "version": description.model.version},
        "description": description.task,
        **_refers_to(positions(ingredients, "inputTo")),
    }
    placed = [{"action": "c2pa.placed", **_refers_to([one])} for one in positions(ingredients, "componentOf")]
    if parents:
        actions = [{"action": "c2pa.opened", **_refers_to(parents)}, *placed, {"action": "c2pa.edited", **model}]
    else:
        actions = [{"action": "c2pa.created", **model}, *placed]
    program = {"softwareAgent": {"name": description.system, "version": description.system_version}}
    if description.visible_label is not None:
        actions.append(
            {
                "action": "c2pa.addedText",
                "digitalSourceType": ALGORITHMIC_MEDIA,
                "description": f"visible label: {description.visible_label}",
                **program,
            }
        )
    if any(binding.is_watermark for binding in description.soft_bindings):
        actions.append({"action": "c2pa.watermarked.bound", **program})
    return [{**action, "when": claim_time(description.created_at)} for action in actions]


def _refers_to(found: list[int]) -> dict[str, Any]:
    if not found:
        return {}
    return {"parameters": {"ingredientIds": [ingredient_id(position) for position in found]}}
