from __future__ import annotations

import numpy as np
import pytest

from provenance.errors import EncodingError
from provenance.pixels import Pixels
from provenance.visible_label import MINIMUM_CONTRAST, Place, VisibleLabel, draw_label
from tests.provenance.pictures import flat, textured

BACKGROUNDS: dict[str, Pixels] = {
    "white": np.full((256, 256, 3), 255, np.uint8),
    "black": np.zeros((256, 256, 3), np.uint8),
    "grey": np.full((256, 256, 3), 119, np.uint8),
    "saturated": np.full((256, 256, 3), (255, 0, 0), np.uint8),
    "photograph": textured(3, 256),
    "illustration": flat(4, 256),
    "noise": np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8),
}


def luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance, written again from WCAG 2.2."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(linear @ (0.2126, 0.7152, 0.0722))


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_the_letters_stand_out_from_every_pixel_around_them(background: str) -> None:
    pixels = BACKGROUNDS[background]
    labelled = draw_label(pixels, VisibleLabel())
    assert labelled.contrast >= MINIMUM_CONTRAST

    changed = np.argwhere((labelled.pixels != pixels).any(axis=2))
    (top, left), (bottom, right) = changed.min(axis=0), changed.max(axis=0)
    light = luminance(labelled.pixels[top : bottom + 1, left : right + 1].astype(float))
    ratio = (light.max() + 0.05) / (light.min() + 0.05)
    assert ratio >= MINIMUM_CONTRAST


@pytest.mark.parametrize("place", ["top-left", "top-right", "bottom-left", "bottom-right"])
def test_the_label_is_where_it_should_be_and_nothing_else_changes(place: Place) -> None:
    pixels = textured(5, 400)
    before = pixels.copy()
    drawn = draw_label(pixels, VisibleLabel("AI", place)).pixels
    assert (pixels == before).all()
    rows, columns = np.nonzero((drawn != pixels).any(axis=2))
    assert rows.max() - rows.min() < 60
    assert ("top" in place) == (rows.max() < 200)
    assert ("left" in place) == (columns.max() < 200)


@pytest.mark.parametrize("height", [0.05, 0.1, 0.2])
def test_the_letters_are_as_high_as_configured(height: float) -> None:
    drawn = draw_label(np.zeros((400, 600, 3), np.uint8), VisibleLabel("AI", height=height)).pixels
    rows = np.nonzero((drawn > 200).all(axis=2))[0]
    assert abs((rows.max() - rows.min() + 1) - 0.72 * height * 400) <= 0.15 * height * 400 + 2  # capitals


def test_a_label_that_does_not_fit_is_refused() -> None:
    with pytest.raises(EncodingError, match="does not fit"):
        draw_label(np.zeros((30, 30, 3), np.uint8), VisibleLabel("made by a generative model"))


@pytest.mark.parametrize("values", [("",), ("  ",), ("two\nlines",), ("AI", "bottom-right", 0.9)])
def test_what_is_no_label_is_refused(values: tuple[object, ...]) -> None:
    with pytest.raises(EncodingError):
        VisibleLabel(*values)  # type: ignore[arg-type]
