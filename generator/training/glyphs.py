"""The drawings from which training scenes are composed: Noto emoji, rendered from their vector outlines.

`noto-glyphs.json.gz` holds the SVG bodies of the glyphs in `vocabulary.glyph_names`, unchanged, from Google's
Noto Emoji (Apache-2.0). Rendering needs `resvg-py`, a dependency of training only.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tempfile
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from generator.training.vocabulary import glyph_names

LARGE_PIXELS = 384
SMALL_PIXELS = 192
MARGIN = 0.02  # empty border on each side, as a share of the drawing's longer side


@lru_cache(maxsize=1)
def _outlines() -> tuple[int, dict[str, str]]:
    packed = resources.files("generator.training").joinpath("noto-glyphs.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed))
    return int(document["view_box"]), dict(document["glyphs"])


def render_glyph(name: str, size: int) -> NDArray[np.uint8]:
    """Render one glyph to premultiplied RGBA, uint8 (size, size, 4): centred, its longer side filling the square but
    for a small margin.

    Raises KeyError for a glyph that the archive does not hold.
    """
    import cv2
    import resvg_py
    from PIL import Image

    view_box, glyphs = _outlines()
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {view_box} {view_box}" width="{size}" height="{size}">{glyphs[name]}</svg>'
    )
    drawn = 2 * size
    png = resvg_py.svg_to_bytes(svg_string=svg, width=drawn, height=drawn, skip_system_fonts=True)
    straight = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), dtype=np.float32) / 255.0
    straight[..., :3] *= straight[..., 3:]
    rows, columns = np.where(straight[..., 3] > 0.05)
    top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
    side = (1 + 2 * MARGIN) * max(bottom - top, right - left)
    scale = side / drawn
    matrix = np.array(
        [[scale, 0, (left + right) / 2 - side / 2], [0, scale, (top + bottom) / 2 - side / 2]], np.float64
    )
    fitted = cv2.warpAffine(straight, matrix, (drawn, drawn), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    averaged = fitted.reshape(size, 2, size, 2, 4).mean((1, 3))
    return np.asarray(np.rint(averaged * 255), np.uint8)


def extent(drawing: NDArray[np.uint8]) -> tuple[float, float]:
    """Width and height of what a drawing (size, size, 4) shows, as shares of its side."""
    rows, columns = np.where(drawing[..., 3] > 12)
    size = len(drawing)
    return (int(columns.max()) + 1 - int(columns.min())) / size, (int(rows.max()) + 1 - int(rows.min())) / size


@lru_cache(maxsize=1)
def _key() -> str:
    packed = resources.files("generator.training").joinpath("noto-glyphs.json.gz").read_bytes()
    return hashlib.sha256(packed + "\n".join(glyph_names()).encode()).hexdigest()[:12]


def _table_path(size: int) -> Path:
    folder = Path(os.environ.get("IMPRIMATUR_GLYPH_CACHE", tempfile.gettempdir()))
    return folder / f"imprimatur-glyphs-{_key()}-{size}.npy"


def prepare_glyphs(*sizes: int) -> None:
    """Render all glyphs once, for all processes, to files in the temporary folder (or `IMPRIMATUR_GLYPH_CACHE`).

    Without this every glyph is rendered where it is needed, which is better for a few.
    """
    for size in sizes:
        path = _table_path(size)
        if not path.exists():
            table = np.stack([render_glyph(name, size) for name in glyph_names()])
            partial = path.with_suffix(f".{os.getpid()}.npy")
            np.save(partial, table)
            partial.replace(path)
    _table.cache_clear()


@lru_cache(maxsize=4)
def _table(size: int) -> NDArray[np.uint8] | None:
    path = _table_path(size)
    return np.load(path, mmap_mode="r") if path.exists() else None


@lru_cache(maxsize=256)
def _single(index: int, size: int) -> NDArray[np.uint8]:
    return render_glyph(glyph_names()[index], size)


def glyph(index: int, size: int) -> NDArray[np.uint8]:
    """The glyph of this row of `glyph_names`, premultiplied RGBA uint8 (size, size, 4)."""
    table = _table(size)
    return _single(index, size) if table is None else np.asarray(table[index])


@cache
def extent_of(index: int) -> tuple[float, float]:
    """Width and height of what a glyph shows, as shares of its square's side."""
    return extent(glyph(index, SMALL_PIXELS))


@lru_cache(maxsize=1)
def glyph_index() -> dict[str, int]:
    """Row of every glyph in `glyph_names`."""
    return {name: index for index, name in enumerate(glyph_names())}
