"""The drawings from which training scenes are composed: Noto emoji, rendered from their vector outlines.

`noto-glyphs.json.gz` holds the SVG bodies of the objects in `vocabulary.OBJECTS`, unchanged, from Google's
Noto Emoji (Apache-2.0). Rendering needs `resvg-py`, a dependency of training only.
"""

from __future__ import annotations

import gzip
import io
import json
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray


@lru_cache(maxsize=1)
def _outlines() -> tuple[int, dict[str, str]]:
    packed = resources.files("generator.training").joinpath("noto-glyphs.json.gz").read_bytes()
    document = json.loads(gzip.decompress(packed))
    return int(document["view_box"]), dict(document["glyphs"])


@lru_cache(maxsize=512)
def render_glyph(name: str, size: int) -> NDArray[np.float32]:
    """Render one glyph to premultiplied RGBA, float32 in [0, 1], shape (size, size, 4).

    Raises KeyError for a glyph that the archive does not hold.
    """
    import resvg_py
    from PIL import Image

    view_box, glyphs = _outlines()
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {view_box} {view_box}" width="{size}" height="{size}">{glyphs[name]}</svg>'
    )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    straight = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGBA"), dtype=np.float32) / 255.0
    premultiplied = straight.copy()
    premultiplied[..., :3] *= straight[..., 3:]
    premultiplied.setflags(write=False)
    return premultiplied
