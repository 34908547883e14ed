"""The carrier: low frequencies of the 8×8 cosine transform of the luma, on a grid of 512×512 whatever the size.

Normalising to one grid makes the mark indifferent to scaling; at 512×512 the blocks are those of JPEG, whose
quantisation is gentlest for exactly these frequencies.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance.pixels import Pixels

GRID: Final = 512
BLOCK: Final = 8
BLOCKS_PER_SIDE: Final = GRID // BLOCK
BLOCKS: Final = BLOCKS_PER_SIDE**2

# (vertical, horizontal) frequencies that may carry; the set is closed under transposition.
CARRIER_FREQUENCIES: Final = ((0, 1), (1, 0), (1, 1))
_FREQUENCIES: Final = 2  # 0 and 1: all that the carriers need

Luma = NDArray[np.float32]
Coefficients = NDArray[np.float32]  # (blocks down, blocks across, carrier)


def luma_grid(image: Image.Image) -> Luma:
    """ITU-R BT.601 luma (what JPEG and WebP code), resampled to the grid; float32 (512, 512), 0 to 255."""
    luma = image.convert("L")
    if luma.size != (GRID, GRID):
        luma = luma.resize((GRID, GRID), Image.Resampling.BICUBIC)  # anti-aliased where it shrinks
    return np.asarray(luma, np.float32)


def forward(luma: Luma) -> Coefficients:
    """Carrier coefficients of each block, orthonormal DCT-II."""
    basis = _basis()
    blocks = luma.reshape(BLOCKS_PER_SIDE, BLOCK, BLOCKS_PER_SIDE, BLOCK)
    rows = np.tensordot(blocks, basis, axes=(1, 1))  # (down, across, x, v)
    both = np.tensordot(rows, basis, axes=(2, 1))  # (down, across, v, u)
    return np.stack([both[:, :, v, u] for v, u in CARRIER_FREQUENCIES], axis=-1)


def inverse(coefficients: Coefficients) -> Luma:
    """Luma change (512, 512) of a change of the carrier coefficients."""
    basis = _basis()
    full = np.zeros((BLOCKS_PER_SIDE, BLOCKS_PER_SIDE, _FREQUENCIES, _FREQUENCIES), np.float32)
    for index, (v, u) in enumerate(CARRIER_FREQUENCIES):
        full[:, :, v, u] = coefficients[..., index]
    rows = np.tensordot(full, basis, axes=(2, 0))  # (down, across, u, y)
    both = np.tensordot(rows, basis, axes=(2, 0))  # (down, across, y, x)
    return np.ascontiguousarray(both.transpose(0, 2, 1, 3)).reshape(GRID, GRID)


def stretch(change: Luma, size: tuple[int, int]) -> Luma:
    """A luma change resampled from the grid to a picture of `size` (width, height)."""
    if size == (GRID, GRID):
        return change
    return np.asarray(Image.fromarray(change).resize(size, Image.Resampling.BICUBIC), np.float32)


def as_seen(change: Luma, size: tuple[int, int]) -> Luma:
    """What is left of a change on the grid once it went to a picture of `size` and back.

    Larger pictures than the grid lose too little to count.
    """
    if min(size) >= GRID or not change.any():
        return change
    there = Image.fromarray(stretch(change, size))
    return np.asarray(there.resize((GRID, GRID), Image.Resampling.BICUBIC), np.float32)


def orientations(coefficients: Coefficients) -> NDArray[np.float32]:
    """Coefficients of the picture turned and mirrored in all eight ways: (8, down, across, carrier).

    Index bits: 4 = transposed first, 2 = then upside down, 1 = then mirrored left-right.
    """
    transposed = [CARRIER_FREQUENCIES.index((u, v)) for v, u in CARRIER_FREQUENCIES]
    odd_v = np.array([-1.0 if v % 2 else 1.0 for v, _ in CARRIER_FREQUENCIES], np.float32)
    odd_u = np.array([-1.0 if u % 2 else 1.0 for _, u in CARRIER_FREQUENCIES], np.float32)
    found = []
    for index in range(8):
        view = coefficients.transpose(1, 0, 2)[..., transposed] if index & 4 else coefficients
        view = view[::-1] * odd_v if index & 2 else view
        found.append(view[:, ::-1] * odd_u if index & 1 else view)
    return np.stack(found)


def to_image(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels)


def _basis() -> NDArray[np.float32]:
    """Rows of the orthonormal DCT-II of length 8 for frequencies 0 and 1."""
    n = np.arange(BLOCK)
    rows = [np.full(BLOCK, np.sqrt(1 / BLOCK)), np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * n + 1) / (2 * BLOCK))]
    return np.stack(rows).astype(np.float32)
