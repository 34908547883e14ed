from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from generator.emblem.base import EmblemBase
from generator.emblem.pipeline import (
    EmblemImg2ImgPipeline,
    EmblemInpaintPipeline,
    EmblemPipeline,
    EmblemUpscalePipeline,
    EmblemVariationPipeline,
)

Pixels = NDArray[np.float32]


@pytest.fixture(scope="module")
def base(tiny_folder: Path, text_components: Mapping[str, object]) -> EmblemPipeline:
    loaded: EmblemPipeline = EmblemPipeline.from_pretrained(tiny_folder, low_cpu_mem_usage=False, **text_components)
    return loaded


def quiet(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope="module")
def redraw(base: EmblemPipeline) -> Any:
    return quiet(EmblemImg2ImgPipeline.from_pipe(base))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def repaint(base: EmblemPipeline) -> Any:
    return quiet(EmblemInpaintPipeline.from_pipe(base))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def vary(base: EmblemPipeline) -> Any:
    return quiet(EmblemVariationPipeline.from_pipe(base))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def enlarge(base: EmblemPipeline) -> Any:
    return quiet(EmblemUpscalePipeline.from_pipe(base))  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def image() -> Image.Image:
    """A smooth picture, wider than high."""
    y, x = np.mgrid[0:160, 0:240].astype(np.float32)
    pixels = np.stack([x / 240, y / 160, 0.5 + 0.4 * np.sin(x / 30)], -1)
    return Image.fromarray((pixels * 255).astype(np.uint8))


@pytest.fixture(scope="module")
def mask() -> Image.Image:
    pixels = np.zeros((160, 240), np.uint8)
    pixels[40:120, 60:200] = 255
    return Image.fromarray(pixels)


def seeded(seed: int = 0) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed)]


def call(pipeline: EmblemBase, *arguments: Any, **options: Any) -> Any:
    made = pipeline(*arguments, **({"output_type": "np"} | options))  # type: ignore[operator]
    return made.images


def unit(image: Image.Image) -> Pixels:
    return np.asarray(np.asarray(image) / 255, np.float32)


def test_pipelines_share_their_parts(base: EmblemPipeline, redraw: Any) -> None:
    assert redraw.unet is base.unet
    assert redraw.planner is base.planner


def test_redrawing_keeps_the_images_size(redraw: Any, image: Image.Image) -> None:
    result = call(redraw, "a dog", image, strength=0.5, num_inference_steps=2, generator=seeded())

    assert result.shape == (1, 160, 240, 3)


def test_redrawing_moves_further_from_the_image_as_strength_grows(redraw: Any, image: Image.Image) -> None:
    rebuilt, *results = (
        call(redraw, "a dog", image, strength=strength, num_inference_steps=4, generator=seeded())[0]
        for strength in (0.0, 0.25, 0.6, 1.0)
    )

    distances = [float(np.abs(result - rebuilt).mean()) for result in results]
    assert distances == sorted(distances)
    assert distances[0] > 0.005


def test_full_strength_forgets_the_image(redraw: Any, image: Image.Image) -> None:
    other = Image.new("RGB", image.size, (10, 200, 30))

    first, second = (
        call(redraw, "a dog", given, strength=1.0, num_inference_steps=2, generator=seeded())
        for given in (image, other)
    )

    assert np.allclose(first, second, atol=1e-4)


def test_repainting_leaves_what_is_not_masked(repaint: Any, image: Image.Image, mask: Image.Image) -> None:
    result = call(repaint, "a dog", image, mask, num_inference_steps=2, generator=seeded())[0]

    outside, change = np.asarray(mask) == 0, np.abs(result - unit(image))
    assert change[outside].max() <= 2 / 255
    assert change[~outside].mean() > 0.05


def test_an_inverted_mask_repaints_the_other_part(repaint: Any, image: Image.Image, mask: Image.Image) -> None:
    inverted = Image.fromarray(255 - np.asarray(mask))

    result = call(repaint, "a dog", image, inverted, num_inference_steps=2, generator=seeded())[0]

    kept, change = np.asarray(mask) == 255, np.abs(result - unit(image))
    assert change[kept].max() <= 2 / 255
    assert change[~kept].mean() > 0.05


def test_an_empty_mask_changes_nothing(repaint: Any, image: Image.Image) -> None:
    nothing = Image.new("L", image.size, 0)

    result = call(repaint, "a dog", image, nothing, num_inference_steps=2, generator=seeded())[0]

    assert np.abs(result - unit(image)).max() < 1e-6


def test_a_mask_of_another_size_is_refused(repaint: Any, image: Image.Image) -> None:
    with pytest.raises(ValueError, match="the mask is 16x16, the image 240x160; expected one size"):
        call(repaint, "a dog", image, Image.new("L", (16, 16), 255))


def test_variations_differ_from_each_other_and_more_so_at_a_higher_strength(vary: Any, image: Image.Image) -> None:
    def apart(strength: float) -> float:
        first, second = (
            call(vary, image, strength=strength, num_inference_steps=2, generator=seeded(seed))[0] for seed in (1, 2)
        )
        return float(np.abs(first - second).mean())

    assert 0.001 < apart(0.2) < apart(0.8)


def test_several_variations_come_from_one_call(vary: Any, image: Image.Image) -> None:
    both = call(vary, image, num_images_per_prompt=2, num_inference_steps=2, generator=[*seeded(1), *seeded(2)])
    second = call(vary, image, num_inference_steps=2, generator=seeded(2))

    assert both.shape == (2, 160, 240, 3)
    assert np.abs(both[1] - second[0]).max() <= 2 / 255


@pytest.mark.parametrize("scale", [2, 4])
def test_enlarging_multiplies_the_side_and_keeps_the_picture(enlarge: Any, image: Image.Image, scale: int) -> None:
    result = call(enlarge, image, scale=scale)[0]

    assert result.shape == (160 * scale, 240 * scale, 3)
    assert np.abs(result.reshape(160, scale, 240, scale, 3).mean((1, 3)) - unit(image)).mean() < 0.02


def test_tiles_leave_no_seams(enlarge: Any, image: Image.Image) -> None:
    """What lies beyond a tile's margin is out of the network's sight, so tiles equal the whole."""
    pixels = torch.from_numpy(unit(image)).permute(2, 0, 1)[None] * 2 - 1

    with torch.no_grad():
        assert torch.allclose(enlarge._tiled(pixels), enlarge.codec.enlarge(pixels), atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"strength": 1.5}, "expected 0 to 1"), ({"num_inference_steps": 0}, "at least 1")],
)
def test_values_out_of_range_are_refused(
    redraw: Any, image: Image.Image, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        call(redraw, "a dog", image, **options)


def test_another_scale_is_refused(enlarge: Any, image: Image.Image) -> None:
    with pytest.raises(ValueError, match="scale 3; expected 2 or 4"):
        call(enlarge, image, scale=3)


def test_images_of_different_sizes_are_refused(vary: Any, image: Image.Image) -> None:
    with pytest.raises(ValueError, match="differ in size"):
        call(vary, [image, image.resize((64, 64))])


def test_progress_can_be_followed(redraw: Any, image: Image.Image) -> None:
    steps: list[int] = []

    def note(pipeline: Any, step: int, _: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        steps.append(step)
        assert pipeline.num_timesteps == 2
        return tensors

    call(redraw, "a dog", image, strength=0.5, num_inference_steps=4, generator=seeded(), callback_on_step_end=note)

    assert steps == [0, 1]
