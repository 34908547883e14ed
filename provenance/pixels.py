"""The one currency of this package: upright 8-bit sRGB pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from provenance.errors import PixelsError

Pixels = NDArray[np.uint8]


def require_pixels(pixels: Pixels) -> Pixels:
    """`pixels` itself where it is uint8 of shape (height, width, 3) with at least one pixel; else `PixelsError`."""
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
        raise PixelsError(
            f"Got an array of {pixels.dtype} with shape {pixels.shape}; expected uint8 RGB of shape "
            "(height, width, 3). Decode the image to upright sRGB first."
        )
    return pixels
