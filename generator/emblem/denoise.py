"""The denoiser's estimate of a picture, around the plan.

Noise is not added to the picture alone: the flow leads from data to a normal distribution around the plan, whose
standard deviation is that of what plans leave open, x = (1 - sigma) clean + sigma (plan + spread noise). So a weak
denoiser leaves the plan rather than noise behind (compare Lee et al., 2022, "PriorGrad"; Yue et al., 2023, "ResShift").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.emblem.codec import PATCH_SIDE_PIXELS
from generator.emblem.conditioning import Conditioning

TIMESTEPS = 1000
LEAST_COVERAGE = 0.05
REACH = 3  # latent places around a thing that shade and shadow may reach, itself counted once


@dataclass(frozen=True, slots=True)
class Grounds:
    """What N pictures start from: latents of the plan (N, C, H, W), and how far pictures lie from it (the same shape),
    as a standard deviation."""

    plan: Tensor
    spread: Tensor

    def noisy(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Clean latents at noise levels sigma (broadcast to N, C, H, W)."""
        return (1 - sigma) * clean + sigma * (self.plan + self.spread * noise)

    def doubled(self) -> Grounds:
        """Every row twice, for guidance."""
        return Grounds(torch.cat([self.plan, self.plan]), torch.cat([self.spread, self.spread]))


def covered(alpha: Tensor) -> Tensor:
    """Where latents show something, shadow's reach included: (N, 1, H, W), 1 or 0, of coverage (N, 1, 8H, 8W)."""
    shown = (functional.max_pool2d(alpha, PATCH_SIDE_PIXELS) > LEAST_COVERAGE).to(alpha.dtype)
    return functional.max_pool2d(shown, REACH, stride=1, padding=REACH // 2)


def spread_over(table: Tensor, style: Tensor, where: Tensor) -> Tensor:
    """The spread (N, C, H, W) of pictures in styles (N, S), one-hot or zeros for any, from its table (S, 2, C) of
    backgrounds and things; `where` (N, 1, H, W) is 1 for things."""
    anyhow = 1 - style.sum(1, keepdim=True)
    weights = style + anyhow / style.shape[1]
    chosen = torch.einsum("ns,spc->npc", weights, table.square()).sqrt()[..., None, None]
    return chosen[:, 0] * (1 - where) + chosen[:, 1] * where


def predict_picture(
    denoiser: nn.Module, noisy: Tensor, sigma: Tensor, grounds: Grounds, condition: Conditioning
) -> Tensor:
    """The clean latents seen in noisy ones (N, C, H, W) at noise levels sigma (N,) in (0, 1].

    The preconditioning of Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models",
    for clean latents that spread around the plan: the best linear estimate, plus the network's output scaled to that
    estimate's error.
    """
    s = sigma[:, None, None, None]
    size = ((1 - s).square() + s.square()).sqrt()
    seen = (noisy - grounds.plan) / (grounds.spread * size)  # of unit variance
    correction = denoiser(
        torch.cat([seen, grounds.plan], 1),
        sigma * TIMESTEPS,
        condition.tokens,
        class_labels=torch.cat([condition.pooled, condition.style], 1),
        encoder_attention_mask=condition.mask,
        return_dict=False,
    )[0]
    linear = (1 - s) / size * seen
    return grounds.plan + grounds.spread * (linear + s / size * cast(Tensor, correction))


def output_scale(spread: Tensor, sigma: Tensor) -> Tensor:
    """Error (N, C, H, W), as a standard deviation, of the best linear estimate of clean latents."""
    s = sigma[:, None, None, None]
    return spread * s / ((1 - s).square() + s.square()).sqrt()
