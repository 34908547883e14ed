"""How much a picture hides, and how its own detail is kept from drowning the mark.

Strength follows the structural similarity index (Z. Wang et al., IEEE Trans. Image Processing 13(4), 2004): a ripple
of mean square m lowers the index of a window of variance v by m / (2 v + C2), so a constant loss gives the strength.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Luma = NDArray[np.float32]

SIMILARITY_LOSS: Final = 0.023  # of the index, in every window
MAXIMUM_STRENGTH: Final = 2.5  # grey levels, root mean square
MINIMUM_PSNR_DB: Final = 42.2
_C2: Final = (0.03 * 255) ** 2
_BACKGROUND: Final = 13  # pixels of the grid: slower changes than this are no detail
_WINDOW: Final = 9
_NOISE_FLOOR: Final = 4.0  # variance of what coding leaves in plain areas
_LIMIT: Final = 2.0  # of a normalised value: a lone edge must not outvote the rest


def strength(luma: Luma) -> Luma:
    """Root mean square of the ripple that each place may carry, in grey levels."""
    _, variance = _detail(luma)
    deviation = ndimage.minimum_filter(np.sqrt(variance), _WINDOW)  # a lone edge hides nothing beside it
    smooth = ndimage.uniform_filter(deviation, _WINDOW)
    return _tolerated(smooth**2)


def within_psnr(change: Luma) -> Luma:
    """The change, made weaker where it would fall below the PSNR floor."""
    allowed = np.float32(255.0 / 10 ** (MINIMUM_PSNR_DB / 20))
    actual = np.sqrt(np.mean(change**2, dtype=np.float64))
    return change if actual <= allowed else change * np.float32(allowed / actual)


def normalised(luma: Luma) -> Luma:
    """Detail of the picture, weighed as a matched filter does: expected mark over the picture's own variance."""
    detail, variance = _detail(luma)
    smooth = ndimage.uniform_filter(np.sqrt(variance), _WINDOW) ** 2
    weighed: Luma = np.clip(detail * _tolerated(smooth) / (smooth + _NOISE_FLOOR), -_LIMIT, _LIMIT)
    return weighed


def _detail(luma: Luma) -> tuple[Luma, Luma]:
    detail = luma - ndimage.uniform_filter(luma, _BACKGROUND)
    return detail, np.maximum(ndimage.uniform_filter(detail * detail, _WINDOW), 0.0)


def _tolerated(variance: Luma) -> Luma:
    ripple: Luma = np.minimum(np.sqrt(SIMILARITY_LOSS * (2.0 * variance + _C2)), MAXIMUM_STRENGTH).astype(np.float32)
    return ripple
