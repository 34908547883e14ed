"""A generated image, with all it takes to generate it again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class GeneratedImage:
    """Pixels uint8 (H, W, 3), sRGB, and the settings that made them.

    Equal settings on one machine give equal pixels; `batch_size` and `threads` are among them because they decide
    the order of floating-point sums. `index` is the image's place in its batch, `seed` its own seed, `strength` None
    where the task has none. `elapsed_s` is the time of the whole batch.
    """

    pixels: NDArray[np.uint8]
    seed: int
    index: int
    model: str
    model_digest: str
    width: int
    height: int
    steps: int
    guidance: float
    scheduler: str
    batch_size: int
    threads: int
    device: str
    dtype: str
    elapsed_s: float
    strength: float | None = None
