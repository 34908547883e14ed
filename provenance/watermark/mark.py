"""The watermark's contract: what every method of marking takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np

from provenance.errors import WatermarkError
from provenance.pixels import Pixels

MINIMUM_KEY_BYTES: Final = 16
GRID_SIDE: Final = 512  # units of the mark's grid along the shorter side of the marked picture
_SCALE_TOLERANCE: Final = 0.012
_ANGLE_TOLERANCE_DEGREES: Final = 0.3


@dataclass(frozen=True)
class WatermarkKey:
    """Secret of at least 16 bytes, and whose it is: only a `service` mark may lead to a record.

    `laboratory` marks are made outside the flow and are read as such.
    """

    secret: bytes = field(repr=False)
    name: Literal["service", "laboratory"]

    def __post_init__(self) -> None:
        if len(self.secret) < MINIMUM_KEY_BYTES:
            raise WatermarkError(
                f"The {self.name} watermark key has {len(self.secret)} bytes; expected at least {MINIMUM_KEY_BYTES} "
                "random bytes."
            )


@dataclass(frozen=True)
class Geometry:
    """How the picture lies against the one that was marked.

    scale: this picture's pixels in one unit of the mark's grid, on which the marked picture's shorter side measures
    512. Undo the rest in this order: turn counter-clockwise by `rotation_degrees` (a few degrees), mirror left-right
    if `mirrored`, turn clockwise by `clockwise_degrees`. offset_x, offset_y: where a tile of the mark begins, in grid
    units, known up to the tile's period.
    """

    scale: float
    rotation_degrees: float = 0.0
    mirrored: bool = False
    clockwise_degrees: Literal[0, 90, 180, 270] = 0
    offset_x: float = 0.0
    offset_y: float = 0.0

    def shows_whole(self, width: int, height: int) -> bool:
        """Whether a picture of this size shows the marked picture's full shorter side, straight.

        False for crops, padding and small rotations, whose pixels cannot be compared with the whole picture's. A
        crop of the longer side alone is not seen here: compare the sides' ratio with the marked picture's.
        """
        shorter = GRID_SIDE * self.scale
        return abs(min(width, height) / shorter - 1) < _SCALE_TOLERANCE and not self._is_tilted

    def align(self, pixels: Pixels) -> Pixels:
        """The picture laid the way it was marked; its scale stays. What tilting left empty at the edges is cut off."""
        straight = self._straightened(pixels) if self._is_tilted else pixels
        mirrored = straight[:, ::-1] if self.mirrored else straight
        return np.ascontiguousarray(np.rot90(mirrored, -self.clockwise_degrees // 90))

    @property
    def _is_tilted(self) -> bool:
        return abs(self.rotation_degrees) > _ANGLE_TOLERANCE_DEGREES

    def _straightened(self, pixels: Pixels) -> Pixels:
        from PIL import Image

        turned = np.asarray(Image.fromarray(pixels).rotate(self.rotation_degrees, Image.Resampling.BICUBIC))
        height, width = pixels.shape[:2]
        lost = abs(np.tan(np.deg2rad(self.rotation_degrees))) / 2
        rows, columns = int(np.ceil(width * lost)), int(np.ceil(height * lost))
        return turned[rows : height - rows, columns : width - columns]


@dataclass(frozen=True)
class Detection:
    """What was read from a picture under one key.

    payload: the 64 bits, None where no mark was found. confidence: agreement of the soft values with the decoded
    word, 0 to 1 (1: every one agrees). false_positive_rate: probability, over the choice of the key, that an
    unmarked picture is taken for a marked one; an upper bound that counts every geometry that was tried.
    """

    payload: int | None
    detected: bool
    confidence: float
    false_positive_rate: float
    geometry: Geometry
    key_name: Literal["service", "laboratory"]


@runtime_checkable
class Watermark(Protocol):
    """A way to hide 64 bits in pixels (uint8 RGB of shape (height, width, 3)) and to find them again."""

    @property
    def algorithm(self) -> str:
        """Name for the soft-binding assertion."""
        ...

    def embed(self, pixels: Pixels, payload: int) -> Pixels: ...

    def detect(self, pixels: Pixels) -> Detection: ...
