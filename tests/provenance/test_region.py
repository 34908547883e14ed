from __future__ import annotations

import numpy as np
import pytest

from provenance.region import find_region, shares_a_part
from tests.provenance.pictures import flat, recoded, resized, textured

WHOLE = textured(1)


def test_a_crop_is_found_where_it_was_cut_out() -> None:
    region = find_region(WHOLE[100:400, 150:500], WHOLE, 1.0)
    assert region is not None
    assert (region.top, region.left) == pytest.approx((100 / 512, 150 / 512), abs=0.01)
    assert (region.height, region.width) == pytest.approx((300 / 512, 350 / 512), abs=0.01)
    assert region.correlation > 0.95
    assert region.share == 1.0


def test_a_worn_and_rescaled_crop_is_found() -> None:
    crop = recoded(resized(np.ascontiguousarray(WHOLE[50:350, 50:350]), 210, 210), "jpeg", 50)
    region = find_region(crop, WHOLE, 0.7)
    assert region is not None
    assert (region.top, region.left) == pytest.approx((50 / 512, 50 / 512), abs=0.01)


def test_a_page_around_the_picture_is_seen_through() -> None:
    page = np.pad(WHOLE, ((90, 60), (40, 80), (0, 0)), constant_values=255)
    region = find_region(page, WHOLE, 1.0)
    assert region is not None
    assert (region.width, region.height) == (1.0, 1.0)
    assert region.share == pytest.approx(512 * 512 / (662 * 632), rel=0.02)


def test_a_picture_that_fills_little_of_a_page_is_not_compared() -> None:
    page = np.pad(WHOLE, ((300, 300), (300, 300), (0, 0)), constant_values=255)
    assert find_region(page, WHOLE, 1.0) is None


@pytest.mark.parametrize("seed", range(2, 8))
def test_another_picture_is_not_found(seed: int) -> None:
    assert find_region(textured(seed)[100:400, 150:500], WHOLE, 1.0) is None
    assert find_region(flat(seed)[100:400, 150:500], WHOLE, 1.0) is None


@pytest.mark.parametrize(
    "part",
    [np.full((300, 300, 3), 90, np.uint8), np.zeros((20, 20, 3), np.uint8), WHOLE[:300, :40], WHOLE[:1, :1]],
    ids=["plain", "small", "narrow", "pixel"],
)
def test_what_is_too_plain_or_too_small_is_not_compared(part: np.ndarray) -> None:
    assert find_region(np.ascontiguousarray(part), WHOLE, 1.0) is None


@pytest.mark.parametrize("seed", range(2, 8))
def test_another_picture_shares_no_part(seed: int) -> None:
    assert shares_a_part(textured(seed, 640)[:520], WHOLE, 1.0) is False


def test_a_part_that_was_put_beside_something_else_is_shared() -> None:
    page = textured(9, 640)[:520].copy()
    page[:512, 200:560] = WHOLE[:, 100:460]
    assert shares_a_part(page, WHOLE, 1.0) is True


@pytest.mark.parametrize(
    "picture",
    [WHOLE[:300], np.pad(WHOLE, ((300, 300), (300, 300), (0, 0))), np.full((600, 600, 3), 90, np.uint8)],
    ids=["smaller", "a page", "plain"],
)
def test_where_nothing_can_be_said_nothing_is(picture: np.ndarray) -> None:
    assert shares_a_part(np.ascontiguousarray(picture), WHOLE, 1.0) is None
