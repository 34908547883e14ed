"""What a caller asks for, and the same with every choice made."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from generator.canvas import Extension, Window, closest_size, extended, fitted, window_around
from generator.card import ModelCard
from generator.errors import UnsupportedRequestError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Task = Literal["text-to-image", "image-to-image", "inpaint", "outpaint", "variation", "upscale", "style-transfer"]
TASKS: tuple[str, ...] = get_args(Task)

LONGEST_PROMPT_CHARACTERS = 4000
LARGEST_STEPS = 100
LARGEST_GUIDANCE = 50.0
LARGEST_COUNT = 10
LARGEST_SEED = 2**32 - 1
LARGEST_SIDE_PIXELS = 4096
"""Of an image that comes out; larger ones cannot be examined in reasonable time."""

SMALLEST_SIDE_PIXELS = 16
"""Of an image that goes in."""

_TAKES_IMAGE = frozenset({"image-to-image", "inpaint", "outpaint", "variation", "upscale"})
_TAKES_STRENGTH = frozenset({"image-to-image", "inpaint", "outpaint", "variation"})
_WORKS_WITHOUT_PROMPT = frozenset({"variation", "upscale"})
_REPAINTS = frozenset({"inpaint", "outpaint"})
_REPAINT_STRENGTH = 1.0
"""Inside a mask nothing is kept unless the caller asks for it."""


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request with every choice made and checked against the model's card; build it with
    `GenerationRequest.resolve`.

    Image `i` of `count` has the seed `seed + i`. `width` and `height` are those of the image that comes out; a model
    that repaints a mask sees the picture through `window`. For `outpaint`, `image` is the extended canvas and `mask`
    what was added. `scheduler` None is the model's own.
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
    scheduler: str | None = None
    strength: float | None = None
    scale: int | None = None
    extend: Extension | None = None
    window: Window | None = None
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    mask: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)

    @property
    def batch_key(self) -> Hashable:
        """Images with equal keys can be made in one run of the model."""
        size = (self.width, self.height)
        if self.window is not None:
            size = (self.window.model_width, self.window.model_height)
        return (
            self.model, "inpaint" if self.task in _REPAINTS else self.task, size, self.steps, self.guidance,
            self.scheduler, self.strength, self.scale, self.negative_prompt is None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request as it came in; None means the model's default.

    `image` and `mask` are uint8 pixels, (H, W, 3) and (H, W), for tasks that start from an image; the mask is white
    where the image is to be repainted (from 128 on). `strength` in [0, 1] says how much of the image is given up.
    `extend` is for `outpaint`, `scale` (2 or 4) for `upscale`. `seed` None draws one from the operating system.
    """

    prompt: str = ""
    task: str = "text-to-image"
    negative_prompt: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    seed: int | None = None
    count: int = 1
    image: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    mask: NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    strength: float | None = None
    extend: Extension | None = None
    scale: int | None = None
    model: str | None = None

    def resolve(self, card: ModelCard) -> ResolvedRequest:
        """Fill in the card's defaults and check every parameter.

        Raises UnsupportedRequestError, which names the parameter and what was expected.
        """
        if self.model is not None and self.model != card.id:
            raise UnsupportedRequestError("model", self.model, f"{card.id!r}, the card this is resolved with")
        if self.task not in card.tasks:
            raise UnsupportedRequestError("task", self.task, f"one of {', '.join(card.tasks)} for {card.id}")
        self._check_inputs_belong_to_the_task()
        if self.prompt or self.task not in _WORKS_WITHOUT_PROMPT:
            check_prompt("prompt", self.prompt)
        if self.negative_prompt:
            check_prompt("negative_prompt", self.negative_prompt)
            if not card.negative_prompts:
                raise UnsupportedRequestError("negative_prompt", self.negative_prompt, f"none for {card.id}")
        if self.scheduler is not None and self.scheduler not in card.schedulers:
            offered = ", ".join(card.schedulers)
            expected = f"one of {offered}, or none for the model's own" if offered else f"none: {card.id} has its own"
            raise UnsupportedRequestError("scheduler", self.scheduler, expected)
        count = _whole("count", self.count, 1, LARGEST_COUNT)
        steps = card.defaults.steps if self.steps is None else _whole("steps", self.steps, 1, LARGEST_STEPS)
        last_seed = LARGEST_SEED + 1 - count
        seed = secrets.randbelow(last_seed + 1) if self.seed is None else _whole("seed", self.seed, 0, last_seed)
        picture = self._picture(card)
        return ResolvedRequest(
            task=self.task,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt or None,
            width=picture.width,
            height=picture.height,
            steps=steps,
            guidance=_number("guidance", self.guidance, card.defaults.guidance, LARGEST_GUIDANCE),
            seed=seed,
            count=count,
            model=card.id,
            scheduler=self.scheduler,
            strength=self._strength(card),
            scale=picture.scale,
            extend=self.extend,
            window=picture.window,
            image=picture.image,
            mask=picture.mask,
        )

    def _check_inputs_belong_to_the_task(self) -> None:
        takers = {
            "image": _TAKES_IMAGE,
            "mask": frozenset({"inpaint"}),
            "strength": _TAKES_STRENGTH,
            "extend": frozenset({"outpaint"}),
            "scale": frozenset({"upscale"}),
        }
        for parameter, tasks in takers.items():
            value = getattr(self, parameter)
            if value is not None and self.task not in tasks:
                shape = getattr(value, "shape", None)
                shown = value if shape is None else f"pixels of shape {shape}"
                raise UnsupportedRequestError(parameter, shown, f"none for the task {self.task}")
            if value is None and self.task in tasks and parameter in ("image", "mask", "extend"):
                raise UnsupportedRequestError(parameter, None, f"one: the task {self.task} needs it")

    def _strength(self, card: ModelCard) -> float | None:
        if self.task not in _TAKES_STRENGTH:
            return None
        return _number(
            "strength", self.strength, _REPAINT_STRENGTH if self.task in _REPAINTS else card.defaults.strength, 1.0
        )

    def _picture(self, card: ModelCard) -> _Picture:
        """Size and inputs, by task."""
        if self.image is None:
            return _Picture(*self._size(card))
        _check_pixels("image", self.image, 3)
        height, width = self.image.shape[:2]
        if self.task in ("image-to-image", "variation"):
            size = closest_size(width, height, card.sizes) if self.width is self.height is None else self._size(card)
            return _Picture(*size, image=fitted(self.image, *size))
        if self.width is not None or self.height is not None:
            raise UnsupportedRequestError(
                "size", f"{self.width}x{self.height}", f"none for the task {self.task}: it follows from the image"
            )
        if self.task == "upscale":
            return self._enlarged(card)
        image, mask = self._canvas()
        return _Picture(image.shape[1], image.shape[0], image, mask, window=window_around(mask, card.sizes))

    def _canvas(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """What is to be repainted and where: white and black alone."""
        import numpy as np

        assert self.image is not None
        height, width = self.image.shape[:2]
        if self.extend is not None:
            _check_extension(self.extend, width, height)
            return extended(self.image, self.extend)
        assert self.mask is not None
        _check_pixels("mask", self.mask, 2)
        if self.mask.shape != (height, width):
            found = f"{self.mask.shape[1]}x{self.mask.shape[0]}"
            raise UnsupportedRequestError("mask", found, f"the image's size, {width}x{height}")
        _check_side("image", width, height)
        if not (self.mask > 127).any():
            raise UnsupportedRequestError("mask", "all black", "white where the image is to be repainted")
        return self.image, np.where(self.mask > 127, np.uint8(255), np.uint8(0))

    def _enlarged(self, card: ModelCard) -> _Picture:
        assert self.image is not None
        assert card.upscaling is not None  # the card was checked when it was read
        scales, largest = card.upscaling.scales, card.upscaling.largest_side
        scale = scales[0] if self.scale is None else self.scale
        if isinstance(scale, bool) or scale not in scales:
            raise UnsupportedRequestError("scale", scale, f"{' or '.join(map(str, scales))} for {card.id}")
        height, width = self.image.shape[:2]
        largest = min(largest, LARGEST_SIDE_PIXELS // scale)
        if max(width, height) > largest:
            raise UnsupportedRequestError("image", f"{width}x{height}", f"at most {largest} a side to enlarge {scale}×")
        return _Picture(width * scale, height * scale, self.image, scale=scale)

    def _size(self, card: ModelCard) -> tuple[int, int]:
        """Both sides as asked for; one alone stands for a square; none is the default."""
        if self.width is None and self.height is None:
            return card.defaults.width, card.defaults.height
        size = (self.width or self.height or 0, self.height or self.width or 0)
        if size not in card.sizes:
            offered = " or ".join(f"{width}x{height}" for width, height in card.sizes)
            raise UnsupportedRequestError("size", f"{size[0]}x{size[1]}", f"{offered} for {card.id}")
        return size


@dataclass(frozen=True, slots=True)
class _Picture:
    """What follows from the input image: the size of the output, and what the pipeline gets."""

    width: int
    height: int
    image: NDArray[np.uint8] | None = None
    mask: NDArray[np.uint8] | None = None
    window: Window | None = None
    scale: int | None = None


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


def _check_pixels(parameter: str, pixels: NDArray[np.uint8], dimensions: int) -> None:
    """Raise UnsupportedRequestError for what is no picture, (H, W, 3), or no mask, (H, W), of 8-bit values."""
    shape, kind = pixels.shape, str(pixels.dtype)
    expected = "(height, width, 3)" if dimensions == 3 else "(height, width)"
    if kind != "uint8" or len(shape) != dimensions or (dimensions == 3 and shape[2] != 3):
        raise UnsupportedRequestError(parameter, f"{kind} of shape {shape}", f"uint8 of shape {expected}")
    if min(shape[:2]) < SMALLEST_SIDE_PIXELS:
        raise UnsupportedRequestError(
            parameter, f"{shape[1]}x{shape[0]}", f"at least {SMALLEST_SIDE_PIXELS} pixels a side"
        )


def _check_extension(by: Extension, width: int, height: int) -> None:
    """Each side grows by at most the picture's own length; more would be another picture."""
    limits = {"left": width, "right": width, "top": height, "bottom": height}
    for side, limit in limits.items():
        _whole("extend", getattr(by, side), 0, limit)
    if by == Extension():
        raise UnsupportedRequestError("extend", "no pixels", "at least one side to be extended")
    _check_side("extend", width + by.left + by.right, height + by.top + by.bottom)


def _check_side(parameter: str, width: int, height: int) -> None:
    if max(width, height) > LARGEST_SIDE_PIXELS:
        raise UnsupportedRequestError(
            parameter, f"a picture of {width}x{height}", f"at most {LARGEST_SIDE_PIXELS} pixels a side"
        )


def _number(parameter: str, value: float | None, default: float, high: float) -> float:
    """A number from 0 to `high`; NaN is none."""
    chosen = default if value is None else value
    if isinstance(chosen, bool) or not isinstance(chosen, int | float) or not 0 <= chosen <= high:
        raise UnsupportedRequestError(parameter, chosen, f"a number from 0 to {high:g}")
    return float(chosen)


def _whole(parameter: str, value: int, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UnsupportedRequestError(parameter, value, f"a whole number from {low} to {high}")
    return value
