"""Which part of a released picture a crop shows: the last step of telling a crop from another picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance.pixels import Pixels, require_pixels

AGREES_FROM: Final = 0.6  # correlation of detail; other pictures stay below 0.5 (benchmarks/fingerprint.py)
_SIDE: Final = 256  # pixels of the whole picture's shorter side when compared
_SMALLEST_SIDE: Final = 48  # of a part, on that scale
_FINE, _COARSE = 1.0, 12.0  # standard deviations of the band of detail that is compared
_LEAST_SHARE: Final = 0.5
_LEAST_DETAIL: Final = 1.5  # grey levels, root mean square

_TILES: Final = 3  # by this many
_EXCLUDED_BELOW: Final = 0.55  # correlation under which a ninth is taken for no part of the other picture
_SLACK: Final = 0.02

Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Region:
    """A part of a whole picture, in fractions of its sides, and how well the details correlate (-1 to 1).

    `share`: how much of the examined picture it fills; less than 1 where there is something around it.
    """

    left: float
    top: float
    width: float
    height: float
    correlation: float
    share: float = 1.0


def find_region(part: Pixels, whole: Pixels, scale: float, least: float = AGREES_FROM) -> Region | None:
    """Where `part` lies in `whole`, both uint8 RGB and turned alike; None where it is too small, plain, or not there.

    `scale`: pixels of the part that one pixel of the whole measures. `least`: correlation that counts as found. A part
    that is larger than the whole on both sides (padding, a page around it) is searched for the whole instead, which
    must fill half of it. Normalised cross-correlation of band-passed luma (J. P. Lewis, "Fast normalized
    cross-correlation", 1995). Raises `PixelsError`.
    """
    factor = _SIDE / min(require_pixels(whole).shape[:2])
    wide = _detail(whole, factor)
    narrow = _detail(require_pixels(part), factor / scale)
    larger = [a >= b for a, b in zip(narrow.shape, wide.shape, strict=True)]
    if all(larger):
        share = wide.size / narrow.size
        found = _best(wide, narrow, least) if share >= _LEAST_SHARE else None
        return found and Region(0.0, 0.0, 1.0, 1.0, found[2], share)
    rows, columns = (min(a, b) for a, b in zip(narrow.shape, wide.shape, strict=True))
    found = _best(narrow[:rows, :columns], wide, least)
    if found is None:
        return None
    top, left, correlation = found
    height, width = wide.shape
    return Region(left / width, top / height, columns / width, rows / height, correlation)


def shares_a_part(picture: Pixels, whole: Pixels, scale: float) -> bool | None:
    """Whether any ninth of a picture that is at least as large as `whole` on both sides may come from it.

    None where nothing can be said: the picture is smaller on a side, so much larger that most of it is something
    else, or too plain. `scale` as for `find_region`. True from a correlation that other pictures seldom reach: it
    excludes.
    """
    factor = _SIDE / min(require_pixels(whole).shape[:2])
    wide = _detail(whole, factor)
    shown = _detail(require_pixels(picture), factor / scale)
    if any(a < (1 - _SLACK) * b for a, b in zip(shown.shape, wide.shape, strict=True)):
        return None
    if wide.size / shown.size < _LEAST_SHARE:
        return None
    tiles = [tile for row in np.array_split(shown, _TILES) for tile in np.array_split(row, _TILES, axis=1)]
    fitting = [tile[: wide.shape[0], : wide.shape[1]] for tile in tiles]
    telling = [tile for tile in fitting if min(tile.shape) >= _SMALLEST_SIDE and float(tile.std()) >= _LEAST_DETAIL]
    if len(telling) < _TILES or float(wide.std()) < _LEAST_DETAIL:
        return None
    return any(_best(tile, wide, _EXCLUDED_BELOW) is not None for tile in telling)


def _detail(pixels: Pixels, factor: float) -> Plane:
    from scipy import ndimage

    luma = Image.fromarray(pixels).convert("L")
    size = max(1, round(luma.width * factor)), max(1, round(luma.height * factor))
    plane = np.asarray(luma.resize(size, Image.Resampling.BICUBIC), np.float32)
    band: Plane = ndimage.gaussian_filter(plane, _FINE) - ndimage.gaussian_filter(plane, _COARSE)
    return band


def _best(template: Plane, field: Plane, least: float) -> tuple[int, int, float] | None:
    """Row, column and correlation of the best place of `template` in `field`; None below `least`."""
    from scipy import signal

    if min(template.shape) < _SMALLEST_SIDE:
        return None
    template = template - template.mean()
    energy = float((template**2).sum())
    if energy < _LEAST_DETAIL**2 * template.size:
        return None
    products = signal.fftconvolve(field, template[::-1, ::-1], mode="valid")
    sums, squares = (_box_sums(plane, template.shape) for plane in (field, field**2))
    spread = np.sqrt(np.maximum(squares - sums**2 / template.size, 0.0) * energy)
    correlation = products / np.maximum(spread, 1e-6)
    row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
    highest = float(correlation[row, column])
    return (int(row), int(column), highest) if highest >= least else None


def _box_sums(plane: Plane, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Sum of the plane under a box of `shape` at every place where it fits."""
    rows, columns = shape
    corners = np.pad(plane.astype(np.float64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    below = corners[rows:, columns:] - corners[rows:, :-columns]
    above = corners[:-rows, columns:] - corners[:-rows, :-columns]
    sums: NDArray[np.float64] = below - above
    return sums
