"""The built-in watermark: a repeated tile of spread-spectrum phases, found again through its lattice.

64 payload bits and 32 keyed check bits are coded (rate 1/4, constraint length 9) and spread over the phases of a tile
that repeats over the luma; strength follows what the picture hides. Reading finds period, angle and orientation of the
lattice, sums all tiles into one, finds the tile's place by the key's phases, and decodes softly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from provenance.errors import PayloadError, PictureTooSmallError
from provenance.pixels import Pixels, require_pixels
from provenance.vocabulary import WATERMARK_ALGORITHM
from provenance.watermark import convolution
from provenance.watermark.key_schedule import CHECK_BITS, checked_payload, message
from provenance.watermark.lattice import Pose, Spectrum, place, turned
from provenance.watermark.mark import GRID_SIDE, Detection, Geometry, WatermarkKey
from provenance.watermark.masking import Luma, normalised, strength, within_psnr
from provenance.watermark.payload import PAYLOAD_BITS
from provenance.watermark.tile import TILE, KeyedTile

MINIMUM_SIDE_PIXELS: Final = 128
MAXIMUM_ASPECT: Final = 8.0
HEADROOM_LEVELS: Final = 1  # saturated channels give way by this much, so that a ripple can go both ways
ATTEMPTS: Final = 4  # poses that are decoded: the picture as it is, and the best three of the search
_STRIP: Final = 1024  # rows that are changed at once
_CHANCE: Final[float] = 2.0**-CHECK_BITS  # that check bits fit
_COHERENT: Final = 6.0  # agreement of phases from which the picture is taken to lie as it was marked
_UPRIGHT: Final[Pose] = (float(TILE), 0.0)

_TURNS: Final[tuple[tuple[bool, Literal[0, 90, 180, 270]], ...]] = (
    (False, 0),
    (True, 0),
    (True, 180),
    (False, 180),
    (True, 270),
    (False, 90),
    (False, 270),
    (True, 90),
)


class LatticeMark:
    """`Watermark` of this package: marks under one key, reads under this key and any others that are given.

    Pictures need at least 128 pixels a side and a longer side of at most eight times the shorter; they are marked well
    from 512 pixels on. Marking and reading are deterministic.
    """

    def __init__(self, key: WatermarkKey, also_read: Sequence[WatermarkKey] = ()) -> None:
        self._keys = [(one, KeyedTile(one.secret)) for one in (key, *also_read)]

    @property
    def algorithm(self) -> str:
        return WATERMARK_ALGORITHM

    @property
    def false_positive_rate(self) -> float:
        """Probability, over the choice of the keys, that an unmarked picture is taken for a marked one; a bound."""
        return ATTEMPTS * len(self._keys) * _CHANCE

    def embed(self, pixels: Pixels, payload: int) -> Pixels:
        """A marked copy of uint8 RGB pixels (height, width, 3); the payload has 64 bits.

        Raises `PixelsError`, `PictureTooSmallError`, `PayloadError`.
        """
        height, width = require_pixels(pixels).shape[:2]
        _require_shape(width, height)
        if not 0 <= payload < 1 << PAYLOAD_BITS:
            raise PayloadError(f"Payload {payload} does not fit into {PAYLOAD_BITS} bits.")
        key, tile = self._keys[0]
        luma = grid_luma(np.clip(pixels, HEADROOM_LEVELS, 255 - HEADROOM_LEVELS))
        rows, columns = luma.shape
        pattern = tile.pattern(convolution.encode(message(key.secret, payload)))
        repeated = np.tile(pattern, (-(-rows // TILE), -(-columns // TILE)))[:rows, :columns]
        change = Image.fromarray(within_psnr(repeated * strength(luma)))
        marked = np.empty_like(pixels)
        for top in range(0, height, _STRIP):
            bottom = min(top + _STRIP, height)
            box = (0.0, top * rows / height, float(columns), bottom * rows / height)
            ripple = np.rint(np.asarray(change.resize((width, bottom - top), Image.Resampling.BICUBIC, box)))
            base = np.clip(pixels[top:bottom], HEADROOM_LEVELS, 255 - HEADROOM_LEVELS).astype(np.int16)
            marked[top:bottom] = np.clip(base + ripple.astype(np.int16)[..., None], 0, 255)
        return marked

    def detect(self, pixels: Pixels) -> Detection:
        """Look for a mark under each key: in the picture as it lies, then at every pose that its spectrum suggests.

        A picture of a shape that cannot be marked reads as unmarked. Raises `PixelsError`.
        """
        height, width = require_pixels(pixels).shape[:2]
        grid_scale = min(height, width) / GRID_SIDE
        if min(height, width) < MINIMUM_SIDE_PIXELS:
            return self._nothing(grid_scale)
        detail = normalised(grid_luma(_middle(pixels)))
        spectrum = Spectrum(detail)
        for key, tile, pose, orientation in self._poses(spectrum):
            soft, down, across = soft_values(fold(detail, pose), spectrum, tile, pose, orientation)
            bits = convolution.decode(soft[None])[0]
            payload = checked_payload(key.secret, bits)
            if payload is not None:
                mirrored, clockwise = _TURNS[orientation]
                geometry = Geometry(
                    scale=grid_scale * pose[0] / TILE,
                    rotation_degrees=-float(np.rad2deg(pose[1])),
                    mirrored=mirrored,
                    clockwise_degrees=clockwise,
                    offset_x=across * TILE / 256,
                    offset_y=down * TILE / 256,
                )
                agreement = _agreement(soft, convolution.encode(bits))
                return Detection(payload, True, agreement, self.false_positive_rate, geometry, key.name)
        return self._nothing(grid_scale)

    def _poses(self, spectrum: Spectrum) -> Iterator[tuple[WatermarkKey, KeyedTile, Pose, int]]:
        """Poses worth decoding, at most `ATTEMPTS` for each key; the picture as it lies is tried before the search."""
        upright = np.array([_UPRIGHT[0]]), np.array([_UPRIGHT[1]])
        first = [spectrum.coherence(tile, *upright) for _, tile in self._keys]
        for (key, tile), (found, orientation) in zip(self._keys, first, strict=True):
            if found[0] >= _COHERENT:
                yield key, tile, _UPRIGHT, int(orientation[0])
        periods, angles = spectrum.peaks()
        for (key, tile), (found, orientation) in zip(self._keys, first, strict=True):
            if found[0] < _COHERENT:
                yield key, tile, _UPRIGHT, int(orientation[0])
            coherence, orientations = spectrum.coherence(tile, periods, angles)
            for best in np.argsort(-coherence)[: ATTEMPTS - 1]:
                yield key, tile, (float(periods[best]), float(angles[best])), int(orientations[best])

    def _nothing(self, grid_scale: float) -> Detection:
        return Detection(None, False, 0.0, self.false_positive_rate, Geometry(grid_scale), self._keys[0][0].name)


def soft_values(
    folded: Luma, spectrum: Spectrum, tile: KeyedTile, pose: Pose, orientation: int
) -> tuple[NDArray[np.float32], int, int]:
    """Soft code values of the tiles `folded` into one at a pose; the shift down and across in 256ths of a tile."""
    frequencies = turned(tile, orientation)
    vertical, horizontal = frequencies.T
    values = np.fft.fft2(folded)[vertical % TILE, horizontal % TILE]
    values = values / np.maximum(spectrum.scale_at(frequencies, pose), 1e-9)
    values = values / max(float(np.sqrt(np.mean(np.abs(values) ** 2))), 1e-12)
    down, across, placed = place(tile, values / np.maximum(1.0, np.abs(values) / 2))
    return tile.soft_values(placed), down, across


def grid_luma(pixels: Pixels) -> Luma:
    """ITU-R BT.601 luma (what JPEG and WebP code) with a shorter side of 512; float32."""
    luma = Image.fromarray(pixels).convert("L")
    factor = GRID_SIDE / min(luma.size)
    size = (max(GRID_SIDE, round(luma.width * factor)), max(GRID_SIDE, round(luma.height * factor)))
    if luma.size != size:
        luma = luma.resize(size, Image.Resampling.BICUBIC)  # anti-aliased where it shrinks
    return np.asarray(luma, np.float32)


def _middle(pixels: Pixels) -> Pixels:
    """The part that reading looks at: all of it, but for strips longer than any that can be marked."""
    height, width = pixels.shape[:2]
    longest = int(min(height, width) * MAXIMUM_ASPECT)
    top, left = max(0, (height - longest) // 2), max(0, (width - longest) // 2)
    return pixels[top : top + longest, left : left + longest]


def fold(detail: Luma, pose: Pose) -> Luma:
    """The picture turned and scaled back, all its tiles summed into one (81, 81)."""
    period, angle = pose
    scale = period / TILE
    cosine, sine = scale * float(np.cos(angle)), scale * float(np.sin(angle))
    height, width = detail.shape
    tall = (abs(cosine) * height + abs(sine) * width) / scale**2
    wide = (abs(sine) * height + abs(cosine) * width) / scale**2
    rows, columns = TILE * -(-int(tall) // TILE), TILE * -(-int(wide) // TILE)
    origin_y, origin_x, down, across = height / 2, width / 2, rows / 2, columns / 2  # middle to middle
    matrix = (
        cosine,
        sine,
        origin_x - cosine * across - sine * down,
        -sine,
        cosine,
        origin_y + sine * across - cosine * down,
    )
    laid = Image.fromarray(detail).transform((columns, rows), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    tiles = np.asarray(laid, np.float32).reshape(rows // TILE, TILE, columns // TILE, TILE)
    summed: Luma = tiles.sum(axis=(0, 2))
    return summed


def _agreement(soft: NDArray[np.float32], bits: NDArray[np.uint8]) -> float:
    total = float(np.abs(soft).sum())
    return float((soft * np.where(bits, 1.0, -1.0)).sum()) / total if total > 0 else 0.0


def _require_shape(width: int, height: int) -> None:
    if min(width, height) < MINIMUM_SIDE_PIXELS:
        raise PictureTooSmallError(
            f"The picture has {width}×{height} pixels; a mark needs at least {MINIMUM_SIDE_PIXELS} a side. "
            "Make it larger, or release it with a credential only."
        )
    if max(width, height) > MAXIMUM_ASPECT * min(width, height):
        raise PictureTooSmallError(
            f"The picture has {width}×{height} pixels; a mark needs a longer side of at most {MAXIMUM_ASPECT:.0f} "
            "times the shorter. Crop it, or release it with a credential only."
        )
