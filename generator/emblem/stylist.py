"""From the painted plan to what a picture of it looks like on average: shade, shadow, and the style asked for."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

FOLD = 2
BLOCK_SIDE_PIXELS = 4


def _parity(features: Tensor) -> Tensor:
    """Channels (N, 2, H, W) that tell odd columns and odd rows from even ones: pixel art has a grid."""
    rows, columns = features.shape[-2:]
    across = (torch.arange(columns, device=features.device) % 2).to(features.dtype).expand(rows, columns)
    down = (torch.arange(rows, device=features.device) % 2).to(features.dtype)[:, None].expand(rows, columns)
    return torch.stack([across, down]).expand(len(features), -1, -1, -1)


class PlanStylist(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """A small convolutional network, modulated by the style (FiLM: Perez et al., 2018), that redraws a painted plan.

    Trained by regression, it predicts what is certain; diffusion around its answer adds what is not (the division of
    labour of Whang et al., 2022, "Deblurring via Stochastic Refinement"). `blocks` (S, 48, 48) is a linear map of 4x4
    blocks for each style, added to the network's answer: what is drawn on a grid is linear in the grid's blocks.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, styles: int = 6, width: int = 40, depth: int = 4) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.entry = nn.Conv2d(4 * FOLD**2 + 2, width, 3, padding=1)
        reach = [2 if index == 1 else 1 for index in range(depth)]
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=far, dilation=far) for far in reach)
        self.modulation = nn.Linear(styles, 2 * width * depth)
        self.exit = nn.Conv2d(width, 2 * 3 * FOLD**2, 3, padding=1)
        values = 3 * BLOCK_SIDE_PIXELS**2
        self.blocks = nn.Parameter(torch.zeros(styles, values, values), requires_grad=False)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(cast(Tensor, self.exit.bias))

    def forward(self, pictures: Tensor, alpha: Tensor, style: Tensor) -> Tensor:
        """Redraw pictures (N, 3, H, W) in [-1, 1] whose things cover `alpha` (N, 1, H, W), in styles (N, S), one-hot.

        The answer is the picture times a factor plus an offset, both the network's, clamped to [-1, 1].
        """
        folded = functional.pixel_unshuffle(torch.cat([pictures, alpha * 2 - 1], 1), FOLD)
        features = self.entry(torch.cat([folded, _parity(folded)], 1))
        scale_and_shift = self.modulation(style)[..., None, None].chunk(len(self.body), 1)
        for layer, modulation in zip(self.body, scale_and_shift, strict=True):
            scale, shift = modulation.chunk(2, 1)
            features = features + cast(Tensor, layer(functional.silu(features))) * (1 + scale) + shift
        factor, offset = functional.pixel_shuffle(self.exit(functional.silu(features)), FOLD).chunk(2, 1)
        drawn = (pictures * (1 + factor) + offset).clamp(-1, 1)
        patches = functional.pixel_unshuffle(drawn, BLOCK_SIDE_PIXELS)
        maps = torch.einsum("ns,sij->nij", style, self.blocks)
        mapped = torch.einsum("nij,njhw->nihw", maps, patches)
        return (drawn + functional.pixel_shuffle(mapped, BLOCK_SIDE_PIXELS)).clamp(-1, 1)
