"""Perceptual hashes: 256 bits that stay nearly the same under recompression and rescaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety.checks import require_rgb

HASH_SIDE = 16
HASH_BITS = HASH_SIDE * HASH_SIDE

INFORMATION_MIN = 4.0
"""Least `PerceptualHash.information` that is searched or listed. A blank or nearly blank picture has no
structure for the hash to describe: its bits are rounding noise, and such hashes match each other at
random. Photographs measure 10 to 113, flat illustrations on one colour 6 to 80
(`benchmarks/results/duplicates.md`)."""

_REDUCED_SIDE = 64


@dataclass(frozen=True, slots=True)
class PerceptualHash:
    """`bits` is a string of 256 characters 0 and 1, as PostgreSQL writes BIT(256).

    `information` is the standard deviation of the luma (0 to 255) after reduction to 64x64 pixels.
    """

    bits: str
    information: float

    @property
    def usable(self) -> bool:
        """Whether the picture has enough structure for its hash to mean something."""
        return self.information >= INFORMATION_MIN


def perceptual_hash(pixels: NDArray[np.uint8]) -> PerceptualHash:
    """Hash of `pixels` (uint8, (H, W, 3), RGB).

    The discrete cosine transform of the 64x64 luma, its 16x16 lowest frequencies, each compared with
    their median (`imagehash.phash` with `hash_size=16`; Zauner 2010, section 3.2.1). Raises `PixelsError`.
    """
    require_rgb(pixels)
    import imagehash
    from PIL import Image

    reduced = Image.fromarray(pixels).convert("L").resize((_REDUCED_SIDE, _REDUCED_SIDE), Image.Resampling.LANCZOS)
    bits = imagehash.phash(reduced, hash_size=HASH_SIDE).hash
    luma = np.asarray(reduced, dtype=np.float64)
    return PerceptualHash("".join("1" if bit else "0" for bit in bits.ravel()), float(luma.std()))


def distance_bits(first: str, second: str) -> int:
    """Hamming distance of two hashes, 0 to 256."""
    return (int(first, 2) ^ int(second, 2)).bit_count()
