"""Requests that start from a picture: what each task needs, refuses, and is resolved to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generator import GenerationRequest, ModelCard, UnsupportedRequestError
from generator.canvas import Extension
from generator.card import Upscaling
from generator.request import LARGEST_SIDE_PIXELS

EVERY_TASK = ("text-to-image", "image-to-image", "inpaint", "outpaint", "variation", "upscale")


@pytest.fixture
def card(shipped_card: ModelCard) -> ModelCard:
    """A card that offers everything."""
    return replace(
        shipped_card,
        tasks=EVERY_TASK,
        sizes=((256, 256), (512, 512)),
        schedulers=("euler", "ddim"),
        upscaling=Upscaling((2, 4), 1024),
    )


def picture(height: int = 300, width: int = 400) -> NDArray[np.uint8]:
    return np.full((height, width, 3), 90, np.uint8)


def mask(height: int = 300, width: int = 400) -> NDArray[np.uint8]:
    white = np.zeros((height, width), np.uint8)
    white[10:20, 10:20] = 200  # any level from 128 on is white
    return white


def asked(task: str, **changes: Any) -> GenerationRequest:
    inputs: dict[str, Any] = {} if task == "text-to-image" else {"image": picture()}
    if task == "inpaint":
        inputs["mask"] = mask()
    if task == "outpaint":
        inputs["extend"] = Extension(left=100, bottom=50)
    return replace(GenerationRequest("a dog", task=task, seed=1), **{**inputs, **changes})


@pytest.mark.parametrize(
    ("task", "size"),
    [
        ("text-to-image", (512, 512)),
        ("image-to-image", (512, 512)),
        ("variation", (512, 512)),
        ("inpaint", (400, 300)),
        ("outpaint", (500, 350)),
        ("upscale", (800, 600)),
    ],
)
def test_the_size_of_the_result_follows_from_the_task(card: ModelCard, task: str, size: tuple[int, int]) -> None:
    resolved = asked(task).resolve(card)

    assert (resolved.width, resolved.height) == size


def test_a_given_size_is_kept_where_the_picture_is_redrawn_as_a_whole(card: ModelCard) -> None:
    resolved = asked("image-to-image", width=256, height=256).resolve(card)

    assert resolved.image is not None
    assert resolved.image.shape == (256, 256, 3)


def test_the_default_strength_is_the_cards_but_inside_a_mask_nothing_is_kept(card: ModelCard) -> None:
    assert asked("image-to-image").resolve(card).strength == card.defaults.strength
    assert asked("inpaint").resolve(card).strength == 1.0
    assert asked("upscale").resolve(card).strength is None


def test_a_mask_becomes_black_and_white(card: ModelCard) -> None:
    resolved = asked("inpaint").resolve(card)

    assert resolved.mask is not None
    assert np.array_equal(np.unique(resolved.mask), [0, 255])
    assert (resolved.mask == 255).sum() == 100


@pytest.mark.parametrize("task", ["variation", "upscale"])
def test_a_prompt_may_be_left_out_where_the_picture_says_enough(card: ModelCard, task: str) -> None:
    assert asked(task, prompt="").resolve(card).prompt == ""


@pytest.mark.parametrize(
    ("task", "parameter", "changes"),
    [
        ("image-to-image", "prompt", {"prompt": ""}),
        ("image-to-image", "image", {"image": None}),
        ("inpaint", "mask", {"mask": None}),
        ("outpaint", "extend", {"extend": None}),
        ("text-to-image", "image", {"image": picture()}),
        ("text-to-image", "strength", {"strength": 0.5}),
        ("text-to-image", "scale", {"scale": 2}),
        ("image-to-image", "mask", {"mask": mask()}),
        ("image-to-image", "extend", {"extend": Extension(left=8)}),
        ("inpaint", "scale", {"scale": 2}),
        ("upscale", "strength", {"strength": 0.5}),
        ("inpaint", "mask", {"mask": mask(300, 401)}),
        ("inpaint", "mask", {"mask": np.zeros((300, 400), np.uint8)}),
        ("inpaint", "mask", {"mask": picture()}),
        ("inpaint", "size", {"width": 512, "height": 512}),
        ("outpaint", "size", {"width": 512}),
        ("upscale", "size", {"width": 512}),
        ("image-to-image", "size", {"width": 300}),
        ("image-to-image", "image", {"image": picture()[..., 0]}),
        ("image-to-image", "image", {"image": np.zeros((300, 400, 4), np.uint8)}),
        ("image-to-image", "image", {"image": picture().astype(np.float32)}),
        ("image-to-image", "image", {"image": picture(8, 400)}),
        ("image-to-image", "strength", {"strength": -0.01}),
        ("image-to-image", "strength", {"strength": 1.01}),
        ("image-to-image", "strength", {"strength": float("nan")}),
        ("image-to-image", "strength", {"strength": True}),
        ("outpaint", "extend", {"extend": Extension()}),
        ("outpaint", "extend", {"extend": Extension(left=401)}),
        ("outpaint", "extend", {"extend": Extension(top=301)}),
        ("outpaint", "extend", {"extend": Extension(right=-1)}),
        ("outpaint", "extend", {"image": picture(300, 4000), "extend": Extension(left=97)}),
        ("inpaint", "image", {"image": picture(300, 4097), "mask": mask(300, 4097)}),
        ("upscale", "scale", {"scale": 3}),
        ("upscale", "scale", {"scale": True}),
        ("upscale", "image", {"image": picture(300, 1025), "scale": 4}),
        ("text-to-image", "scheduler", {"scheduler": "magic"}),
        ("style-transfer", "task", {}),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    card: ModelCard, task: str, parameter: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedRequestError) as refusal:
        asked(task, **changes).resolve(card)

    assert refusal.value.parameter == parameter


@pytest.mark.parametrize("strength", [0, 0.0, 1, 1.0])
def test_both_ends_of_the_strength_are_allowed(card: ModelCard, strength: float) -> None:
    assert asked("image-to-image", strength=strength).resolve(card).strength == strength


def test_the_largest_canvas_is_allowed(card: ModelCard) -> None:
    extension = Extension(left=LARGEST_SIDE_PIXELS - 4000)

    assert asked("outpaint", image=picture(300, 4000), extend=extension).resolve(card).width == LARGEST_SIDE_PIXELS


def test_pictures_of_different_sizes_go_together_where_the_model_works_at_one_size(card: ModelCard) -> None:
    small, large = (
        asked("inpaint", image=picture(side, side), mask=mask(side, side)).resolve(card) for side in (512, 2000)
    )

    assert small.batch_key == large.batch_key
    assert small.batch_key != asked("image-to-image").resolve(card).batch_key


def test_inpaint_and_outpaint_go_together(card: ModelCard) -> None:
    outpaint = asked("outpaint", image=picture(400, 400), extend=Extension(left=112, top=112)).resolve(card)

    assert asked("inpaint").resolve(card).batch_key == outpaint.batch_key


def test_pictures_to_be_enlarged_go_together_only_at_one_size(card: ModelCard) -> None:
    first, second = (asked("upscale", image=picture(side, side)).resolve(card) for side in (100, 101))

    assert first.batch_key != second.batch_key
