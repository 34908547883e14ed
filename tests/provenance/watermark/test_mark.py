from __future__ import annotations

import numpy as np
import pytest

from provenance.errors import WatermarkError
from provenance.watermark import Geometry, WatermarkKey


def test_a_key_never_shows_its_secret() -> None:
    assert "secret" not in repr(WatermarkKey(b"0123456789abcdef", "service"))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(WatermarkError, match="15 bytes"):
        WatermarkKey(bytes(15), "laboratory")


def test_an_upright_geometry_changes_nothing() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert (Geometry(1.0).align(pixels) == pixels).all()


def test_turning_back_is_clockwise() -> None:
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[0, 0] = 255  # top left
    turned = Geometry(1.0, clockwise_degrees=90).align(pixels)
    assert turned.shape == (3, 2, 3)
    assert turned[0, 1, 0] == 255  # top right
