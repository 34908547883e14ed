"""Text to image: plan, paint, diffuse, enlarge. The pipelines that start from an image are named here too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from generator.emblem.base import (
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    LARGEST_SIDE_PIXELS,
    EmblemBase,
    EmblemPipelineOutput,
    Generators,
    StepCallback,
    check_options,
    listed,
    listed_negatives,
    listed_sources,
    to_output,
)
from generator.emblem.codec import NATIVE_SIDE_PIXELS
from generator.emblem.image_pipelines import (
    EmblemImg2ImgPipeline,
    EmblemInpaintPipeline,
    EmblemUpscalePipeline,
    EmblemVariationPipeline,
)
from generator.emblem.plan import backdrop

__all__ = [
    "EmblemImg2ImgPipeline",
    "EmblemInpaintPipeline",
    "EmblemPipeline",
    "EmblemPipelineOutput",
    "EmblemUpscalePipeline",
    "EmblemVariationPipeline",
]

SIDES_PIXELS = (LARGEST_SIDE_PIXELS // 2, LARGEST_SIDE_PIXELS)


class EmblemPipeline(EmblemBase):
    """Draw captioned scenes at 128x128 and enlarge them to 512x512 (or 256x256).

    The planner chooses what is shown and where, the plan picture is painted from decoded appearances and drawn in
    its style, and the denoiser, which sees it beside the noise, makes the picture: a layout-grounded latent diffusion
    model (compare Li et al., 2023, "GLIGEN"; Zheng et al., 2023, "LayoutDiffusion").
    """

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        height: int = LARGEST_SIDE_PIXELS,
        width: int = LARGEST_SIDE_PIXELS,
        num_inference_steps: int = DEFAULT_STEPS,
        guidance_scale: float = DEFAULT_GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Images of prompts.

        `height` and `width` must be equal, 256 or 512. A list of CPU generators, one per image, makes each image
        a function of its own generator; equal batch shape and thread count then give equal bits. A guidance of 1
        ignores the negative prompt. `callback_on_step_end(pipeline, step, timestep, {"latents": ...})` runs after
        every step and may replace the latents. `output_type`: "pil", "np", "pt" or "latent".
        Raises ValueError for sizes, counts or types that it cannot do.
        """
        if height != width or height not in SIDES_PIXELS:
            sizes = " or ".join(f"{side}x{side}" for side in SIDES_PIXELS)
            raise ValueError(f"size {width}x{height}; expected {sizes}")
        check_options(num_inference_steps, output_type)
        prompts = listed(prompt, num_images_per_prompt)
        negatives = listed_negatives(negative_prompt, len(prompts), num_images_per_prompt)
        sources = listed_sources(generator, len(prompts))
        plan, guided = self._read(prompts, negatives, sources, guidance_scale)
        picture, where = self._styled(plan, guided, backdrop(self.planner, plan, NATIVE_SIDE_PIXELS))
        grounds = self._grounds(picture, guided, where)
        noise = self._noise(sources)
        latents = self._denoise(grounds.plan, grounds, noise, guided, 1.0, num_inference_steps, callback_on_step_end)
        if output_type == "latent":
            return EmblemPipelineOutput(latents) if return_dict else (latents,)
        pixels = self._enlarged(latents)
        if height != LARGEST_SIDE_PIXELS:
            pixels = functional.avg_pool2d(pixels, LARGEST_SIDE_PIXELS // height)
        images = to_output(pixels, output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)
