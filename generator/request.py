"""What a caller asks for, and the same with every choice made."""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from generator.card import ModelCard
from generator.errors import UnsupportedRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Task = Literal["text-to-image", "image-to-image", "inpaint", "outpaint", "variation", "upscale", "style-transfer"]
TASKS: tuple[str, ...] = get_args(Task)

LONGEST_PROMPT_CHARACTERS = 4000
LARGEST_STEPS = 100
LARGEST_GUIDANCE = 20.0
LARGEST_COUNT = 10
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request with every choice made and checked against the model's card; build it with
    `GenerationRequest.resolve`.

    Image `i` of `count` has the seed `seed + i`.
    """

    task: str
    prompt: str
    negative_prompt: str | None
    width: int
    height: int
    steps: int
    guidance: float
    seed: int
    count: int
    model: str


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request as it came in; None means the model's default.

    `image` and `mask` are uint8 pixels, (H, W, 3) and (H, W), and `strength` is in [0, 1], for tasks that start
    from an image. `seed` None draws one from the operating system.
    """

    prompt: str
    task: str = "text-to-image"
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    count: int = 1
    image: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    strength: float | None = None
    model: str | None = None

    def resolve(self, card: ModelCard) -> ResolvedRequest:
        """Fill in the card's defaults and check every parameter.

        Raises UnsupportedRequestError, which names the parameter and what was expected.
        """
        if self.model is not None and self.model != card.id:
            raise UnsupportedRequestError("model", self.model, f"{card.id!r}, the card this is resolved with")
        if self.task not in card.tasks:
            raise UnsupportedRequestError("task", self.task, f"one of {', '.join(card.tasks)} for {card.id}")
        self._refuse_image_inputs()
        check_prompt("prompt", self.prompt)
        if self.negative_prompt:
            check_prompt("negative_prompt", self.negative_prompt)
        width, height = self._size(card)
        count = _whole("count", self.count, 1, LARGEST_COUNT)
        steps = card.defaults.steps if self.steps is None else _whole("steps", self.steps, 1, LARGEST_STEPS)
        guidance = card.defaults.guidance if self.guidance is None else self.guidance
        if isinstance(guidance, bool) or not 0 <= guidance <= LARGEST_GUIDANCE:
            raise UnsupportedRequestError("guidance", guidance, f"a number from 0 to {LARGEST_GUIDANCE:g}")
        last_seed = LARGEST_SEED + 1 - count
        seed = secrets.randbelow(last_seed + 1) if self.seed is None else _whole("seed", self.seed, 0, last_seed)
        return ResolvedRequest(
            task=self.task,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt or None,
            width=width,
            height=height,
            steps=steps,
            guidance=float(guidance),
            seed=seed,
            count=count,
            model=card.id,
        )

    def _refuse_image_inputs(self) -> None:
        if self.task != "text-to-image":
            return
        for parameter, value in (("image", self.image), ("mask", self.mask), ("strength", self.strength)):
            if value is not None:
                shape = getattr(value, "shape", None)
                shown = value if shape is None else f"pixels of shape {shape}"
                raise UnsupportedRequestError(parameter, shown, "none for the task text-to-image")

    def _size(self, card: ModelCard) -> tuple[int, int]:
        """Both sides as asked for; one alone stands for a square; none is the default."""
        if self.width is None and self.height is None:
            return card.defaults.width, card.defaults.height
        size = (self.width or self.height or 0, self.height or self.width or 0)
        if size not in card.sizes:
            offered = " or ".join(f"{width}x{height}" for width, height in card.sizes)
            raise UnsupportedRequestError("size", f"{size[0]}x{size[1]}", f"{offered} for {card.id}")
        return size


def check_prompt(parameter: str, text: str) -> None:
    """Raise UnsupportedRequestError for text that is blank, too long, or holds control characters."""
    if not text.strip():
        raise UnsupportedRequestError(parameter, text, "some words")
    if len(text) > LONGEST_PROMPT_CHARACTERS:
        raise UnsupportedRequestError(
            parameter, f"{len(text)} characters", f"at most {LONGEST_PROMPT_CHARACTERS} characters"
        )
    for position, character in enumerate(text):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\r":
            raise UnsupportedRequestError(
                parameter, f"U+{ord(character):04X} at position {position}", "text without control characters"
            )


def _whole(parameter: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UnsupportedRequestError(parameter, value, f"a whole number from {low} to {high}")
    return value
