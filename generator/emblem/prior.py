"""What a caption leads one to expect: the mean picture, and the denoiser's estimate around it."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from generator.emblem.conditioning import Conditioning

TIMESTEPS = 1000


class CaptionPrior(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """The mean of the latents given a caption's pooled vector: a small regression network.

    `spread` (components,) is the standard deviation of the latents around it, measured on training scenes.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, features: int = 384, hidden: int = 512, rank: int = 256, components: int = 32, side: int = 16
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shape = (components, side, side)
        self.layers = nn.Sequential(
            nn.Linear(features, hidden),
            nn.SiLU(),
            nn.Linear(hidden, rank),
            nn.SiLU(),
            nn.Linear(rank, components * side * side),
        )
        self.spread = nn.Parameter(torch.ones(components), requires_grad=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Mean latents (N, components, side, side) for pooled captions (N, features)."""
        return cast(Tensor, self.layers(pooled)).unflatten(1, self.shape)


def output_scale(spread: Tensor, sigma: Tensor) -> Tensor:
    """Standard deviation (N, C, 1, 1) of the clean latents once noise level sigma (N,) and mean are known."""
    s, spread = sigma[:, None, None, None], spread[None, :, None, None]
    return s * spread / ((1 - s).square() * spread.square() + s.square()).sqrt()


def predict_picture(
    denoiser: nn.Module, prior: CaptionPrior, noisy: Tensor, sigma: Tensor, condition: Conditioning
) -> Tensor:
    """The clean latents seen in noisy ones (N, C, H, W) at noise levels sigma (N,) in (0, 1].

    The preconditioning of Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative
    Models", for x = (1 - sigma) clean + sigma noise and clean latents spread around the caption's mean: the best
    linear estimate, plus the network's output scaled to that estimate's error.
    """
    mean = prior(condition.pooled)
    s, spread = sigma[:, None, None, None], prior.spread[None, :, None, None]
    gain = (1 - s) * spread.square() / ((1 - s).square() * spread.square() + s.square())
    linear = mean + gain * (noisy - (1 - s) * mean)
    correction = denoiser(
        torch.cat([noisy, mean], 1),
        sigma * TIMESTEPS,
        condition.tokens,
        class_labels=condition.pooled,
        encoder_attention_mask=condition.mask,
        return_dict=False,
    )[0]
    return linear + output_scale(prior.spread, sigma) * cast(Tensor, correction)
