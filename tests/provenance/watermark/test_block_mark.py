from __future__ import annotations

import secrets

import numpy as np
import pytest

from provenance.errors import PayloadError, PictureTooSmallError, PixelsError
from provenance.pixels import Pixels
from provenance.watermark import Watermark, WatermarkKey
from provenance.watermark.block_mark import FALSE_POSITIVE_RATE, BlockMark
from tests.provenance.pictures import flat, psnr_db, recoded, resized, textured

PAYLOAD = 0x1A2B_3C4D_5E6F_7081
SERVICE = BlockMark(WatermarkKey(b"a service key of 32 random bytes", "service"))
LABORATORY = BlockMark(WatermarkKey(b"a laboratory key of other bytes!", "laboratory"))

PICTURES = {
    "textured": textured(1),
    "textured-wide": textured(2, 1024)[:700],
    "flat": flat(1),
    "flat-on-yellow": flat(2, background=(255, 220, 0)),
    "grey": np.full((512, 512, 3), 128, np.uint8),
    "white": np.full((512, 512, 3), 255, np.uint8),
    "black": np.zeros((512, 512, 3), np.uint8),
    "gradient": np.broadcast_to(np.linspace(0, 255, 512).astype(np.uint8)[None, :, None], (512, 512, 3)).copy(),
}


@pytest.fixture(scope="module", params=PICTURES)
def pair(request: pytest.FixtureRequest) -> tuple[Pixels, Pixels]:
    """A picture and its marked copy."""
    picture = PICTURES[request.param]
    return picture, SERVICE.embed(picture, PAYLOAD)


def test_it_is_a_watermark() -> None:
    assert isinstance(SERVICE, Watermark)


def test_the_payload_is_read_back(pair: tuple[Pixels, Pixels]) -> None:
    detection = SERVICE.detect(pair[1])
    assert detection.detected
    assert detection.payload == PAYLOAD
    assert detection.confidence > 0.8
    assert detection.key_name == "service"


def test_shape_and_type_stay_and_the_change_is_small(pair: tuple[Pixels, Pixels]) -> None:
    picture, marked = pair
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8
    assert psnr_db(picture, marked) >= 42
    assert np.abs(marked.astype(int) - picture).max() <= 12


@pytest.mark.parametrize("quality", [90, 70])
def test_it_survives_jpeg(pair: tuple[Pixels, Pixels], quality: int) -> None:
    assert SERVICE.detect(recoded(pair[1], "jpeg", quality)).payload == PAYLOAD


def test_it_survives_half_the_size_and_back(pair: tuple[Pixels, Pixels]) -> None:
    marked = pair[1]
    height, width = marked.shape[:2]
    half = resized(marked, width // 2, height // 2)
    assert SERVICE.detect(half).payload == PAYLOAD
    assert SERVICE.detect(resized(half, width, height)).payload == PAYLOAD


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (400, 400), (333, 517)])
def test_it_survives_an_unknown_size(width: int, height: int) -> None:
    marked = SERVICE.embed(textured(3), PAYLOAD)
    detection = SERVICE.detect(resized(marked, width, height))
    assert detection.payload == PAYLOAD
    assert (detection.geometry.scale_x, detection.geometry.scale_y) == (width / 512, height / 512)


@pytest.mark.parametrize("name", ["textured", "flat", "flat-on-yellow"])
def test_it_survives_webp(name: str) -> None:
    assert SERVICE.detect(recoded(SERVICE.embed(PICTURES[name], PAYLOAD), "webp", 75)).payload == PAYLOAD


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 25), (1.0, -25), (0.7, 0), (1.2, 0)])
def test_it_survives_brightness_and_contrast(gain: float, offset: int) -> None:
    marked = SERVICE.embed(textured(4), PAYLOAD).astype(float)
    changed = np.clip((marked - 128) * gain + 128 + offset, 0, 255).astype(np.uint8)
    assert SERVICE.detect(changed).payload == PAYLOAD


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turning_and_mirroring_are_found_and_can_be_undone(turns: int, mirrored: bool) -> None:
    marked = SERVICE.embed(textured(5)[:400], PAYLOAD)
    turned = np.rot90(marked, turns)
    turned = np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)

    detection = SERVICE.detect(turned)

    assert detection.payload == PAYLOAD
    assert detection.geometry.mirrored == mirrored
    assert (detection.geometry.align(turned) == marked).all()


@pytest.mark.parametrize("payload", [0, 1, 2**64 - 1, 2**63])
def test_every_payload_can_be_carried(payload: int) -> None:
    assert SERVICE.detect(SERVICE.embed(textured(6), payload)).payload == payload


def test_equal_input_gives_equal_pixels() -> None:
    assert (SERVICE.embed(textured(7), 5) == BlockMark(SERVICE._key).embed(textured(7), 5)).all()


def test_the_given_pixels_are_left_alone() -> None:
    picture = textured(7)
    before = picture.copy()
    SERVICE.embed(picture, 5)
    assert (picture == before).all()


def test_a_service_mark_does_not_read_under_the_laboratory_key_and_the_other_way() -> None:
    picture = textured(8)
    assert not LABORATORY.detect(SERVICE.embed(picture, PAYLOAD)).detected
    assert not SERVICE.detect(LABORATORY.embed(picture, PAYLOAD)).detected


@pytest.mark.parametrize("name", PICTURES)
def test_an_unmarked_picture_has_no_mark(name: str) -> None:
    detection = SERVICE.detect(PICTURES[name])
    assert not detection.detected
    assert detection.payload is None
    assert detection.confidence == 0.0


def test_no_mark_is_found_under_many_random_keys() -> None:
    picture = textured(9, 256)
    for _ in range(50):
        assert not BlockMark(WatermarkKey(secrets.token_bytes(32), "service")).detect(picture).detected


def test_the_stated_chance_is_below_one_in_a_million() -> None:
    assert SERVICE.detect(textured(9)).false_positive_rate == FALSE_POSITIVE_RATE == 8 / 2**32 < 1e-6


@pytest.mark.parametrize(("height", "width"), [(127, 512), (512, 127), (1, 1)])
def test_pictures_too_small_to_mark_are_refused_and_read_as_unmarked(height: int, width: int) -> None:
    small = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(PictureTooSmallError, match=f"{width}×{height}"):
        SERVICE.embed(small, 1)
    assert not SERVICE.detect(small).detected


@pytest.mark.parametrize("payload", [-1, 2**64])
def test_payloads_out_of_range_are_refused(payload: int) -> None:
    with pytest.raises(PayloadError, match="64 bits"):
        SERVICE.embed(textured(9), payload)


def test_other_arrays_are_refused() -> None:
    for array in (np.zeros((512, 512), np.uint8), np.zeros((512, 512, 3), np.int16)):
        with pytest.raises(PixelsError):
            SERVICE.embed(array, 1)  # type: ignore[arg-type]
        with pytest.raises(PixelsError):
            SERVICE.detect(array)  # type: ignore[arg-type]
