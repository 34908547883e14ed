"""From pixels to latents and back: a linear patch basis, and the network that enlarges its pictures."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

PATCH_SIDE_PIXELS = 8
NATIVE_SIDE_PIXELS = 128
ENLARGEMENT = 4


class SubPixelUpscaler(nn.Module):
    """Enlarge RGB four times: convolutions at the small size, one sub-pixel shuffle, a bilinear skip.

    Sub-pixel convolution from Shi et al. (2016), "Real-Time Single Image and Video Super-Resolution".
    Input (N, 3, H, W) and output (N, 3, 4H, 4W), float in [-1, 1] (the output may overshoot slightly).
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.entry = nn.Conv2d(3, width, 5, padding=2)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(depth))
        self.exit = nn.Conv2d(width, 3 * ENLARGEMENT**2, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(cast(Tensor, self.exit.bias))

    def forward(self, pixels: Tensor) -> Tensor:
        features = functional.silu(self.entry(pixels))
        for index in range(0, len(self.body) - 1, 2):
            inner = functional.silu(self.body[index](features))
            features = features + self.body[index + 1](inner)
        detail = functional.pixel_shuffle(self.exit(functional.silu(features)), ENLARGEMENT)
        plain = functional.interpolate(pixels, scale_factor=ENLARGEMENT, mode="bilinear", align_corners=False)
        return plain + detail


class EmblemCodec(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """Latents are coefficients of 8x8x3 patches in a fixed basis (principal components of rendered scenes).

    Coefficients are centred and divided by `scale`, which grows with the square root of each component's
    standard deviation: coarse components keep more signal at a given noise level, so pictures form from coarse
    to fine, and errors in fine components stay faint. `spread` (styles, 2, components) is how far the latents of scenes
    lie from those of their plan pictures, as a standard deviation, for backgrounds and for things. Nothing in `encode`
    and `decode` is learnt by descent; `enlarge` is.
    """

    _supports_gradient_checkpointing = False

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, components: int = 64, styles: int = 6, upscaler_width: int = 64, upscaler_depth: int = 8
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        values = 3 * PATCH_SIDE_PIXELS**2
        self.basis = nn.Parameter(torch.eye(values)[:components].clone(), requires_grad=False)
        self.mean = nn.Parameter(torch.zeros(components), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(components), requires_grad=False)
        self.spread = nn.Parameter(torch.ones(styles, 2, components), requires_grad=False)
        self.upscaler = SubPixelUpscaler(upscaler_width, upscaler_depth)

    def encode(self, pixels: Tensor) -> Tensor:
        """Project (N, 3, H, W) in [-1, 1] to latents (N, components, H/8, W/8)."""
        patches = functional.pixel_unshuffle(pixels, PATCH_SIDE_PIXELS)
        coefficients = torch.einsum("kc,nchw->nkhw", self.basis, patches)
        return (coefficients - self.mean[:, None, None]) / self.scale[:, None, None]

    def decode(self, latents: Tensor) -> Tensor:
        """Rebuild pixels (N, 3, 8H, 8W), clamped to [-1, 1], from latents (N, components, H, W)."""
        coefficients = latents * self.scale[:, None, None] + self.mean[:, None, None]
        patches = torch.einsum("kc,nkhw->nchw", self.basis, coefficients)
        return functional.pixel_shuffle(patches, PATCH_SIDE_PIXELS).clamp(-1, 1)

    def enlarge(self, pixels: Tensor) -> Tensor:
        """Enlarge (N, 3, H, W) in [-1, 1] to (N, 3, 4H, 4W), clamped to [-1, 1]."""
        return cast(Tensor, self.upscaler(pixels)).clamp(-1, 1)
