"""Pipelines that start from an image: image to image, inpainting, variation, enlargement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.base import (
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    EmblemBase,
    EmblemPipelineOutput,
    Generators,
    Guided,
    StepCallback,
    check_options,
    listed,
    listed_negatives,
    listed_sources,
    to_output,
)
from generator.emblem.codec import ENLARGEMENT, NATIVE_SIDE_PIXELS, PATCH_SIDE_PIXELS
from generator.emblem.pictures import fill, mask_box, native, repeated, resized, salient_box, seam, to_pixels
from generator.emblem.plan import Plan, backdrop, into_boxes

CERTAIN = 0.5  # a background that the prompt makes at least so likely replaces the image's own
VARIATION_STRENGTH = 0.6
TAKES_OVER = (0.4, 0.6)  # strengths between which the prompt's plan takes the image's place
TILE_PIXELS = 128
TILE_OVERLAP_PIXELS = 16


class EmblemImg2ImgPipeline(EmblemBase):
    """Redraw an image towards a prompt: SDEdit (Meng et al., 2022) over the codec's latents."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        image: Any,
        strength: float = 0.7,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = DEFAULT_STEPS,
        guidance_scale: float = DEFAULT_GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Images that start from `image` (PIL, array or tensor, of any size).

        Diffusion starts at noise level `strength`: 0 gives the image as the codec rebuilds it, 1 ignores it. What the
        prompt names is planned to where the image shows something, and takes its place at a middle strength. Results
        have the image's size, or `height` x `width`. Raises ValueError for values out of range.
        """
        check_options(num_inference_steps, output_type, strength)
        prompts = listed(prompt, num_images_per_prompt)
        sources = listed_sources(generator, len(prompts))
        negatives = listed_negatives(negative_prompt, len(prompts), num_images_per_prompt)
        given = _at_size(repeated(to_pixels(image), len(prompts)), height, width)
        start, square = native(given.to(self.device))
        plan, guided = self._read(prompts, negatives, sources, guidance_scale)
        if strength < 1:
            plan = into_boxes(plan, salient_box((start + 1) / 2))
        picture, _ = self._styled(plan, guided, backdrop(self.planner, plan, NATIVE_SIDE_PIXELS))
        grounds = self._grounds(picture, guided)
        clean = self.codec.encode(start)
        noise = self._noise(sources)
        if strength > 0:
            steps = max(1, round(num_inference_steps * strength))
            clean = clean + _taken(strength) * (grounds.plan - clean)
            clean = self._denoise(clean, grounds, noise, guided, strength, steps, callback_on_step_end)
        if output_type == "latent":
            return EmblemPipelineOutput(clean) if return_dict else (clean,)
        images = to_output(square.cut(self._enlarged(clean)), output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)


class EmblemInpaintPipeline(EmblemBase):
    """Repaint the masked part of an image: latents outside the mask follow the image at every step (RePaint without
    resampling; Lugmayr et al., 2022), and the image's own pixels are pasted back around the mask."""

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | Sequence[str],
        image: Any,
        mask_image: Any,
        strength: float = 1.0,
        negative_prompt: str | Sequence[str] | None = None,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = DEFAULT_STEPS,
        guidance_scale: float = DEFAULT_GUIDANCE,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Images that differ from `image` where `mask_image`, of the same size, is white; the rest stays exactly.

        What the prompt names is planned into the mask's bounding box, before the image's surroundings unless the prompt
        names a background. Results have the image's size, or `height` x `width`.
        Raises ValueError for a mask of another size and for values out of range.
        """
        check_options(num_inference_steps, output_type, strength)
        prompts = listed(prompt, num_images_per_prompt)
        sources = listed_sources(generator, len(prompts))
        negatives = listed_negatives(negative_prompt, len(prompts), num_images_per_prompt)
        given, mask = to_pixels(image), to_pixels(mask_image, channels=1)
        if given.shape[2:] != mask.shape[2:]:
            raise ValueError(f"the mask is {_size(mask)}, the image {_size(given)}; expected one size")
        given = _at_size(repeated(given, len(prompts)), height, width).to(self.device)
        mask = (_at_size(repeated(mask, len(prompts)), height, width) > 0.5).to(given)
        if not bool(mask.any()) or strength == 0:
            images = to_output(given, output_type)
            return EmblemPipelineOutput(images) if return_dict else (images,)
        start, square = native(given)
        inside = (native(mask)[0] + 1) / 2
        plan, guided = self._read(prompts, negatives, sources, guidance_scale)
        picture, where = self._surrounded(plan, guided, start, inside)
        clean, noise = self.codec.encode(start), self._noise(sources)
        free = (functional.max_pool2d(inside, PATCH_SIDE_PIXELS) > 0).to(clean)
        grounds = self._grounds(picture, guided, where)
        steps = max(1, round(num_inference_steps * strength))

        def keep_outside(latents: Tensor, sigma: Tensor) -> Tensor:
            return free * latents + (1 - free) * grounds.noisy(clean, noise, sigma)

        latents = self._denoise(clean, grounds, noise, guided, strength, steps, callback_on_step_end, keep_outside)
        if output_type == "latent":
            return EmblemPipelineOutput(latents) if return_dict else (latents,)
        opacity = seam(mask)
        drawn = square.cut(self._enlarged(latents))
        images = to_output(given + opacity * (drawn - given), output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)

    def _surrounded(self, plan: Plan, guided: Guided, start: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
        """Plan pictures in [-1, 1], the image outside the mask, inside it what the plan shows, in the mask's box; and
        where they show things."""
        moved = into_boxes(plan, torch.stack([mask_box(part) for part in inside]).to(start))
        named = (plan.background_certainty > CERTAIN)[:, None, None, None]
        surroundings = fill((start + 1) / 2, inside).clamp(0, 1)
        behind = torch.where(named, backdrop(self.planner, plan, NATIVE_SIDE_PIXELS), surroundings)
        drawn, where = self._styled(moved, guided, behind)
        return inside * drawn + (1 - inside) * start, where


class EmblemVariationPipeline(EmblemBase):
    """Images like a given one, without a prompt: the image, slightly moved, is the plan."""

    @torch.no_grad()
    def __call__(
        self,
        image: Any,
        strength: float = VARIATION_STRENGTH,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int = DEFAULT_STEPS,
        num_images_per_prompt: int = 1,
        generator: Generators = None,
        callback_on_step_end: StepCallback | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Variations of `image` (PIL, array or tensor, of any size), `num_images_per_prompt` of each.

        The image is shifted, scaled and turned at random, by more at a higher `strength`, and redrawn from that noise
        level. Results have the image's size, or `height` x `width`. Raises ValueError for values out of range.
        """
        check_options(num_inference_steps, output_type, strength)
        pixels = to_pixels(image)
        count = len(pixels) * num_images_per_prompt
        sources = listed_sources(generator, count)
        given = _at_size(repeated(pixels, count), height, width).to(self.device)
        start, square = native(given)
        moved = _moved(start, torch.stack([torch.randn(4, generator=s) for s in sources]).to(start) * strength)
        clean = self.codec.encode(moved)
        noise = self._noise(sources)
        if strength > 0:
            steps = max(1, round(num_inference_steps * strength))
            guided = self._silence(count)
            clean = self._denoise(
                clean, self._grounds(moved, guided), noise, guided, strength, steps, callback_on_step_end
            )
        if output_type == "latent":
            return EmblemPipelineOutput(clean) if return_dict else (clean,)
        images = to_output(square.cut(self._enlarged(clean)), output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)


class EmblemUpscalePipeline(EmblemBase):
    """Enlarge an image twice or four times by the codec's upscaler, tile by tile; there is no diffusion in it."""

    @torch.no_grad()
    def __call__(
        self, image: Any, scale: int = ENLARGEMENT, output_type: str = "pil", return_dict: bool = True
    ) -> EmblemPipelineOutput | tuple[Any]:
        """Images `scale` (2 or 4) times as wide and high. Raises ValueError for another scale."""
        if scale not in (2, ENLARGEMENT):
            raise ValueError(f"scale {scale}; expected 2 or {ENLARGEMENT}")
        check_options(1, output_type)
        pixels = to_pixels(image).to(self.device) * 2 - 1
        enlarged = self._tiled(pixels)
        if scale != ENLARGEMENT:
            enlarged = functional.avg_pool2d(enlarged, ENLARGEMENT // scale)
        images = to_output((enlarged + 1) / 2, output_type)
        return EmblemPipelineOutput(images) if return_dict else (images,)

    def _tiled(self, pixels: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in tiles whose borders, which see less of the picture, are thrown away."""
        height, width = pixels.shape[-2:]
        margin = TILE_OVERLAP_PIXELS
        whole = pixels.new_empty((len(pixels), 3, height * ENLARGEMENT, width * ENLARGEMENT))
        for top in range(0, height, TILE_PIXELS):
            for left in range(0, width, TILE_PIXELS):
                bottom, right = min(top + TILE_PIXELS, height), min(left + TILE_PIXELS, width)
                above, before = max(0, top - margin), max(0, left - margin)
                tile = pixels[..., above : min(height, bottom + margin), before : min(width, right + margin)]
                large = self.codec.enlarge(tile)
                row, column = (top - above) * ENLARGEMENT, (left - before) * ENLARGEMENT
                tall, wide = (bottom - top) * ENLARGEMENT, (right - left) * ENLARGEMENT
                whole[
                    ...,
                    top * ENLARGEMENT : bottom * ENLARGEMENT,
                    left * ENLARGEMENT : right * ENLARGEMENT,
                ] = large[..., row : row + tall, column : column + wide]
        return whole


def _size(pixels: Tensor) -> str:
    return f"{pixels.shape[-1]}x{pixels.shape[-2]}"


def _at_size(pixels: Tensor, height: int | None, width: int | None) -> Tensor:
    return resized(pixels, height or pixels.shape[-2], width or pixels.shape[-1])


def _taken(strength: float) -> float:
    """How much of the plan the picture begins with: nothing at a low strength, all at a high one. In between two things
    would be seen through each other, so the way from one to the other is short."""
    share = min(max((strength - TAKES_OVER[0]) / (TAKES_OVER[1] - TAKES_OVER[0]), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _moved(pixels: Tensor, amounts: Tensor) -> Tensor:
    """Pictures turned, scaled and shifted by standard amounts (N, 4), edges repeated."""
    turn, grow = 0.12 * amounts[:, 0], 1 + 0.1 * amounts[:, 1].clamp(-2, 2)
    cos, sin = turn.cos() * grow, turn.sin() * grow
    matrix = torch.stack(
        [torch.stack([cos, -sin, 0.1 * amounts[:, 2]], 1), torch.stack([sin, cos, 0.1 * amounts[:, 3]], 1)], 1
    )
    grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
