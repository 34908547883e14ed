"""What every image generator offers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from generator.image import GeneratedImage
from generator.request import ResolvedRequest

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all) after every step; raise GenerationCancelledError in it to stop."""


class Engine(Protocol):
    """Generates images. Safe to call from several threads; calls may wait for each other."""

    def generate(self, request: ResolvedRequest, progress: Progress | None = None) -> list[GeneratedImage]:
        """Generate `request.count` images. Raises GeneratorError."""

    def close(self) -> None:
        """Give back memory; a later `generate` raises."""
