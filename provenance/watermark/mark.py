"""The watermark's contract: what every method of marking takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, runtime_checkable

import numpy as np

from provenance.errors import WatermarkError
from provenance.pixels import Pixels

MINIMUM_KEY_BYTES: Final = 16


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

    Undo it in this order: mirror left-right if `mirrored`, then turn clockwise by `clockwise_degrees`. That
    gives the marked picture's orientation. `scale_x` and `scale_y` are pixels per unit of the mark's own grid;
    `offset_x` and `offset_y` are in pixels.
    """

    scale_x: float
    scale_y: float
    mirrored: bool = False
    clockwise_degrees: Literal[0, 90, 180, 270] = 0
    offset_x: float = 0.0
    offset_y: float = 0.0

    def align(self, pixels: Pixels) -> Pixels:
        """The picture laid the way it was marked (mirrored and turned back); its scale stays."""
        mirrored = pixels[:, ::-1] if self.mirrored else pixels
        return np.ascontiguousarray(np.rot90(mirrored, -self.clockwise_degrees // 90))


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
