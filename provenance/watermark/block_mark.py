"""The built-in watermark: informed spread spectrum in low-frequency block-DCT coefficients of the luma.

64 payload bits and 32 keyed check bits are coded (rate 1/4, constraint length 9), every code bit is spread
over nine coefficients in as many random blocks, and the embedder, which knows the picture, moves each code
bit's correlation just to where it should be (improved spread spectrum: Malvar and Florêncio, IEEE Trans.
Signal Processing 51(4), 2003), so that the picture is no noise to its own mark.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from provenance.errors import PayloadError, PictureTooSmallError
from provenance.pixels import Pixels, require_pixels
from provenance.vocabulary import WATERMARK_ALGORITHM
from provenance.watermark import block_transform as transform
from provenance.watermark import convolution
from provenance.watermark.key_schedule import CHECK_BITS, MESSAGE_BITS, Spreading, checked_payload, message, spreading
from provenance.watermark.mark import Detection, Geometry, WatermarkKey
from provenance.watermark.payload import PAYLOAD_BITS

MINIMUM_SIDE_PIXELS: Final = 128
ORIENTATIONS: Final = 8
FALSE_POSITIVE_RATE: Final = ORIENTATIONS / 2**CHECK_BITS

# Strength, in orthonormal DCT units of grey levels. A coefficient of 8 is a ripple of ±1.4 levels across a block;
# JPEG at quality 50 quantises these frequencies in steps of 11 and 12, and would round anything under 6 to zero.
FLAT_STRENGTH: Final = 8.5
MAXIMUM_STRENGTH: Final = 18.0
TEXTURE_SHARE: Final = 0.6  # of the local root mean square: masking
ACTIVITY_FLOOR: Final = 4.0
MAXIMUM_GAIN: Final = 2.0
MINIMUM_PSNR_DB: Final = 42.3
HEADROOM_LEVELS: Final = 1  # saturated channels give way by this much, so that a ripple can go both ways
ITERATIONS: Final = 2

_GEOMETRY: Final[tuple[tuple[bool, Literal[0, 90, 180, 270]], ...]] = (
    (False, 0),
    (True, 0),
    (True, 180),
    (False, 180),
    (True, 270),
    (False, 90),
    (False, 270),
    (True, 90),
)


class BlockMark:
    """`Watermark` of this package. Pictures need at least 128 pixels a side; they are marked well from 512 on."""

    def __init__(self, key: WatermarkKey) -> None:
        self._key = key
        self._spreading: Spreading = spreading(
            key.secret,
            transform.BLOCKS,
            len(transform.CARRIER_FREQUENCIES),
            convolution.coded_length(MESSAGE_BITS),
        )

    @property
    def algorithm(self) -> str:
        return WATERMARK_ALGORITHM

    def embed(self, pixels: Pixels, payload: int) -> Pixels:
        """A marked copy of uint8 RGB pixels (height, width, 3); the payload has 64 bits.

        Raises `PixelsError`, `PictureTooSmallError`, `PayloadError`.
        """
        _require_size(require_pixels(pixels))
        if not 0 <= payload < 1 << PAYLOAD_BITS:
            raise PayloadError(f"Payload {payload} does not fit into {PAYLOAD_BITS} bits.")
        base = np.clip(pixels, HEADROOM_LEVELS, 255 - HEADROOM_LEVELS)
        image = transform.to_image(base)
        change = self._change(transform.luma_grid(image), image.size, payload)
        ripple = np.rint(transform.stretch(change, image.size)).astype(np.int16)
        marked: Pixels = np.clip(base.astype(np.int16) + ripple[..., None], 0, 255).astype(np.uint8)
        return marked

    def _change(self, luma: transform.Luma, size: tuple[int, int], payload: int) -> transform.Luma:
        """Luma change on the grid that carries `payload` in a picture of `size` (width, height)."""
        bits = convolution.encode(message(self._key.secret, payload))
        signs = self._spreading.signs * np.where(bits, 1.0, -1.0).astype(np.float32)[:, None]
        carriers = self._spreading.carriers
        host = transform.forward(luma)
        activity = _activity(host)
        strength = np.clip(TEXTURE_SHARE * _texture(host), FLAT_STRENGTH, MAXIMUM_STRENGTH)
        weights = _at(1.0 / activity, carriers)
        strengths = _at(strength, carriers)
        target = (weights * strengths).sum(axis=1)
        gain = np.zeros(len(bits), np.float32)
        change = np.zeros_like(luma)
        for _ in range(ITERATIONS):  # the second round makes up for what clipping and resampling took
            seen = transform.forward(np.clip(luma + transform.as_seen(change, size), 0.0, 255.0))
            correlation = (seen.ravel()[carriers] * signs * weights).sum(axis=1)
            gain = np.clip(gain + 1.0 - correlation / target, 0.0, MAXIMUM_GAIN)
            coefficients = np.zeros(host.size, np.float32)
            coefficients[carriers] = signs * strengths * gain[:, None]
            change = transform.inverse(_within_psnr(coefficients).reshape(host.shape))
        return change

    def detect(self, pixels: Pixels) -> Detection:
        """Look for a mark under this key in every orientation.

        A picture under 128 pixels a side cannot have been marked and reads as unmarked. Raises `PixelsError`.
        """
        height, width = require_pixels(pixels).shape[:2]
        upright = Geometry(width / transform.GRID, height / transform.GRID)
        coefficients = transform.forward(transform.luma_grid(transform.to_image(pixels)))
        turned = transform.orientations(coefficients)
        soft = np.stack([self._soft_values(orientation) for orientation in turned])
        for orientation, bits in enumerate(convolution.decode(soft)):
            payload = checked_payload(self._key.secret, bits)
            if payload is not None:
                return Detection(
                    payload,
                    True,
                    _agreement(soft[orientation], convolution.encode(bits)),
                    FALSE_POSITIVE_RATE,
                    Geometry(upright.scale_x, upright.scale_y, *_GEOMETRY[orientation]),
                    self._key.name,
                )
        return Detection(None, False, 0.0, FALSE_POSITIVE_RATE, upright, self._key.name)

    def _soft_values(self, coefficients: transform.Coefficients) -> NDArray[np.float32]:
        carriers = self._spreading.carriers
        normalised = coefficients / _activity(coefficients)[..., None]
        soft: NDArray[np.float32] = (normalised.ravel()[carriers] * self._spreading.signs).sum(axis=1)
        return soft


def _activity(coefficients: transform.Coefficients) -> NDArray[np.float32]:
    """Local root mean square of the carriers (blocks down, blocks across), own block and 3×3 blocks in equal parts."""
    own = (coefficients**2).mean(axis=-1)
    padded = np.pad(own, 1, mode="reflect")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    around = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9.0
    activity: NDArray[np.float32] = np.sqrt(0.5 * (own + around) + ACTIVITY_FLOOR**2)
    return activity


def _texture(coefficients: transform.Coefficients) -> NDArray[np.float32]:
    """Activity that hides a ripple: the third smallest of 3×3 blocks, so that a lone edge hides nothing beside it."""
    root_mean_square = np.sqrt((coefficients**2).mean(axis=-1))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(root_mean_square, 1, mode="reflect"), (3, 3))
    return np.partition(windows.reshape(*root_mean_square.shape, 9), 2, axis=-1)[..., 2]


def _at(per_block: NDArray[np.float32], carriers: NDArray[np.intp]) -> NDArray[np.float32]:
    values: NDArray[np.float32] = per_block.ravel()[carriers // len(transform.CARRIER_FREQUENCIES)]
    return values


def _within_psnr(coefficients: NDArray[np.float32]) -> NDArray[np.float32]:
    """The change, made weaker where it would fall below the PSNR floor (the transform is orthonormal)."""
    allowed = 255.0 / 10 ** (MINIMUM_PSNR_DB / 20)
    actual = float(np.sqrt((coefficients**2).sum() / transform.GRID**2))
    return coefficients if actual <= allowed else coefficients * np.float32(allowed / actual)


def _agreement(soft: NDArray[np.float32], bits: NDArray[np.uint8]) -> float:
    total = float(np.abs(soft).sum())
    return float((soft * np.where(bits, 1.0, -1.0)).sum()) / total if total > 0 else 0.0


def _require_size(pixels: Pixels) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < MINIMUM_SIDE_PIXELS:
        raise PictureTooSmallError(
            f"The picture has {width}×{height} pixels; a mark needs at least {MINIMUM_SIDE_PIXELS} a side. "
            "Make it larger, or release it with a credential only."
        )
