"""What every image generator offers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from generator.image import GeneratedImage
from generator.request import ResolvedRequest

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) after every step; raise GenerationCancelledError in it to stop."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One image of a request: `position` counts from 0 to `request.count` - 1."""

    request: ResolvedRequest
    position: int

    @property
    def seed(self) -> int:
        """The image's own seed."""
        return self.request.seed + self.position


def draws(request: ResolvedRequest) -> tuple[Draw, ...]:
    """All images of a request."""
    return tuple(Draw(request, position) for position in range(request.count))


class Engine(Protocol):
    """Generates images. Safe to call from several threads; calls may wait for each other."""

    def generate(self, request: ResolvedRequest, progress: Progress | None = None) -> list[GeneratedImage]:
        """Generate `request.count` images in one batch. Raises GeneratorError."""

    def draw(self, batch: Sequence[Draw], progress: Progress | None = None) -> list[GeneratedImage]:
        """Generate one image for each draw, in one batch; their requests' `batch_key` must be equal.

        Each image depends on its own draw alone, but for the order of floating-point sums. Raises GeneratorError.
        """

    def close(self) -> None:
        """Give back memory; a later `generate` or `draw` raises."""
