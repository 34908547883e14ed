"""A visible "AI" label drawn into the picture, readable on any background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from provenance.errors import EncodingError
from provenance.pixels import Pixels, require_pixels

Place = Literal["top-left", "top-right", "bottom-left", "bottom-right"]

MINIMUM_CONTRAST: Final = 4.5  # WCAG 2.2, success criterion 1.4.3
DEFAULT_HEIGHT: Final = 0.05  # of the shorter side: GB 45438-2025 §5.2 asks for letters of at least 5 %
MINIMUM_LETTER_PIXELS: Final = 8
_OPACITIES: Final = (0.5, 0.65, 0.8, 0.9, 1.0)
_PADDING: Final = 0.35  # of the letters' height, between letters and plate's edge, and plate and picture's edge


@dataclass(frozen=True)
class VisibleLabel:
    """text: what is drawn. place: in which corner. height: of the letters, as a share of the picture's shorter side."""

    text: str = "AI"
    place: Place = "bottom-right"
    height: float = DEFAULT_HEIGHT

    def __post_init__(self) -> None:
        if not self.text.strip() or not self.text.isprintable():
            raise EncodingError(f"The visible label is {self.text!r}; expected one line of printable text.")
        if not 0.01 <= self.height <= 0.5:
            raise EncodingError(f"The visible label's height is {self.height}; expected a share from 0.01 to 0.5.")


@dataclass(frozen=True)
class Labelled:
    """The picture with its label. contrast: the lowest between letters and any pixel of the plate (WCAG ratio)."""

    pixels: Pixels
    contrast: float


def draw_label(pixels: Pixels, label: VisibleLabel) -> Labelled:
    """Draw the label on a plate that is as faint as the contrast allows (at least 4.5 to 1 everywhere under it).

    pixels: uint8 RGB (height, width, 3); not changed. Raises `PixelsError`, `EncodingError` where it does not fit.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width = require_pixels(pixels).shape[:2]
    letters = max(MINIMUM_LETTER_PIXELS, round(label.height * min(height, width)))
    font = ImageFont.load_default(size=letters)
    left, top, right, bottom = font.getbbox(label.text)
    padding = max(2, round(_PADDING * letters))
    plate_width, plate_height = int(right - left) + 2 * padding, int(bottom - top) + 2 * padding
    if plate_width + 2 * padding > width or plate_height + 2 * padding > height:
        raise EncodingError(
            f"The visible label {label.text!r} needs {plate_width}×{plate_height} pixels and does not fit into "
            f"{width}×{height}; choose a shorter text or a smaller height."
        )
    x = padding if label.place.endswith("left") else width - padding - plate_width
    y = padding if label.place.startswith("top") else height - padding - plate_height
    under = pixels[y : y + plate_height, x : x + plate_width].astype(np.float64)
    ink = 255.0 if _luminance(under).mean() < 0.5 else 0.0
    plate, contrast = _plate(under, ink)

    drawn = Image.fromarray(plate)
    ImageDraw.Draw(drawn).text((padding - left, padding - top), label.text, font=font, fill=(int(ink),) * 3)
    result = pixels.copy()
    result[y : y + plate_height, x : x + plate_width] = np.asarray(drawn)
    return Labelled(result, contrast)


def _plate(under: NDArray[np.float64], ink: float) -> tuple[Pixels, float]:
    """The background mixed with the opposite of the ink, no more than readability needs."""
    plate, contrast = under, 0.0
    for opacity in _OPACITIES:
        plate = np.round(under * (1 - opacity) + (255.0 - ink) * opacity)
        contrast = float(_contrast(_luminance(plate), 1.0 if ink else 0.0).min())
        if contrast >= MINIMUM_CONTRAST:
            break
    return plate.astype(np.uint8), contrast


def _luminance(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Relative luminance of sRGB (WCAG 2.2), 0 to 1."""
    share = colours / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    result: NDArray[np.float64] = linear @ np.array([0.2126, 0.7152, 0.0722])
    return result


def _contrast(first: NDArray[np.float64], second: float) -> NDArray[np.float64]:
    lighter, darker = np.maximum(first, second), np.minimum(first, second)
    return (lighter + 0.05) / (darker + 0.05)
