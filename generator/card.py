"""Model cards: what a model is, where it comes from, what it may be asked for, and which bytes it consists of."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from generator.errors import InvalidCardError

HUB_PREFIX = "hub:"
_HEXADECIMAL = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request gets that does not say: steps, guidance scale, width and height in pixels, strength in [0, 1]."""

    steps: int
    guidance: float
    width: int
    height: int
    strength: float = 0.6


@dataclass(frozen=True, slots=True)
class Upscaling:
    """How far a model enlarges: the factors it knows, and the longest side in pixels that it takes in."""

    scales: tuple[int, ...]
    largest_side: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model.

    `source` is an absolute folder, or `hub:owner/name` with `revision` naming the commit. `digest` is
    `generator.model_folder.folder_digest` of its files, in hexadecimal; `files` the SHA-256 of each by its path, so
    that a wrong one can be named (empty: only the digest over all is known). `text_encoder_digest` is the SHA-256 of
    the weights of a text encoder that is passed in rather than stored with the model, or None. `sizes` are
    (width, height) pairs in pixels at which the model works. `schedulers` are names of `generator.schedulers` that
    may be asked for beside the model's own. `pipelines` names the diffusers class for a task where it is not the one
    that follows from the model's own. `variant` is the Hub's name for a set of weights ("fp16"), or None.
    """

    id: str
    title: str
    engine: str
    source: str
    revision: str
    licence: str
    training_data: str
    digest: str
    text_encoder_digest: str | None
    tasks: tuple[str, ...]
    sizes: tuple[tuple[int, int], ...]
    defaults: Defaults
    schedulers: tuple[str, ...] = ()
    negative_prompts: bool = True
    upscaling: Upscaling | None = None
    variant: str | None = None
    pipelines: Mapping[str, str] = field(default_factory=dict, hash=False)
    files: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)

    @property
    def hub_id(self) -> str | None:
        """`owner/name` on the model hub, or None for a local folder."""
        return self.source.removeprefix(HUB_PREFIX) if self.source.startswith(HUB_PREFIX) else None


def load_card(path: Path) -> ModelCard:
    """Read a card from YAML; a relative `source` is a folder beside the file.

    Raises InvalidCardError for a file that cannot be read, or lacks or misspells a field.
    """
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidCardError(f"model card {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidCardError(f"model card {path} holds no mapping; see docs/models.md for the fields")
    try:
        return _card(document, path.parent)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidCardError(f"model card {path} is invalid: {type(error).__name__} {error}") from error


def card_text(card: ModelCard) -> str:
    """A card as YAML that `load_card` reads back."""
    import yaml

    document = dataclasses.asdict(card)
    document["sizes"] = [list(size) for size in card.sizes]
    document["tasks"] = list(card.tasks)
    document["schedulers"] = list(card.schedulers)
    document["pipelines"] = dict(card.pipelines)
    document["files"] = dict(card.files)
    if card.upscaling is not None:
        document["upscaling"] = {"scales": list(card.upscaling.scales), "largest_side": card.upscaling.largest_side}
    kept = {name: value for name, value in document.items() if value not in (None, [], {})}
    return str(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=120))


def listing_digest(files: Mapping[str, str]) -> str:
    """SHA-256, in hexadecimal, over the listing that `generator.model_folder.folder_digest` describes."""
    names = sorted(files, key=lambda text: text.encode())
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in names).encode()).hexdigest()


def _card(document: dict[str, Any], folder: Path) -> ModelCard:
    fields = dict(document)
    defaults = _built(Defaults, dict(fields.pop("defaults")), "defaults")
    source = str(fields.pop("source"))
    if not source.startswith(HUB_PREFIX):
        source = str((folder / source).resolve())
    elif not fields.get("revision"):
        raise ValueError("a model from the hub needs the revision it was checked at")
    digest = _sha256(fields.pop("digest"))
    files = {str(name): _sha256(value) for name, value in dict(fields.pop("files", {})).items()}
    if files and listing_digest(files) != digest:
        raise ValueError("the digest is not the one over the listed files")
    upscaling = fields.pop("upscaling", None)
    card = ModelCard(
        source=source,
        digest=digest,
        files=files,
        text_encoder_digest=fields.pop("text_encoder_digest", None),
        tasks=tuple(str(task) for task in fields.pop("tasks")),
        sizes=tuple((int(width), int(height)) for width, height in fields.pop("sizes")),
        defaults=defaults,
        schedulers=tuple(str(name) for name in fields.pop("schedulers", ())),
        negative_prompts=bool(fields.pop("negative_prompts", True)),
        upscaling=None
        if upscaling is None
        else _built(Upscaling, {**upscaling, "scales": tuple(map(int, upscaling["scales"]))}, "upscaling"),
        pipelines={str(task): str(name) for task, name in dict(fields.pop("pipelines", {})).items()},
        **{name: str(value) for name, value in fields.items()},
    )
    if (defaults.width, defaults.height) not in card.sizes:
        raise ValueError("the default size is not among the sizes")
    if not 0 <= defaults.strength <= 1:
        raise ValueError(f"the default strength {defaults.strength} is not in 0 to 1")
    if ("upscale" in card.tasks) != (card.upscaling is not None):
        raise ValueError("the task upscale and the field upscaling go together")
    return card


def _built(kind: Any, values: dict[str, Any], name: str) -> Any:
    """A nested dataclass, with its numbers of the declared kind; names that it does not have are refused."""
    declared = {one.name: one for one in dataclasses.fields(kind)}
    if unknown := sorted(set(values) - set(declared)):
        raise ValueError(f"unknown {name} {unknown}")
    converters = {"int": int, "float": float}
    return kind(**{key: converters.get(str(declared[key].type), lambda v: v)(value) for key, value in values.items()})


def _sha256(value: object) -> str:
    text = str(value)
    if len(text) != 64 or set(text) - _HEXADECIMAL:
        raise ValueError(f"digest {text!r} is not a SHA-256 in hexadecimal")
    return text
