from __future__ import annotations

import secrets
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from provenance.errors import PayloadError, PictureTooSmallError, PixelsError
from provenance.pixels import Pixels
from provenance.watermark import Watermark, WatermarkKey
from provenance.watermark.lattice_mark import ATTEMPTS, LatticeMark
from tests.provenance.pictures import flat, psnr_db, recoded, resized, textured

PAYLOAD = 0x1A2B_3C4D_5E6F_7081
SERVICE_KEY = WatermarkKey(b"a service key of 32 random bytes", "service")
OLDER_KEY = WatermarkKey(b"the service key of the last year", "service")
LABORATORY_KEY = WatermarkKey(b"a laboratory key of other bytes!", "laboratory")
SERVICE = LatticeMark(SERVICE_KEY)
LABORATORY = LatticeMark(LABORATORY_KEY)

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


def rotated(degrees: float) -> Callable[[Pixels], Pixels]:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC))


def cropped(top: float, left: float, share: float) -> Callable[[Pixels], Pixels]:
    """A part with `share` of each side, its corner at `top`, `left`, all in fractions."""

    def attack(pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        rows = slice(int(top * height), int((top + share) * height))
        columns = slice(int(left * width), int((left + share) * width))
        return np.ascontiguousarray(pixels[rows, columns])

    return attack


def padded(share: float) -> Callable[[Pixels], Pixels]:
    def attack(pixels: Pixels) -> Pixels:
        rows, columns = (int(side * share) for side in pixels.shape[:2])
        return np.pad(pixels, ((rows, rows), (columns, columns), (0, 0)), constant_values=255)

    return attack


@pytest.fixture(scope="module", params=PICTURES)
def pair(request: pytest.FixtureRequest) -> tuple[Pixels, Pixels]:
    """A picture and its marked copy."""
    picture = PICTURES[request.param]
    return picture, SERVICE.embed(picture, PAYLOAD)


@pytest.fixture(scope="module", params=["textured", "flat"])
def marked(request: pytest.FixtureRequest) -> Pixels:
    return SERVICE.embed(PICTURES[request.param], PAYLOAD)


def test_it_is_a_watermark() -> None:
    assert isinstance(SERVICE, Watermark)


def test_the_payload_is_read_back(pair: tuple[Pixels, Pixels]) -> None:
    detection = SERVICE.detect(pair[1])
    assert detection.detected
    assert detection.payload == PAYLOAD
    assert detection.confidence > 0.8
    assert detection.key_name == "service"
    assert detection.geometry.shows_whole(*pair[1].shape[1::-1])


def test_shape_and_type_stay_and_the_change_is_small(pair: tuple[Pixels, Pixels]) -> None:
    picture, marked = pair
    assert marked.shape == picture.shape
    assert marked.dtype == np.uint8
    assert psnr_db(picture, marked) >= 42
    assert np.abs(marked.astype(int) - picture).max() <= 12


@pytest.mark.parametrize("quality", [90, 50])
def test_it_survives_jpeg(pair: tuple[Pixels, Pixels], quality: int) -> None:
    assert SERVICE.detect(recoded(pair[1], "jpeg", quality)).payload == PAYLOAD


def test_it_survives_half_the_size_and_back(pair: tuple[Pixels, Pixels]) -> None:
    marked = pair[1]
    height, width = marked.shape[:2]
    half = resized(marked, width // 2, height // 2)
    assert SERVICE.detect(half).payload == PAYLOAD
    assert SERVICE.detect(resized(half, width, height)).payload == PAYLOAD


@pytest.mark.parametrize("side", [1024, 400, 333])
def test_it_survives_an_unknown_size(marked: Pixels, side: int) -> None:
    detection = SERVICE.detect(resized(marked, side, side))
    assert detection.payload == PAYLOAD
    assert detection.geometry.scale == pytest.approx(side / 512, rel=0.01)


@pytest.mark.parametrize(
    "attack",
    [
        cropped(0.0, 0.0, 0.9),
        cropped(0.2, 0.07, 0.72),
        cropped(0.29, 0.29, 0.71),
        rotated(4),
        rotated(-2.3),
        padded(0.2),
        lambda pixels: recoded(cropped(0.1, 0.1, 0.75)(pixels), "jpeg", 70),
        lambda pixels: recoded(resized(padded(0.1)(pixels), 405, 405), "jpeg", 70),  # a screenshot
        lambda pixels: np.asarray(Image.fromarray(pixels).filter(ImageFilter.MedianFilter(5))),
    ],
    ids=["corner", "part", "other-corner", "tilted", "tilted-back", "padded", "crop-jpeg", "screenshot", "median"],
)
def test_it_survives_what_moves_the_pixels(marked: Pixels, attack: Callable[[Pixels], Pixels]) -> None:
    assert SERVICE.detect(attack(marked)).payload == PAYLOAD


def test_the_geometry_tells_crop_padding_and_tilt_from_the_whole_picture(marked: Pixels) -> None:
    for attack in (cropped(0.1, 0.1, 0.8), padded(0.1), rotated(2)):
        attacked = attack(marked)
        geometry = SERVICE.detect(attacked).geometry
        assert not geometry.shows_whole(*attacked.shape[1::-1])
        assert geometry.scale == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("degrees", [3.0, -1.5])
def test_a_tilt_is_measured_and_can_be_undone(degrees: float) -> None:
    picture = SERVICE.embed(textured(5), PAYLOAD)
    tilted = rotated(degrees)(picture)
    geometry = SERVICE.detect(tilted).geometry
    assert geometry.rotation_degrees == pytest.approx(-degrees, abs=0.15)
    straight = geometry.align(tilted)
    lost = (512 - straight.shape[0]) // 2
    assert psnr_db(picture[lost : lost + straight.shape[0], lost : lost + straight.shape[1]], straight) > 25


@pytest.mark.parametrize(("name", "quality"), [("textured", 60), ("flat", 75)])
def test_it_survives_webp(name: str, quality: int) -> None:
    assert SERVICE.detect(recoded(SERVICE.embed(PICTURES[name], PAYLOAD), "webp", quality)).payload == PAYLOAD


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 38), (1.0, -38), (0.6, 0), (1.4, 0)])
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
    assert (SERVICE.embed(textured(7), 5) == LatticeMark(SERVICE_KEY).embed(textured(7), 5)).all()


def test_the_given_pixels_are_left_alone() -> None:
    picture = textured(7)
    before = picture.copy()
    SERVICE.embed(picture, 5)
    assert (picture == before).all()


def test_strips_of_a_tall_picture_join_without_a_seam() -> None:
    tall = np.full((2300, 600, 3), 128, np.uint8)
    ripple = SERVICE.embed(tall, PAYLOAD)[..., 0].astype(int) - 128
    steps = np.abs(np.diff(ripple, axis=0)).mean(axis=1)
    assert steps[1023] <= 1.5 * np.median(steps)
    assert steps[2047] <= 1.5 * np.median(steps)
    assert SERVICE.detect(SERVICE.embed(tall, PAYLOAD)).payload == PAYLOAD


def test_a_mark_is_read_under_its_own_key_only() -> None:
    picture = textured(8)
    assert not LABORATORY.detect(SERVICE.embed(picture, PAYLOAD)).detected
    assert not SERVICE.detect(LABORATORY.embed(picture, PAYLOAD)).detected


@pytest.mark.parametrize("attack", [lambda pixels: pixels, cropped(0.1, 0.2, 0.75)], ids=["whole", "part"])
def test_one_look_reads_every_key_and_tells_which(attack: Callable[[Pixels], Pixels]) -> None:
    reader = LatticeMark(SERVICE_KEY, [OLDER_KEY, LABORATORY_KEY])
    picture = textured(8)
    for key in (SERVICE_KEY, OLDER_KEY, LABORATORY_KEY):
        detection = reader.detect(attack(LatticeMark(key).embed(picture, PAYLOAD)))
        assert (detection.payload, detection.key_name) == (PAYLOAD, key.name)
        assert detection.false_positive_rate == 3 * SERVICE.false_positive_rate


@pytest.mark.parametrize("name", PICTURES)
def test_an_unmarked_picture_has_no_mark(name: str) -> None:
    detection = SERVICE.detect(PICTURES[name])
    assert not detection.detected
    assert detection.payload is None
    assert detection.confidence == 0.0


def test_no_mark_is_found_under_random_keys() -> None:
    picture = textured(9, 256)
    reader = LatticeMark(SERVICE_KEY, [WatermarkKey(secrets.token_bytes(32), "service") for _ in range(25)])
    assert not reader.detect(picture).detected


def test_the_stated_chance_is_below_one_in_a_million() -> None:
    assert SERVICE.detect(textured(9)).false_positive_rate == ATTEMPTS / 2**32 < 1e-6


@pytest.mark.parametrize(("height", "width"), [(127, 512), (512, 127), (1, 1), (130, 1050)])
def test_pictures_of_other_shapes_are_refused_and_read_as_unmarked(height: int, width: int) -> None:
    picture = np.zeros((height, width, 3), np.uint8)
    with pytest.raises(PictureTooSmallError, match=f"{width}×{height}"):
        SERVICE.embed(picture, 1)
    assert not SERVICE.detect(picture).detected


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
