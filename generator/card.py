"""Model cards: what a model is, where it comes from, what it may be asked for, and which bytes it consists of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generator.errors import InvalidCardError

HUB_PREFIX = "hub:"


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request gets that does not say: steps, guidance scale, width and height in pixels."""

    steps: int
    guidance: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One model.

    `source` is an absolute folder, or `hub:owner/name` with `revision` naming the commit. `digest` is
    `generator.model_folder.folder_digest` of its files, in hexadecimal; `text_encoder_digest` the SHA-256 of the
    weights of a text encoder that is passed in rather than stored with the model, or None. `sizes` are
    (width, height) pairs in pixels.
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
        raise InvalidCardError(f"model card {path} holds no mapping; see docs/models/emblem.md for the fields")
    try:
        return _card(document, path.parent)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidCardError(f"model card {path} is invalid: {type(error).__name__} {error}") from error


def _card(document: dict[str, Any], folder: Path) -> ModelCard:
    fields = dict(document)
    defaults = dict(fields.pop("defaults"))
    source = str(fields.pop("source"))
    if not source.startswith(HUB_PREFIX):
        source = str((folder / source).resolve())
    elif not fields.get("revision"):
        raise ValueError("a model from the hub needs the revision it was checked at")
    digest = str(fields.pop("digest"))
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ValueError(f"digest {digest!r} is not a SHA-256 in hexadecimal")
    card = ModelCard(
        source=source,
        digest=digest,
        text_encoder_digest=fields.pop("text_encoder_digest", None),
        tasks=tuple(str(task) for task in fields.pop("tasks")),
        sizes=tuple((int(width), int(height)) for width, height in fields.pop("sizes")),
        defaults=Defaults(
            steps=int(defaults.pop("steps")),
            guidance=float(defaults.pop("guidance")),
            width=int(defaults.pop("width")),
            height=int(defaults.pop("height")),
        ),
        **{name: str(value) for name, value in fields.items()},
    )
    if defaults:
        raise ValueError(f"unknown defaults {sorted(defaults)}")
    if (card.defaults.width, card.defaults.height) not in card.sizes:
        raise ValueError("the default size is not among the sizes")
    return card
