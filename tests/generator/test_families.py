"""Every family of models through the one engine: true classes, random weights, the hub's layout on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from generator import GenerationRequest, ModelCard, UnsupportedRequestError
from generator.adding import Statement, describe_folder
from generator.canvas import Extension
from generator.diffusion import DiffusionEngine
from generator.engine import Draw
from generator.image import GeneratedImage
from tests.generator import tiny_models

# Schedulers of diffusers 0.42 hand torch's tensors to NumPy 2.4, which says so.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

SIDE = 32
STATEMENT = Statement(licence="none", training_data="none: random weights")
LARGEST_DIFFERENCE = 2
"""Levels by which an image may differ from the same one made in another batch."""

EVERY_TASK = ("text-to-image", "image-to-image", "variation", "inpaint", "outpaint")
TASKS = {
    "stable-diffusion": EVERY_TASK,
    "stable-diffusion-inpainting": ("inpaint", "outpaint"),
    "stable-diffusion-xl": EVERY_TASK,
    "stable-diffusion-3": EVERY_TASK,
    "flux": EVERY_TASK,
    "flux-fill": ("inpaint", "outpaint"),
    "upscaler": ("upscale",),
}
CASES = [(family, task) for family, tasks in TASKS.items() for task in tasks]

Opened = Callable[[str], DiffusionEngine]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """The engine of a family; each is saved, described and loaded once."""
    engines: dict[str, DiffusionEngine] = {}

    def engine_of(family: str) -> DiffusionEngine:
        if family not in engines:
            folder = tiny_models.save(family, tmp_path_factory.mktemp("models") / family)
            engines[family] = DiffusionEngine(small(describe_folder(folder, STATEMENT)))
        return engines[family]

    yield engine_of
    for engine in engines.values():
        engine.close()


def small(card: ModelCard) -> ModelCard:
    """The card with sizes at which random weights answer at once."""
    return replace(
        card, sizes=((SIDE, SIDE), (SIDE * 3 // 2, SIDE)), defaults=replace(card.defaults, width=SIDE, height=SIDE)
    )


def picture(seed: int = 0, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def left_half() -> NDArray[np.uint8]:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[:, : SIDE // 2] = 255
    return mask


def request(task: str, **changes: Any) -> GenerationRequest:
    inputs: dict[str, Any] = {} if task == "text-to-image" else {"image": picture()}
    if task == "inpaint":
        inputs["mask"] = left_half()
    if task == "outpaint":
        inputs["extend"] = Extension(right=8)
    return GenerationRequest("a dog", task=task, **{"steps": 3, "seed": 5, **inputs, **changes})


def made(engine: DiffusionEngine, asked: GenerationRequest) -> list[GeneratedImage]:
    return engine.generate(asked.resolve(engine.card))


@pytest.mark.parametrize("family", TASKS)
def test_a_model_offers_the_tasks_that_its_classes_do(opened: Opened, family: str) -> None:
    assert opened(family).card.tasks == TASKS[family]


@pytest.mark.parametrize(("family", "task"), CASES)
def test_batch_and_single_give_the_same_image(opened: Opened, family: str, task: str) -> None:
    engine = opened(family)
    first = request(task).resolve(engine.card)
    other = request(task, seed=77, **({} if task == "text-to-image" else {"image": picture(3)})).resolve(engine.card)
    told: list[int] = []

    alone = engine.generate(first)[0]
    together = engine.draw([Draw(other, 0), Draw(first, 0)], lambda done, _total: told.append(done))

    assert told == list(range(1, len(told) + 1))
    assert told
    assert together[1].batch_size == 2
    difference = np.abs(alone.pixels.astype(int) - together[1].pixels)
    assert difference.max() <= LARGEST_DIFFERENCE
    assert not np.array_equal(together[0].pixels, together[1].pixels)


@pytest.mark.parametrize(("family", "task"), [case for case in CASES if case[1] in ("inpaint", "outpaint")])
def test_what_lies_outside_the_mask_does_not_change_and_inside_it_does(opened: Opened, family: str, task: str) -> None:
    engine = opened(family)
    image = made(engine, request(task))[0].pixels
    kept = np.s_[:, SIDE // 2 :] if task == "inpaint" else np.s_[:, :SIDE]

    assert np.array_equal(image[:, : SIDE + 8][kept], picture()[kept])
    if task == "inpaint":
        assert not np.array_equal(image[:, : SIDE // 2], picture()[:, : SIDE // 2])
    else:
        assert image.shape == (SIDE, SIDE + 8, 3)


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux"])
def test_more_strength_changes_more(opened: Opened, family: str) -> None:
    engine = opened(family)
    smooth = np.full((SIDE, SIDE, 3), (200, 40, 40), np.uint8)

    def latent_distance(strength: float) -> float:
        asked = request("image-to-image", image=smooth, strength=strength, steps=8, guidance=1.0)
        image = made(engine, asked)[0].pixels
        return float(np.abs(image.astype(float) - reference).mean())

    reference = made(engine, request("image-to-image", image=smooth, strength=0.125, steps=8, guidance=1.0))[0].pixels
    assert latent_distance(0.25) < latent_distance(1.0)


@pytest.mark.parametrize("family", ["stable-diffusion", "flux"])
def test_no_strength_leaves_the_picture_as_it_is(opened: Opened, family: str) -> None:
    image = made(opened(family), request("image-to-image", strength=0.0))[0]

    assert np.array_equal(image.pixels, picture())
    assert image.strength == 0.0


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux"])
def test_a_negative_prompt_has_effect(opened: Opened, family: str) -> None:
    engine = opened(family)
    plain, negative = (made(engine, request("text-to-image", negative_prompt=n))[0] for n in (None, "zzz"))

    assert not np.array_equal(plain.pixels, negative.pixels)


def test_a_model_without_negative_prompts_refuses_them(opened: Opened) -> None:
    with pytest.raises(UnsupportedRequestError, match="negative_prompt"):
        request("inpaint", negative_prompt="a cat").resolve(opened("flux-fill").card)


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-3"])
def test_every_scheduler_that_is_offered_runs_and_is_recorded_and_leaves_no_trace(opened: Opened, family: str) -> None:
    engine = opened(family)
    own = made(engine, request("text-to-image"))[0]

    images = {name: made(engine, request("text-to-image", scheduler=name))[0] for name in engine.card.schedulers}

    assert len(images) >= 3
    assert all(name in image.scheduler for name, image in images.items())
    assert len({image.pixels.tobytes() for image in images.values()}) > len(images) // 2
    assert np.array_equal(made(engine, request("text-to-image"))[0].pixels, own.pixels)


def test_a_scheduler_that_is_not_offered_is_refused_with_those_that_are(opened: Opened) -> None:
    with pytest.raises(UnsupportedRequestError, match=r"scheduler='flow-euler'.*dpm\+\+-2m"):
        request("text-to-image", scheduler="flow-euler").resolve(opened("stable-diffusion").card)


def test_the_upscaler_enlarges_four_times_and_refuses_other_factors(opened: Opened) -> None:
    engine = opened("upscaler")

    image = made(engine, request("upscale", image=picture(0, 24, 16)))[0]

    assert (image.width, image.height) == (64, 96)
    with pytest.raises(UnsupportedRequestError, match="scale"):
        request("upscale", scale=2).resolve(engine.card)


def test_a_large_picture_is_repainted_around_the_mask_only(opened: Opened) -> None:
    """The model works at 32×32; the picture keeps its own size and every pixel outside the mask."""
    engine = opened("stable-diffusion-inpainting")
    large = picture(4, 300, 400)
    mask = np.zeros((300, 400), np.uint8)
    mask[100:140, 200:260] = 255

    image = made(engine, request("inpaint", image=large, mask=mask))[0].pixels

    changed = (image != large).any(axis=2)
    assert image.shape == large.shape
    assert not changed[mask == 0].any()
    assert changed[mask == 255].mean() > 0.9


def test_parts_are_shared_between_the_pipelines_of_a_model(opened: Opened) -> None:
    engine = opened("stable-diffusion")
    for task in EVERY_TASK:
        made(engine, request(task))

    pipelines = [engine._base, *engine._pipelines.values()]

    assert len({type(pipeline) for pipeline in pipelines}) == 3
    assert len({id(pipeline.unet) for pipeline in pipelines}) == 1
    assert all(pipeline.safety_checker is None for pipeline in pipelines)


def test_draws_that_do_not_go_together_are_refused(opened: Opened) -> None:
    engine = opened("stable-diffusion")
    requests = [request("text-to-image", steps=steps).resolve(engine.card) for steps in (2, 3)]

    with pytest.raises(UnsupportedRequestError, match="batch"):
        engine.draw([Draw(one, 0) for one in requests])
