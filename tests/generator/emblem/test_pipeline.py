from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generator import ModelCard
from generator.emblem.pipeline import EmblemPipeline
from generator.training.vocabulary import BACKGROUNDS


@pytest.fixture(scope="module")
def pipeline(tiny_folder: Path, text_components: Mapping[str, object]) -> EmblemPipeline:
    loaded: EmblemPipeline = EmblemPipeline.from_pretrained(tiny_folder, low_cpu_mem_usage=False, **text_components)
    loaded.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    return loaded


@pytest.fixture(scope="module")
def shipped(shipped_card: ModelCard, text_components: Mapping[str, object]) -> EmblemPipeline:
    loaded: EmblemPipeline = EmblemPipeline.from_pretrained(
        Path(shipped_card.source), dtype=torch.float32, low_cpu_mem_usage=False, **text_components
    )
    loaded.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    return loaded


def draw(pipeline: EmblemPipeline, **changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "prompt": "a dog",
        "num_inference_steps": 2,
        "generator": torch.Generator().manual_seed(0),
        "output_type": "np",
    }
    output = pipeline(**(arguments | changes))
    assert not isinstance(output, tuple)
    return output.images


def sources(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_images_are_arrays_in_the_unit_interval(pipeline: EmblemPipeline) -> None:
    images = draw(pipeline, prompt=["a dog", "a cat"], generator=None)

    assert images.shape == (2, 512, 512, 3)
    assert images.min() >= 0
    assert images.max() <= 1


def test_pil_images_are_the_arrays_rounded(pipeline: EmblemPipeline) -> None:
    array, image = draw(pipeline)[0], draw(pipeline, output_type="pil")[0]

    assert np.array_equal(np.asarray(image), np.rint(array * 255).astype(np.uint8))


def test_the_smaller_size_is_the_larger_one_averaged(pipeline: EmblemPipeline) -> None:
    small, large = draw(pipeline, height=256, width=256)[0], draw(pipeline)[0]

    assert np.allclose(small, large.reshape(256, 2, 256, 2, 3).mean((1, 3)), atol=1e-5)


def test_equal_generators_give_equal_bits(pipeline: EmblemPipeline) -> None:
    first, second = (draw(pipeline, num_images_per_prompt=2, generator=sources(3, 4)) for _ in range(2))

    assert np.array_equal(first, second)


def test_an_image_is_the_same_alone_and_in_a_batch(pipeline: EmblemPipeline) -> None:
    batch = draw(pipeline, prompt=["a cat", "two red apples", "a house"], generator=sources(7, 8, 9))
    alone = draw(pipeline, prompt="two red apples", generator=sources(8))

    assert np.abs(batch[1] - alone[0]).max() <= 2 / 255


def test_each_image_follows_its_own_random_generator(pipeline: EmblemPipeline) -> None:
    forward = draw(pipeline, num_images_per_prompt=2, generator=sources(1, 2))
    backward = draw(pipeline, num_images_per_prompt=2, generator=sources(2, 1))

    assert np.allclose(forward[0], backward[1], atol=1e-4)
    assert not np.allclose(forward[0], forward[1], atol=1e-2)


def test_a_guidance_of_one_ignores_the_negative_prompt(pipeline: EmblemPipeline) -> None:
    plain = draw(pipeline, guidance_scale=1.0)
    negative = draw(pipeline, guidance_scale=1.0, negative_prompt="a cat", generator=torch.Generator().manual_seed(0))

    assert np.array_equal(plain, negative)


def test_a_negative_prompt_changes_the_picture(pipeline: EmblemPipeline) -> None:
    assert not np.array_equal(draw(pipeline), draw(pipeline, negative_prompt="a cat"))


def test_a_callback_may_replace_the_latents(pipeline: EmblemPipeline) -> None:
    def blank(_: Any, step: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        return {"latents": torch.zeros_like(tensors["latents"])} if step == 1 else tensors

    latents = draw(pipeline, callback_on_step_end=blank, output_type="latent")

    assert not latents.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 256}, "256x256 or 512x512"),
        ({"height": 64, "width": 64}, "256x256 or 512x512"),
        ({"num_inference_steps": 0}, "at least 1"),
        ({"output_type": "jpeg"}, "expected 'pil'"),
        ({"generator": [torch.Generator()] * 3}, "3 random generators for 1 images"),
        ({"negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
    ],
)
def test_what_it_cannot_do_is_said(pipeline: EmblemPipeline, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(pipeline, **changes)


def test_the_shipped_model_puts_the_named_colour_behind_the_object(shipped: EmblemPipeline) -> None:
    prompts = [f"a dog on a {colour} background" for colour in ("blue", "red")]

    blue, red = draw(shipped, prompt=prompts, num_inference_steps=4, height=256, width=256, generator=sources(0, 1))

    assert blue[4:20].mean((0, 1))[2] > blue[4:20].mean((0, 1))[0] + 0.2
    assert red[4:20].mean((0, 1))[0] > red[4:20].mean((0, 1))[2] + 0.2


def test_the_shipped_model_heeds_a_negative_prompt(shipped: EmblemPipeline) -> None:
    """Without a background in the prompt any may be drawn; named in the negative prompt it no longer is."""
    count, red = 80, BACKGROUNDS.index("red")

    def reds(negatives: list[str] | None) -> int:
        with torch.no_grad():
            plan, _ = shipped._read(["a white dove"] * count, negatives, [*sources(*range(count))], 3.0)
        return int((plan.background == red).sum())

    assert reds(None) >= 2
    assert reds(["a red background"] * count) == 0
