"""The files of a model: one digest over all of them, and what may not be among them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from generator.card import ModelCard
from generator.errors import DigestMismatchError, ModelLoadError, UnsafeWeightsError

CODE_SUFFIXES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".py"})
"""Pickles and Python sources: loading them can run code."""

HUB_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.model")


def folder_digest(folder: Path) -> str:
    """SHA-256, in hexadecimal, over a canonical listing of every file under `folder`.

    The listing has one line a file, sorted by path in byte order: the file's SHA-256, two spaces, its path
    relative to the folder with `/` between parts, a line feed. It is what
    `find * -type f | LC_ALL=C sort | xargs sha256sum | sha256sum` prints in that folder.
    """
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    listing = hashlib.sha256()
    for name in sorted(files, key=lambda text: text.encode()):
        with files[name].open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        listing.update(f"{found}  {name}\n".encode())
    return listing.hexdigest()


def refuse_code(folder: Path) -> None:
    """Raise UnsafeWeightsError if the folder holds a pickle or a Python file."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in CODE_SUFFIXES]
    if found:
        raise UnsafeWeightsError(folder, found)


def verified_folder(card: ModelCard) -> Path:
    """The local folder of a card's model, fetched from the hub if need be, whose digest is the card's.

    Raises ModelLoadError if it is not there, UnsafeWeightsError, DigestMismatchError.
    """
    folder = _fetch(card.hub_id, card.revision) if card.hub_id else Path(card.source)
    if not (folder / "model_index.json").is_file():
        raise ModelLoadError(f"{folder} is no model folder: it has no model_index.json")
    refuse_code(folder)
    found = folder_digest(folder)
    if found != card.digest:
        raise DigestMismatchError(folder, expected=card.digest, found=found)
    return folder


def _fetch(hub_id: str, revision: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=list(HUB_PATTERNS)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelLoadError(f"model {hub_id} at revision {revision} could not be fetched: {error}") from error
