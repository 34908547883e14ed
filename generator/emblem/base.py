"""What all emblem pipelines share: their parts, the reverse diffusion, and the way from latents to images."""

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

from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.codec import ENLARGEMENT, NATIVE_SIDE_PIXELS, PATCH_SIDE_PIXELS, EmblemCodec
from generator.emblem.conditioning import Conditioning, encode_prompts
from generator.emblem.denoise import Grounds, covered, predict_picture, spread_over
from generator.emblem.plan import Plan, draw_numbers, draw_plan, paint_plan, rows_of, steer
from generator.emblem.planner import ScenePlanner
from generator.emblem.stylist import PlanStylist

LARGEST_SIDE_PIXELS = NATIVE_SIDE_PIXELS * ENLARGEMENT
LATENT_SIDE = NATIVE_SIDE_PIXELS // PATCH_SIDE_PIXELS
DEFAULT_STEPS = 8
DEFAULT_GUIDANCE = 1.5
TEMPERATURE = 0.25
"""Noise is fainter than in training: less variety of light and shade, and less of what a small denoiser leaves behind
(Kingma & Dhariwal, 2018, "Glow"). Layouts, which make most of the variety, are drawn at a temperature of their own."""

StepCallback = Callable[[DiffusionPipeline, int, Tensor, dict[str, Any]], dict[str, Any]]
Generators = torch.Generator | list[torch.Generator] | None
Blend = Callable[[Tensor, Tensor], Tensor]
"""From latents after a step and their noise level to the latents that go on."""


@dataclass
class EmblemPipelineOutput(BaseOutput):
    """`images`: list of PIL images, or an array (N, H, W, 3) in [0, 1], or a tensor, by `output_type`."""

    images: Any


@dataclass(frozen=True)
class Guided:
    """N prompts ready for the denoiser: their conditioning, with guidance that of the negative prompts before it, and
    the guidance scale, None without."""

    condition: Conditioning
    scale: float | None

    def style(self, count: int) -> Tensor:
        """The styles (N, S) of the `count` prompts themselves."""
        return self.condition.style[-count:]


class EmblemBase(DiffusionPipeline):
    """The parts of the embedded model: `planner`, `appearance` and `stylist` draw a plan picture for a prompt, the
    denoiser (`unet`) turns it into a picture by reverse diffusion over the codec's latents, `codec` enlarges that.

    Text encoder and tokenizer (all-MiniLM-L6-v2) are not stored with the pipelines: pass them to
    `from_pretrained(folder, text_encoder=..., tokenizer=...)`. Pipelines share parts through `from_pipe`.
    """

    unet: UNet2DConditionModel
    planner: ScenePlanner
    appearance: AppearanceCodebook
    stylist: PlanStylist
    scheduler: FlowMatchEulerDiscreteScheduler
    codec: EmblemCodec
    text_encoder: Any
    tokenizer: Any
    num_timesteps: int = 0
    """How many steps the last call took, or takes: fewer than asked for where strength is below 1."""

    _callback_tensor_inputs = ("latents",)

    def __init__(
        self,
        unet: UNet2DConditionModel,
        planner: ScenePlanner,
        appearance: AppearanceCodebook,
        stylist: PlanStylist,
        scheduler: FlowMatchEulerDiscreteScheduler,
        codec: EmblemCodec,
        text_encoder: Any,
        tokenizer: Any,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            unet=unet,
            planner=planner,
            appearance=appearance,
            stylist=stylist,
            scheduler=scheduler,
            codec=codec,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
        )

    def _read(
        self,
        prompts: list[str],
        negatives: list[str] | None,
        sources: list[torch.Generator | None],
        guidance_scale: float,
    ) -> tuple[Plan, Guided]:
        """Plans and conditioning of prompts, one image each."""
        count = len(prompts)
        guided = guidance_scale != 1.0
        unwanted = negatives or [""] * count
        texts = [*unwanted, *prompts, ""] if guided else prompts
        encoded = encode_prompts(self.tokenizer, self.text_encoder, texts)
        outlook = self.planner(encoded.tokens, encoded.mask)
        wanted = rows_of(outlook, slice(count, 2 * count) if guided else slice(0, count))
        if guided and negatives is not None:
            nothing = rows_of(outlook, slice(2 * count, None))
            wanted = steer(wanted, rows_of(outlook, slice(0, count)), nothing, guidance_scale - 1)
        plan = draw_plan(self.planner, self.appearance, wanted, draw_numbers(sources))
        styles = wanted.style.shape[-1]
        style = functional.one_hot(plan.style, styles).to(encoded.tokens.dtype)
        if not guided:
            return plan, Guided(Conditioning(encoded.tokens, encoded.mask, encoded.pooled, style), None)
        silent = torch.tensor([[float(bool(text))] for text in unwanted], dtype=style.dtype)
        away = functional.one_hot(outlook.style[:count].argmax(-1), styles).to(style.dtype) * silent.to(style.device)
        both = slice(0, 2 * count)
        condition = Conditioning(
            encoded.tokens[both], encoded.mask[both], encoded.pooled[both], torch.cat([away, style])
        )
        return plan, Guided(condition, guidance_scale)

    def _silence(self, count: int) -> Guided:
        """The conditioning of no prompt, without guidance."""
        encoded = encode_prompts(self.tokenizer, self.text_encoder, [""] * count)
        style = encoded.tokens.new_zeros(count, self.planner.style_head.out_features)
        return Guided(Conditioning(encoded.tokens, encoded.mask, encoded.pooled, style), None)

    def _noise(self, sources: list[torch.Generator | None]) -> Tensor:
        shape = (len(self.codec.basis), LATENT_SIDE, LATENT_SIDE)
        noise = torch.stack([torch.randn(shape, generator=source) for source in sources])
        return TEMPERATURE * noise.to(self.device, self.unet.dtype)

    def _grounds(self, plan: Tensor, guided: Guided, where: Tensor | None = None) -> Grounds:
        """What pictures start from, given plan pictures (N, 3, 128, 128) in [-1, 1] and where they show things, as
        `covered` says; without that, things may be anywhere."""
        latents = self.codec.encode(plan)
        if where is None:
            where = torch.ones_like(latents[:, :1])
        return Grounds(latents, spread_over(self.codec.spread, guided.style(len(plan)), where))

    def _styled(self, plan: Plan, guided: Guided, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
        """Plan pictures (N, 3, 128, 128) in [-1, 1] on backgrounds in [0, 1], drawn in their styles, and where they
        show things."""
        painted, alpha = paint_plan(self.appearance, plan, backgrounds)
        return self.stylist(painted, alpha, guided.style(len(painted))), covered(alpha)

    def _denoise(
        self,
        clean: Tensor,
        grounds: Grounds,
        noise: Tensor,
        guided: Guided,
        strength: float,
        steps: int,
        callback: StepCallback | None = None,
        blend: Blend | None = None,
    ) -> Tensor:
        """Integrate from `clean` latents at noise level `strength` down to 0 in `steps` Euler steps."""
        latents = grounds.noisy(clean, noise, torch.tensor(strength).to(clean))
        levels = np.linspace(strength, strength / steps, steps)
        self.scheduler.set_timesteps(sigmas=levels.tolist(), device=self.device)
        self.num_timesteps = steps
        with self.progress_bar(total=steps) as bar:
            for step, timestep in enumerate(self.scheduler.timesteps):
                sigma = self.scheduler.sigmas[step]
                picture = self._predict(latents, sigma, grounds, guided)
                velocity = (latents - picture) / sigma
                scheduler: Any = self.scheduler  # its annotations ask for CPU tensor types
                latents = cast(Tensor, scheduler.step(velocity, timestep, latents, return_dict=False)[0])
                if blend is not None:
                    latents = blend(latents, self.scheduler.sigmas[step + 1])
                if callback is not None:
                    replaced = callback(self, step, timestep, {"latents": latents})
                    latents = replaced.get("latents", latents)
                bar.update()
        return latents

    def _predict(self, latents: Tensor, sigma: Tensor, grounds: Grounds, guided: Guided) -> Tensor:
        """The clean latents that the denoiser sees in noisy ones, extrapolated away from the negative prompt
        (classifier-free guidance: Ho & Salimans, 2022)."""
        if guided.scale is not None:
            latents, grounds = torch.cat([latents, latents]), grounds.doubled()
        picture = predict_picture(self.unet, latents, sigma.to(latents).expand(len(latents)), grounds, guided.condition)
        if guided.scale is None:
            return picture
        away, towards = picture.chunk(2)
        return away + guided.scale * (towards - away)

    def _enlarged(self, latents: Tensor) -> Tensor:
        """Pictures (N, 3, 512, 512) in [0, 1]."""
        return (self.codec.enlarge(self.codec.decode(latents)) + 1) / 2


def listed(prompt: str | Sequence[str], repeats: int) -> list[str]:
    """Each prompt `repeats` times."""
    return [text for text in ([prompt] if isinstance(prompt, str) else prompt) for _ in range(repeats)]


def listed_negatives(negative: str | Sequence[str] | None, count: int, repeats: int) -> list[str] | None:
    """One negative prompt for each of `count` images, or None. Raises ValueError for another number of them."""
    if negative is None:
        return None
    negatives = [negative] * count if isinstance(negative, str) else listed(negative, repeats)
    if len(negatives) != count:
        raise ValueError(f"{len(negatives)} negative prompts for {count} prompts; give one for each")
    return negatives if any(negatives) else None


def listed_sources(generator: Generators, count: int) -> list[torch.Generator | None]:
    """The random generator of each of `count` images. Raises ValueError for another number of them."""
    if not isinstance(generator, list):
        return [generator] * count
    if len(generator) != count:
        raise ValueError(f"{len(generator)} random generators for {count} images; give one for each")
    return list(generator)


def check_options(steps: int, output_type: str, strength: float = 1.0) -> None:
    """Raises ValueError for a number of steps, an output type or a strength that is out of range."""
    if steps < 1:
        raise ValueError(f"{steps} steps; expected at least 1")
    if output_type not in ("pil", "np", "pt", "latent"):
        raise ValueError(f"output type {output_type!r}; expected 'pil', 'np', 'pt' or 'latent'")
    if not 0 <= strength <= 1:
        raise ValueError(f"strength {strength}; expected 0 to 1")


def to_output(pixels: Tensor, output_type: str) -> Any:
    """Pixels (N, 3, H, W) in [0, 1] as `output_type` says: "pt", "np" (N, H, W, 3), or a list of PIL images."""
    pixels = pixels.clamp(0, 1)
    if output_type == "pt":
        return pixels
    array = pixels.permute(0, 2, 3, 1).float().cpu().numpy()
    return array if output_type == "np" else [_to_image(picture) for picture in array]


def _to_image(array: NDArray[np.float32]) -> Image.Image:
    return Image.fromarray(np.rint(array * 255).astype(np.uint8))
