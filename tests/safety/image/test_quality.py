from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from safety import Outcome, PixelsError
from safety.image.quality import QualityCheck, measure
from tests.safety.conftest import read_pixels

Pixels = NDArray[np.uint8]


def noise(side: int, cell: int = 1, low: int = 0, high: int = 256) -> Pixels:
    small = np.random.default_rng(side + cell).integers(low, high, (side // cell, side // cell, 3), dtype=np.uint8)
    return small.repeat(cell, axis=0).repeat(cell, axis=1)


def recompressed(pixels: Pixels, quality: int) -> Pixels:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as image:
        return np.asarray(image.convert("RGB"))


def nearly_blank() -> Pixels:
    pixels = np.full((512, 512, 3), 200, np.uint8)
    pixels[100:105, 100:105] = 10
    return pixels


FAILURES = {
    "black": (np.zeros((512, 512, 3), np.uint8), "blank"),
    "grey with rounding noise": (noise(512, low=127, high=129), "blank"),
    "a few specks": (nearly_blank(), "blank"),
    "one pixel": (np.full((1, 1, 3), 7, np.uint8), "blank"),
    "white noise": (noise(512), "noise"),
    "dim noise": (noise(512, low=100, high=156), "noise"),
    "recompressed noise": (recompressed(noise(512), 50), "noise"),
    "noise of 8 pixels a cell": (noise(512, cell=8), "noise"),
    "clipped noise": (np.where(noise(512) > 127, 255, 0).astype(np.uint8), "noise"),
    "clipped noise of 8 pixels a cell": (np.where(noise(512, cell=8) > 127, 255, 0).astype(np.uint8), "saturated"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_failed_picture_is_blocked_and_the_fault_is_named(name: str) -> None:
    pixels, fault = FAILURES[name]
    finding = QualityCheck().examine(pixels)[0]
    assert finding.outcome is Outcome.BLOCK
    assert finding.evidence["fault"] == fault


def test_photographs_pass(photographs: list[Pixels]) -> None:
    check = QualityCheck()
    assert [check.examine(pixels)[0].outcome for pixels in photographs] == [Outcome.PASS] * len(photographs)


def test_flat_scenes_pass_also_after_recompression(flat_scenes: list[Pixels]) -> None:
    check = QualityCheck()
    for pixels in flat_scenes:
        assert check.examine(pixels)[0].outcome is Outcome.PASS
        assert check.examine(recompressed(pixels, 50))[0].outcome is Outcome.PASS


def test_a_small_pale_object_on_white_passes() -> None:
    image = Image.new("RGB", (512, 512), (255, 255, 255))
    ImageDraw.Draw(image).ellipse((240, 240, 280, 270), fill=(215, 225, 235))
    assert QualityCheck().examine(np.asarray(image))[0].outcome is Outcome.PASS


def test_a_page_of_text_passes() -> None:
    image = Image.new("RGB", (512, 512), (255, 255, 255))
    draw = ImageDraw.Draw(image)
    for line in range(40):
        draw.text((10, 12 * line), "the quick brown fox jumps over the lazy dog " * 2, fill=(0, 0, 0))
    assert QualityCheck().examine(np.asarray(image))[0].outcome is Outcome.PASS


def test_a_real_blank_photograph_is_blocked(shared_data: Path) -> None:
    pixels = read_pixels(shared_data / "images" / "cleared" / "camera" / "Sony_DSC-P12.jpg")
    assert QualityCheck().examine(pixels)[0].evidence["fault"] == "blank"


def test_an_object_in_the_corner_of_a_large_picture_is_seen() -> None:
    pixels = np.full((4000, 4000, 3), 255, np.uint8)
    pixels[100:700, 100:700] = 30
    assert QualityCheck().examine(pixels)[0].outcome is Outcome.PASS


def test_measures_of_noise_and_of_a_ramp_are_the_known_ones() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))

    assert abs(measure(noise(512)).fine_structure) < 0.02
    assert measure(ramp).fine_structure > 0.95
    assert measure(ramp).entropy_bits == pytest.approx(8.0, abs=0.01)
    assert measure(ramp).chroma == 0.0


def test_other_arrays_are_refused() -> None:
    with pytest.raises(PixelsError):
        QualityCheck().examine(np.zeros((5, 5), np.uint8))
