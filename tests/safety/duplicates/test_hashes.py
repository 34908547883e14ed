from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from safety import PixelsError
from safety.duplicates.hashes import HASH_BITS, distance_bits, perceptual_hash
from safety.duplicates.matches import MATCH_DISTANCE_BITS, confidence

Pixels = NDArray[np.uint8]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image)


def halved(pixels: Pixels) -> Pixels:
    image = Image.fromarray(pixels)
    return np.asarray(image.resize((image.width // 2, image.height // 2)))


def test_copies_stay_near_and_others_far(photographs: list[Pixels]) -> None:
    hashes = [perceptual_hash(pixels).bits for pixels in photographs]
    for position, pixels in enumerate(photographs):
        for copy in (jpeg(pixels, 50), halved(pixels)):
            distances = [distance_bits(perceptual_hash(copy).bits, bits) for bits in hashes]
            assert distances[position] <= 20
            assert all(d > MATCH_DISTANCE_BITS for p, d in enumerate(distances) if p != position)


def test_bits_are_as_postgresql_writes_them(photographs: list[Pixels]) -> None:
    bits = perceptual_hash(photographs[0]).bits
    assert len(bits) == HASH_BITS
    assert set(bits) == {"0", "1"}


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((1, 1, 3), np.uint8), np.full((300, 400, 3), 90, np.uint8), np.zeros((2, 900, 3), np.uint8)],
)
def test_picture_without_structure_is_not_usable(pixels: Pixels) -> None:
    assert not perceptual_hash(pixels).usable


def test_photographs_and_flat_scenes_are_usable(photographs: list[Pixels], flat_scenes: list[Pixels]) -> None:
    assert all(perceptual_hash(pixels).usable for pixels in (*photographs, *flat_scenes))


def test_distance_counts_differing_bits() -> None:
    assert distance_bits("0" * 256, "0" * 250 + "1" * 6) == 6


def test_confidence_falls_linearly_from_one_to_zero() -> None:
    assert confidence(0) == 1.0
    assert confidence(MATCH_DISTANCE_BITS) == 0.5
    assert confidence(2 * MATCH_DISTANCE_BITS) == confidence(HASH_BITS) == 0.0


def test_other_arrays_are_refused() -> None:
    with pytest.raises(PixelsError):
        perceptual_hash(np.zeros((5, 5), np.uint8))
