"""The embedded text-to-image pipeline: flow matching over patch coefficients, guided by a sentence encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler
from diffusers.utils.outputs import BaseOutput
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from generator.emblem.codec import ENLARGEMENT, NATIVE_SIDE_PIXELS, PATCH_SIDE_PIXELS, EmblemCodec
from generator.emblem.conditioning import Conditioning, encode_prompts
from generator.emblem.prior import CaptionPrior, predict_picture

LARGEST_SIDE_PIXELS = NATIVE_SIDE_PIXELS * ENLARGEMENT
SIDES_PIXELS = (LARGEST_SIDE_PIXELS // 2, LARGEST_SIDE_PIXELS)
LATENT_SIDE = NATIVE_SIDE_PIXELS // PATCH_SIDE_PIXELS

StepCallback = Callable[[DiffusionPipeline, int, Tensor, dict[str, Any]], dict[str, Any]]


@dataclass
class EmblemPipelineOutput(BaseOutput):
    """`images`: list of PIL images, or an array (N, H, W, 3) in [0, 1], or a tensor, by `output_type`."""

    images: Any


class EmblemPipeline(DiffusionPipeline):
    """Draw captioned scenes of single objects at 128x128 and enlarge them to 512x512 (or 256x256).

    A caption's mean picture comes from a regression network (`prior`); the denoiser predicts the clean picture
    around it, and the velocity that the scheduler integrates is (x - picture) / sigma.
    `noise_scale` below 1 starts from fainter noise: less variety, and less of what a small denoiser leaves behind
    (the "temperature" of Kingma & Dhariwal, 2018, "Glow").
    Text encoder and tokenizer (all-MiniLM-L6-v2) are not stored with the pipeline: pass them to
    `from_pretrained(folder, text_encoder=..., tokenizer=...)`.
    """

    unet: UNet2DConditionModel
    prior: CaptionPrior
    scheduler: FlowMatchEulerDiscreteScheduler
    codec: EmblemCodec
    text_encoder: Any
    tokenizer: Any
    noise_scale: float

    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        unet: UNet2DConditionModel,
        prior: CaptionPrior,
        scheduler: FlowMatchEulerDiscreteScheduler,
        codec: EmblemCodec,
        text_encoder: Any,
        tokenizer: Any,
        noise_scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            unet=unet,
            prior=prior,
            scheduler=scheduler,
            codec=codec,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )
        self.register_to_config(noise_scale=noise_scale)  # type: ignore[no-untyped-call]
        self.noise_scale = noise_scale

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        negative_prompt: str | Sequence[str] | None = None,
        height: int = LARGEST_SIDE_PIXELS,
        width: int = LARGEST_SIDE_PIXELS,
        num_inference_steps: int = 16,
        guidance_scale: float = 1.5,
        num_images_per_prompt: int = 1,
        generator: torch.Generator | list[torch.Generator] | None = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Reverse diffusion from noise with classifier-free guidance (Ho & Salimans, 2022).

        `height` and `width` must be equal, 256 or 512. A list of CPU generators, one per image, makes each image
        a function of its own generator; equal batch shape and thread count then give equal bits.
        `callback_on_step_end(pipeline, step, timestep, {"latents": ...})` runs after every step and may
        replace the latents. `output_type`: "pil", "np", "pt" or "latent".
        Raises ValueError for sizes, counts or types that it cannot do.
        """
        _check(height, width, num_inference_steps, output_type)
        prompts = [prompt] if isinstance(prompt, str) else list(prompt)
        prompts = [text for text in prompts for _ in range(num_images_per_prompt)]
        guided = guidance_scale != 1.0
        condition = self._condition(prompts, negative_prompt, guided, num_images_per_prompt)
        latents = self._noise(len(prompts), generator)

        steps = np.linspace(1.0, 1.0 / num_inference_steps, num_inference_steps)
        self.scheduler.set_timesteps(sigmas=steps.tolist(), device=self.device)
        with self.progress_bar(total=num_inference_steps) as bar:
            for step, timestep in enumerate(self.scheduler.timesteps):
                sigma = self.scheduler.sigmas[step]
                picture = self._predict(latents, sigma, condition, guidance_scale if guided else None)
                velocity = (latents - picture) / sigma
                latents = self._step(velocity, timestep, latents)
                if callback_on_step_end is not None:
                    replaced = callback_on_step_end(self, step, timestep, {"latents": latents})
                    latents = replaced.get("latents", latents)
                bar.update()

        images = self._finish(latents, height, output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)

    def _condition(
        self, prompts: list[str], negative: str | Sequence[str] | None, guided: bool, repeats: int
    ) -> Conditioning:
        """Conditioning of the prompts; with guidance, that of the negative prompts stands before it."""
        if not guided:
            return encode_prompts(self.tokenizer, self.text_encoder, prompts)
        if negative is None or isinstance(negative, str):
            negatives = [negative or ""] * len(prompts)
        else:
            negatives = [text for text in negative for _ in range(repeats)]
        if len(negatives) != len(prompts):
            raise ValueError(f"{len(negatives)} negative prompts for {len(prompts)} prompts; give one for each")
        return encode_prompts(self.tokenizer, self.text_encoder, negatives + prompts)

    def _noise(self, count: int, generator: torch.Generator | list[torch.Generator] | None) -> Tensor:
        shape = (len(self.codec.basis), LATENT_SIDE, LATENT_SIDE)
        if isinstance(generator, list):
            if len(generator) != count:
                raise ValueError(f"{len(generator)} random generators for {count} images; give one for each")
            noise = torch.stack([torch.randn(shape, generator=source) for source in generator])
        else:
            noise = torch.randn((count, *shape), generator=generator)
        return self.noise_scale * noise.to(self.device, self.unet.dtype)

    def _predict(self, latents: Tensor, sigma: Tensor, condition: Conditioning, guidance: float | None) -> Tensor:
        """The clean latents that the denoiser sees in noisy ones, extrapolated away from the negative prompt."""
        doubled = latents if guidance is None else torch.cat([latents, latents])
        picture = predict_picture(self.unet, self.prior, doubled, sigma.expand(len(doubled)), condition)
        if guidance is None:
            return picture
        away, towards = picture.chunk(2)
        return away + guidance * (towards - away)

    def _step(self, velocity: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        scheduler: Any = self.scheduler  # its annotations ask for CPU tensor types
        return cast(Tensor, scheduler.step(velocity, timestep, latents, return_dict=False)[0])

    def _finish(self, latents: Tensor, side: int, output_type: str) -> Any:
        if output_type == "latent":
            return latents
        pixels = self.codec.enlarge(self.codec.decode(latents))
        if side != LARGEST_SIDE_PIXELS:
            pixels = functional.avg_pool2d(pixels, LARGEST_SIDE_PIXELS // side)
        pixels = (pixels + 1) / 2
        if output_type == "pt":
            return pixels
        array = pixels.permute(0, 2, 3, 1).float().cpu().numpy()
        return array if output_type == "np" else [_to_image(picture) for picture in array]


def _to_image(array: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(array * 255).astype(np.uint8))


def _check(height: int, width: int, steps: int, output_type: str) -> None:
    if height != width or height not in SIDES_PIXELS:
        sizes = " or ".join(f"{side}x{side}" for side in SIDES_PIXELS)
        raise ValueError(f"size {width}x{height} is not offered; expected {sizes}")
    if steps < 1:
        raise ValueError(f"num_inference_steps={steps}; expected at least 1")
    if output_type not in ("pil", "np", "pt", "latent"):
        raise ValueError(f"output_type={output_type!r}; expected 'pil', 'np', 'pt' or 'latent'")
