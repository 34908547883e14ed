"""What a caption leads one to expect: the mean picture, and the denoiser's estimate around it."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from generator.emblem.conditioning import Conditioning

TIMESTEPS = 1000
SMALLEST_SPREAD = 0.05
LARGEST_SPREAD = 4.0


class CaptionPrior(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """Mean and spread of the latents given a caption's pooled vector: two small regression networks.

    The spread (standard deviation around the mean) is a map over places, which knows where the object will be,
    times a factor for each component. `component_spread` (components,) is the same over all scenes and places.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        features: int = 384,
        hidden: int = 512,
        rank: int = 256,
        components: int = 32,
        side: int = 16,
        places_hidden: int = 128,
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
        self.places = nn.Sequential(
            nn.Linear(features, places_hidden), nn.SiLU(), nn.Linear(places_hidden, side * side)
        )
        self.component_log_spread = nn.Parameter(torch.zeros(components))
        self.component_spread = nn.Parameter(torch.ones(components), requires_grad=False)

    def forward(self, pooled: Tensor) -> Tensor:
        """Mean latents (N, components, side, side) for pooled captions (N, features)."""
        mean: Tensor = self.layers(pooled)
        return mean.reshape(-1, *self.shape)

    def spread(self, pooled: Tensor) -> Tensor:
        """Standard deviation (N, components, side, side) of the latents around the mean, at least 0.05."""
        logarithms: Tensor = self.places(pooled)
        places = logarithms.reshape(-1, 1, *self.shape[1:])
        return (places.float() + self.component_log_spread[:, None, None]).exp().clamp(SMALLEST_SPREAD, LARGEST_SPREAD)


def output_scale(spread: Tensor, sigma: Tensor) -> Tensor:
    """Error (N, C, 1, 1), as a standard deviation, of the best linear estimate of clean latents whose components
    spread (C,) around a known mean, from noisy ones at noise levels sigma (N,)."""
    s, spread = sigma[:, None, None, None], spread[None, :, None, None]
    return s * spread / ((1 - s).square() * spread.square() + s.square()).sqrt()


def predict_picture(
    denoiser: nn.Module, prior: CaptionPrior, noisy: Tensor, sigma: Tensor, condition: Conditioning
) -> Tensor:
    """The clean latents seen in noisy ones (N, C, H, W) at noise levels sigma (N,) in (0, 1].

    First the preconditioning of Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative
    Models", for x = (1 - sigma) clean + sigma noise and clean latents spread around the caption's mean: the best
    linear estimate, plus the network's output scaled to that estimate's error. Then Wiener's weight: where the
    caption leaves little open (the background), the result moves towards the mean.
    """
    mean: Tensor = prior(condition.pooled)
    s, spread = sigma[:, None, None, None], prior.component_spread[None, :, None, None]
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
    error = output_scale(prior.component_spread, sigma)
    seen = linear + error * cast(Tensor, correction)
    open_variance = prior.spread(condition.pooled).square()
    return mean + open_variance / (open_variance + error.square()) * (seen - mean)
