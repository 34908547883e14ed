"""The files of a model: one digest over all of them, and what may not be among them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from generator.card import ModelCard, listing_digest
from generator.errors import DigestMismatchError, ModelLoadError, UnsafeWeightsError

CODE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py"})
"""Pickles and Python sources: loading them can run code."""

HUB_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")


def file_digests(folder: Path) -> dict[str, str]:
    """SHA-256, in hexadecimal, of every file under `folder`, by its path relative to it with `/` between parts."""
    digests: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                digests[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def folder_digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over a canonical listing of every file under `folder`.

    The listing has one line a file, sorted by path in byte order: the file's SHA-256, two spaces, its path
    relative to the folder with `/` between parts, a line feed. It is what
    `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints in that folder.
    """
    return listing_digest(file_digests(folder))


def refuse_code(folder: Path) -> None:
    """Raise UnsafeWeightsError if the folder holds a pickle or a Python file."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in CODE_SUFFIXES]
    if found:
        raise UnsafeWeightsError(folder, found)


def model_folder(card: ModelCard) -> Path:
    """The local folder of a card's model, fetched from the hub if need be; its files are not looked at.

    Raises ModelLoadError if it is not there.
    """
    folder = _fetch(card) if card.hub_id else Path(card.source)
    if not (folder / "model_index.json").is_file():
        raise ModelLoadError(f"{folder} is no model folder: it has no model_index.json")
    return folder


def verified_folder(card: ModelCard) -> Path:
    """`model_folder`, every file of which is the card's: none is altered, missing or added.

    Raises ModelLoadError if it is not there, UnsafeWeightsError, DigestMismatchError.
    """
    folder = model_folder(card)
    refuse_code(folder)
    found = file_digests(folder)
    digest = listing_digest(found)
    if digest != card.digest:
        problems = _differences(card.files, found) if card.files else []
        raise DigestMismatchError(folder, expected=card.digest, found=digest, problems=problems)
    return folder


def _differences(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        *(f"{name} is missing" for name in expected if name not in found),
        *(f"{name} is altered" for name in expected if name in found and found[name] != expected[name]),
        *(f"{name} is not on the card" for name in found if name not in expected),
    ]


def _fetch(card: ModelCard) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    assert card.hub_id is not None
    patterns = list(card.files) or list(HUB_PATTERNS)
    try:
        return Path(snapshot_download(card.hub_id, revision=card.revision, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelLoadError(
            f"model {card.hub_id} at revision {card.revision} could not be fetched: {error}"
        ) from error
