from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from generator.canvas import (
    FEATHER_PIXELS,
    Extension,
    Window,
    closest_size,
    extended,
    fitted,
    pasted,
    seam,
    seen,
    window_around,
)

SQUARES = ((256, 256), (512, 512))
SHAPES = ((64, 64), (96, 64), (64, 96))


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box(height: int, width: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
    mask = np.zeros((height, width), np.uint8)
    mask[rows, columns] = 255
    return mask


@pytest.mark.parametrize(
    ("picture", "sizes", "expected"),
    [
        ((256, 256), SQUARES, (256, 256)),
        ((300, 300), SQUARES, (512, 512)),
        ((200, 100), SQUARES, (256, 256)),
        ((4000, 3000), SQUARES, (512, 512)),
        ((640, 480), SHAPES, (96, 64)),
        ((480, 640), SHAPES, (64, 96)),
        ((500, 500), SHAPES, (64, 64)),
    ],
)
def test_the_size_nearest_in_shape_is_taken_and_no_larger_than_needed(
    picture: tuple[int, int], sizes: tuple[tuple[int, int], ...], expected: tuple[int, int]
) -> None:
    assert closest_size(*picture, sizes) == expected


def test_a_picture_of_the_right_size_is_not_touched() -> None:
    picture = noise(64, 96)

    assert np.array_equal(fitted(picture, 96, 64), picture)


def test_a_picture_is_scaled_to_cover_and_cut_evenly() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[:, 50:150] = 255  # the middle square

    square = fitted(picture, 100, 100)

    assert square.shape == (100, 100, 3)
    assert square.min() == 255


def test_an_extended_canvas_holds_the_picture_and_a_mask_of_the_rest() -> None:
    picture = noise(20, 30)

    canvas, mask = extended(picture, Extension(left=3, top=5, right=7, bottom=1))

    assert canvas.shape == (26, 40, 3)
    assert np.array_equal(canvas[5:25, 3:33], picture)
    assert not mask[5:25, 3:33].any()
    assert (mask == 255).sum() == 26 * 40 - 20 * 30
    assert np.array_equal(canvas[0, 3:33], picture[0])  # the border goes on outwards


def test_a_picture_at_the_models_size_is_seen_whole_and_unchanged() -> None:
    window = window_around(box(256, 256, np.s_[3:5], np.s_[7:9]), SQUARES)

    assert window == Window(0, 0, 256, 256, 256, 256)
    picture = noise(256, 256)
    assert np.array_equal(seen(picture, window), picture)


def test_of_a_large_picture_the_model_sees_the_masks_surroundings_at_its_own_resolution() -> None:
    window = window_around(box(3000, 4000, np.s_[1000:1100], np.s_[3900:4000]), SQUARES)

    assert (window.width, window.height) == (512, 512)
    assert window.left + window.width == 4000  # moved inside
    assert window.top <= 1000 <= 1100 <= window.top + window.height


def test_a_large_mask_is_seen_coarser_and_whole() -> None:
    window = window_around(box(1000, 1000, np.s_[:], np.s_[:]), SQUARES)

    assert window.width >= 1000
    assert window.height >= 1000


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(16, 300),
    height=st.integers(16, 300),
    left=st.floats(0, 1),
    top=st.floats(0, 1),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
)
def test_whatever_the_mask_the_window_covers_it_and_nothing_outside_it_changes(
    width: int, height: int, left: float, top: float, across: float, down: float
) -> None:
    x, y = int(left * (width - 1)), int(top * (height - 1))
    columns, rows = slice(x, x + 1 + int(across * (width - x - 1))), slice(y, y + 1 + int(down * (height - y - 1)))
    mask = box(height, width, rows, columns)
    picture = np.full((height, width, 3), 60, np.uint8)

    window = window_around(mask, SHAPES)
    painted = np.full((window.model_height, window.model_width, 3), 220, np.uint8)
    result = pasted(picture, painted, window, mask)

    assert window.left <= columns.start
    assert columns.stop <= window.left + window.width
    assert window.top <= rows.start
    assert rows.stop <= window.top + window.height
    assert seen(picture, window).shape == painted.shape
    assert set(np.unique(seen(mask, window))) <= {0, 255}
    assert seen(mask, window).any()
    assert (result[mask == 0] == 60).all()
    assert (result[mask == 255] > 60).all()


def test_the_seam_rises_inside_the_mask_only() -> None:
    mask = box(40, 40, np.s_[10:30], np.s_[10:30])

    opacity = seam(mask)

    assert (opacity[mask == 0] == 0).all()
    across = opacity[20, 10 : 10 + FEATHER_PIXELS]
    assert (np.diff(across) > 0).all()
    assert opacity[20, 20] == 1
    assert np.array_equal(opacity, opacity[::-1])


def test_lines_too_thin_for_a_seam_are_repainted_fully() -> None:
    mask = box(40, 40, np.s_[20:22], np.s_[:])

    assert (seam(mask)[mask == 255] == 1).all()


def test_a_mask_up_to_the_pictures_border_has_no_seam_there() -> None:
    mask = box(40, 40, np.s_[:], np.s_[:20])

    assert (seam(mask)[:, 0] == 1).all()
    assert seam(mask)[20, 19] < 1


def test_a_thin_mask_is_not_lost_when_the_model_sees_it_smaller() -> None:
    mask = box(2000, 2000, np.s_[:], np.s_[1000:1001])
    mask[1000] = 255

    assert seen(mask, window_around(mask, SHAPES)).any()
