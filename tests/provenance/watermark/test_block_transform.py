from __future__ import annotations

import numpy as np
from PIL import Image
from scipy.fft import dctn

from provenance.watermark.block_transform import (
    BLOCKS_PER_SIDE,
    CARRIER_FREQUENCIES,
    GRID,
    as_seen,
    forward,
    inverse,
    luma_grid,
    orientations,
    stretch,
)

RNG = np.random.default_rng(0)


def test_coefficients_are_the_orthonormal_cosine_transforms() -> None:
    luma = RNG.uniform(0, 255, (GRID, GRID)).astype(np.float32)
    found = forward(luma)
    for row, column in ((0, 0), (5, 60), (63, 63)):
        block = luma[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].astype(np.float64)
        expected = dctn(block, norm="ortho")
        for index, (v, u) in enumerate(CARRIER_FREQUENCIES):
            assert abs(found[row, column, index] - expected[v, u]) < 1e-2


def test_the_inverse_gives_the_coefficients_back() -> None:
    coefficients = RNG.normal(0, 5, (BLOCKS_PER_SIDE, BLOCKS_PER_SIDE, 3)).astype(np.float32)
    assert np.abs(forward(inverse(coefficients)) - coefficients).max() < 1e-4


def test_orientations_are_those_of_the_turned_picture() -> None:
    luma = RNG.uniform(0, 255, (GRID, GRID)).astype(np.float32)
    found = orientations(forward(luma))
    for index in range(8):
        turned = luma.T if index & 4 else luma
        turned = turned[::-1] if index & 2 else turned
        turned = turned[:, ::-1] if index & 1 else turned
        assert np.abs(found[index] - forward(np.ascontiguousarray(turned))).max() < 1e-2


def test_any_size_is_brought_to_the_grid() -> None:
    for size in ((512, 512), (1, 1), (300, 1000), (2000, 128)):
        assert luma_grid(Image.new("RGB", size, (10, 20, 30))).shape == (GRID, GRID)


def test_a_change_goes_to_a_larger_picture_and_survives_the_way_back() -> None:
    change = inverse(RNG.normal(0, 5, (BLOCKS_PER_SIDE, BLOCKS_PER_SIDE, 3)).astype(np.float32))
    large = stretch(change, (1024, 768))
    assert large.shape == (768, 1024)
    back = np.asarray(Image.fromarray(large).resize((GRID, GRID), Image.Resampling.BICUBIC), np.float32)
    correlation = np.corrcoef(forward(back).ravel(), forward(change).ravel())[0, 1]
    assert correlation > 0.98


def test_what_a_small_picture_loses_is_simulated() -> None:
    change = inverse(RNG.normal(0, 5, (BLOCKS_PER_SIDE, BLOCKS_PER_SIDE, 3)).astype(np.float32))
    assert as_seen(change, (512, 512)) is change
    assert np.square(as_seen(change, (256, 256))).sum() < 0.95 * np.square(change).sum()
