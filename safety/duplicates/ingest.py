"""Filling the reference index from a folder."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safety.duplicates.hashes import perceptual_hash
from safety.duplicates.index import NewReference, Reference, ReferenceIndex
from safety.errors import ReferenceIndexError

BATCH_SIZE = 64
FILE_BYTES_MAX = 512 * 1024 * 1024
THUMBNAIL_SIDE_PIXELS = 256
THUMBNAIL_QUALITY = 75
"""About ten kilobytes a work."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What came of a folder: new references, files whose bytes were listed already, and broken files.

    `duplicates` are paths; `broken` are pairs of path and reason.
    """

    added: tuple[Reference, ...]
    duplicates: tuple[str, ...]
    broken: tuple[tuple[str, str], ...]


def ingest_folder(
    folder: Path,
    index: ReferenceIndex,
    decode: Callable[[bytes], NDArray[np.uint8]],
    *,
    rights_claim: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IngestReport:
    """List every image file under `folder`, in batches; a batch is listed as a whole or not at all.

    `decode` turns a file's bytes into upright 8-bit RGB pixels and raises for what is no image: such files
    are reported as broken and skipped, as are pictures with too little structure and files that cannot be
    read. Hidden files and symbolic links are left out. `progress` is called with (files done, files in
    all). Raises `ReferenceIndexError` if `folder` is no folder, or the database fails.
    """
    if not folder.is_dir():
        raise ReferenceIndexError(f"{folder}: expected a folder with image files")
    paths = sorted(path for path in folder.rglob("*") if _is_candidate(path, folder))
    added: list[Reference] = []
    duplicates: list[str] = []
    broken: list[tuple[str, str]] = []
    for start in range(0, len(paths), BATCH_SIZE):
        batch: list[NewReference] = []
        for done, path in enumerate(paths[start : start + BATCH_SIZE], start=start + 1):
            try:
                batch.append(_read(path, decode, rights_claim))
            except Exception as error:  # noqa: BLE001  # one bad file must not stop the rest; it is reported
                broken.append((str(path), f"{type(error).__name__}: {error}"))
            if progress is not None:
                progress(done, len(paths))
        for item, reference in zip(batch, index.add(batch), strict=True):
            if reference is None:
                duplicates.append(item.source)
            else:
                added.append(reference)
    return IngestReport(tuple(added), tuple(duplicates), tuple(broken))


def _read(path: Path, decode: Callable[[bytes], NDArray[np.uint8]], rights_claim: str | None) -> NewReference:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise ReferenceIndexError(f"larger than {FILE_BYTES_MAX} bytes")
    content = path.read_bytes()
    pixels = decode(content)
    phash = perceptual_hash(pixels)
    if not phash.usable:
        raise ReferenceIndexError("too little structure to be found again (a blank picture?)")
    height, width = pixels.shape[:2]
    return NewReference(
        source=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        phash=phash,
        width=width,
        height=height,
        rights_claim=rights_claim,
        thumbnail=_thumbnail(pixels),
    )


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL_SIDE_PIXELS, THUMBNAIL_SIDE_PIXELS), reducing_gap=2.0)
    image.save(out, "JPEG", quality=THUMBNAIL_QUALITY)
    return out.getvalue()


def _is_candidate(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and not path.is_symlink() and path.is_file()
