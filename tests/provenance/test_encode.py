from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from provenance.disclosure import DisclosureFields
from provenance.encode import THUMBNAIL_MAX_BYTES, ImageFormat, encode_image, thumbnail_jpeg
from provenance.errors import EncodingError, PixelsError, UnsupportedFormatError
from provenance.metadata import read_disclosure
from provenance.pixels import Pixels
from provenance.vocabulary import COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA, TRAINED_ALGORITHMIC_MEDIA
from tests.provenance.pictures import NOW, decoded, psnr_db, textured

FIELDS = DisclosureFields("Example Press", "Imprimatur", "0.1.0", NOW, "018f-record")


@pytest.mark.parametrize("image_format", ["png", "tiff"])
def test_lossless_formats_keep_every_pixel(image_format: ImageFormat) -> None:
    pixels = textured(0, 200)
    assert (decoded(encode_image(pixels, image_format, FIELDS)) == pixels).all()


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif"])
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
    with pytest.raises(UnsupportedFormatError, match="bmp"):
        encode_image(textured(0, 32), cast(ImageFormat, "bmp"), FIELDS)


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


FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp", "avif", "tiff")


@pytest.mark.parametrize("image_format", FORMATS)
def test_our_own_reader_finds_the_disclosure(image_format: ImageFormat) -> None:
    report = read_disclosure(encode_image(textured(0, 64), image_format, FIELDS))
    assert report.unique_id == "018f-record"
    assert {entry.kind for entry in report.evidence} >= {"digital_source_type", "ai_system", "aigc_label"}
    assert not report.problems


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool (Debian: libimage-exiftool-perl)")
@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("origin", ["created", "altered"])
def test_an_independent_tool_reads_the_disclosure(tmp_path: Path, image_format: ImageFormat, origin: Any) -> None:
    fields = DisclosureFields("Example Press & Söhne", "Imprimatur", "0.1.0", NOW, "018f-record", origin)
    path = tmp_path / f"picture.{image_format}"
    path.write_bytes(encode_image(textured(0, 64), image_format, fields))

    shown = subprocess.run(["exiftool", "-json", "-struct", "-G1", path], capture_output=True, check=True)

    tags = json.loads(shown.stdout)[0]
    expected = TRAINED_ALGORITHMIC_MEDIA if origin == "created" else COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
    assert tags["XMP-iptcExt:DigitalSourceType"] == expected
    assert tags["XMP-photoshop:Credit"] == "Example Press & Söhne"
    assert tags["XMP-xmp:CreatorTool"] == "Imprimatur 0.1.0"
    assert tags["XMP-dc:Identifier"] == "018f-record"
    label = next(value for name, value in tags.items() if name.upper().endswith(":AIGC"))
    assert (label if isinstance(label, dict) else json.loads(label))["ProduceID"] == "018f-record"
    ai_system = {name: value for name, value in tags.items() if "AISystem" in name or "Aisystem" in name}
    assert set(map(str, ai_system.values())) == {"Imprimatur", "0.1.0"}, tags
