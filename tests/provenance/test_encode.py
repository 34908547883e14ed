from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from provenance.disclosure import DisclosureFields
from provenance.encode import THUMBNAIL_MAX_BYTES, ImageFormat, encode_image, thumbnail_jpeg
from provenance.errors import EncodingError, PixelsError, UnsupportedFormatError
from provenance.pixels import Pixels
from tests.provenance.pictures import NOW, decoded, psnr_db, textured

FIELDS = DisclosureFields("Example Press", "Imprimatur", "0.1.0", NOW, "018f-record")


def test_png_keeps_every_pixel() -> None:
    pixels = textured(0, 200)
    assert (decoded(encode_image(pixels, "png", FIELDS)) == pixels).all()


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_lossy_formats_stay_close(image_format: ImageFormat) -> None:
    pixels = textured(0, 200)
    assert psnr_db(decoded(encode_image(pixels, image_format, FIELDS)), pixels) > 30


def test_equal_input_gives_equal_bytes() -> None:
    pixels = textured(0, 100)
    assert encode_image(pixels, "png", FIELDS) == encode_image(pixels, "png", FIELDS)


@pytest.mark.parametrize("height", [1, 2, 17])
def test_tiny_and_odd_sizes_are_encoded(height: int) -> None:
    assert decoded(encode_image(textured(0, 32)[:height], "jpeg", FIELDS)).shape == (height, 32, 3)


def test_other_formats_are_refused() -> None:
    with pytest.raises(UnsupportedFormatError, match="tiff"):
        encode_image(textured(0, 32), cast(ImageFormat, "tiff"), FIELDS)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_arrays_that_are_no_rgb_pixels_are_refused(pixels: Pixels) -> None:
    with pytest.raises(PixelsError, match="expected uint8 RGB"):
        encode_image(pixels, "png", FIELDS)


def test_a_side_beyond_webp_is_refused() -> None:
    with pytest.raises(EncodingError, match="choose png"):
        encode_image(np.zeros((1, 16_384, 3), np.uint8), "webp", FIELDS)


@pytest.mark.parametrize("size", [1, 64, 1024])
def test_thumbnails_are_small_whatever_the_picture(size: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3)).astype(np.uint8)
    thumbnail = thumbnail_jpeg(noise)
    assert len(thumbnail) <= THUMBNAIL_MAX_BYTES
    assert max(decoded(thumbnail).shape) <= 256
