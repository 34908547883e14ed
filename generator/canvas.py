"""Fitting pictures to the sizes a model works at, and putting what it painted back where it belongs.

Pixels are uint8, (H, W, 3); masks uint8, (H, W), 255 where the picture is to be repainted and 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEATHER_PIXELS = 4
"""Width of the seam, inside the mask, over which old and new are mixed."""

_CONTEXT_SHARE = 0.5
_CONTEXT_PIXELS = 64


@dataclass(frozen=True, slots=True)
class Extension:
    """Pixels to be added to each side of a picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    @classmethod
    def parse(cls, text: str) -> Extension:
        """From `64`, for every side, or `left=128,bottom=64`. Raises ValueError, which says what was expected."""
        if text.isdecimal():
            return cls(*[int(text)] * 4)
        sides: dict[str, int] = {}
        for part in text.split(","):
            side, _, pixels = part.strip().partition("=")
            if side not in ("left", "top", "right", "bottom") or side in sides or not pixels.isdecimal():
                raise ValueError(f"{text[:80]!r} is neither a number of pixels nor like left=128,bottom=64")
            sides[side] = int(pixels)
        return cls(**sides)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a picture that the model sees, in the picture's pixels; it may reach beyond the picture.

    The model sees it at `model_width` × `model_height`.
    """

    left: int
    top: int
    width: int
    height: int
    model_width: int
    model_height: int


def closest_size(width: int, height: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The model's size for a picture: nearest in shape, then the smallest that loses no detail, else the largest."""
    import math

    def distance(size: tuple[int, int]) -> float:
        return round(abs(math.log(size[0] / size[1]) - math.log(width / height)), 6)

    nearest = min(distance(size) for size in sizes)
    shaped = sorted((size for size in sizes if distance(size) == nearest), key=lambda size: size[0] * size[1])
    return next((size for size in shaped if size[0] >= width or size[1] >= height), shaped[-1])


def fitted(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Scale a picture until it covers width × height, and cut off evenly what stands out."""
    scale = max(width / pixels.shape[1], height / pixels.shape[0])
    across, down = max(width, round(pixels.shape[1] * scale)), max(height, round(pixels.shape[0] * scale))
    scaled = _resized(pixels, across, down)
    left, top = (across - width) // 2, (down - height) // 2
    return scaled[top : top + height, left : left + width]


def extended(pixels: NDArray[np.uint8], by: Extension) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The larger canvas, its border rows and columns repeated outwards, and the mask of what is new."""
    import numpy as np

    margins = ((by.top, by.bottom), (by.left, by.right))
    canvas = np.pad(pixels, (*margins, (0, 0)), mode="edge")
    return canvas, np.pad(np.zeros(pixels.shape[:2], np.uint8), margins, constant_values=255)


def window_around(mask: NDArray[np.uint8], sizes: Sequence[tuple[int, int]]) -> Window:
    """Where the model looks to repaint a mask.

    The whole picture if the model works at its size or at a larger one; of a larger picture the mask's surroundings,
    at the model's own resolution or coarser. `mask` must not be empty.
    """
    import numpy as np

    height, width = mask.shape
    model_width, model_height = closest_size(width, height, sizes)
    if (width, height) == (model_width, model_height):
        return Window(0, 0, width, height, width, height)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box_width, box_height = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    wanted_width, wanted_height = width, height
    if width > model_width or height > model_height:
        context = max(_CONTEXT_PIXELS, round(_CONTEXT_SHARE * max(box_width, box_height)))
        wanted_width, wanted_height = min(width, box_width + 2 * context), min(height, box_height + 2 * context)
        scale = max(1.0, wanted_width / model_width, wanted_height / model_height)
    else:
        scale = max(wanted_width / model_width, wanted_height / model_height)
    across, down = round(model_width * scale), round(model_height * scale)
    centre = (int(columns[0]) + box_width / 2, int(rows[0]) + box_height / 2)
    left, top = _placed(centre[0], across, width), _placed(centre[1], down, height)
    return Window(left, top, across, down, model_width, model_height)


def seen(pixels: NDArray[np.uint8], window: Window) -> NDArray[np.uint8]:
    """What the model sees of a picture, or of a mask, through a window; beyond the picture its border is repeated."""
    import numpy as np

    height, width = pixels.shape[:2]
    rows = np.clip(np.arange(window.top, window.top + window.height), 0, height - 1)
    columns = np.clip(np.arange(window.left, window.left + window.width), 0, width - 1)
    part = pixels[rows][:, columns]
    if pixels.ndim == 2:  # a mask stays black and white, and loses no thin line by being made smaller
        covered = _resized(part, window.model_width, window.model_height) > 0
        return np.where(covered, np.uint8(255), np.uint8(0))
    return _resized(part, window.model_width, window.model_height)


def pasted(
    picture: NDArray[np.uint8], painted: NDArray[np.uint8], window: Window, mask: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The picture with what the model painted inside the mask; outside, every pixel is the picture's own."""
    import numpy as np

    height, width = picture.shape[:2]
    full = _resized(painted, window.width, window.height)
    top, left = max(0, window.top), max(0, window.left)
    bottom, right = min(height, window.top + window.height), min(width, window.left + window.width)
    inside = (slice(top, bottom), slice(left, right))
    part = full[top - window.top : bottom - window.top, left - window.left : right - window.left]
    opacity = seam(mask)[inside][..., None]
    result = picture.copy()
    result[inside] = np.rint(opacity * part + (1 - opacity) * picture[inside]).astype(np.uint8)
    return result


def seam(mask: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Opacity of the new picture: 0 outside the mask, rising inside it; parts too thin for a seam are opaque."""
    import numpy as np

    inside = mask > 127
    levels = [inside]
    for _ in range(FEATHER_PIXELS - 1):
        levels.append(_eroded(levels[-1]))
    opacity = np.mean(np.stack(levels), axis=0, dtype=np.float32)
    thick = levels[-1]
    for _ in range(FEATHER_PIXELS - 1):
        thick = ~_eroded(~thick)
    return np.where(inside & ~thick, np.float32(1), opacity)


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the outermost pixels (3×3 neighbourhood); the picture's border is no edge."""
    import numpy as np

    padded = np.pad(mask, 1, mode="edge")
    rows = padded[:-2] & padded[1:-1] & padded[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _placed(centre: float, length: int, available: int) -> int:
    """Start of a stretch around `centre`, inside 0 to `available` where it fits, else evenly overlapping it."""
    if length >= available:
        return (available - length) // 2
    return int(min(max(0, round(centre - length / 2)), available - length))


def _resized(pixels: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return pixels
    import numpy as np
    from PIL import Image

    resampling = Image.Resampling.BOX if pixels.ndim == 2 else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(pixels).resize((width, height), resampling), np.uint8)
