"""What things look like: a learnt codebook of appearance codes, and the network that decodes a code to a picture."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional

from generator.emblem.codec import PATCH_SIDE_PIXELS

GRID = 8
SIDE_PIXELS = GRID * PATCH_SIDE_PIXELS
CHANNELS = 4


class AppearanceCodebook(ModelMixin, ConfigMixin):  # type: ignore[misc]  # both name config files
    """One 8x8 grid of code vectors for each entry of the vocabulary, decoded to 64x64 premultiplied RGBA.

    A discrete codebook in the sense of van den Oord et al. (2017), "Neural Discrete Representation Learning", whose
    entries are learnt together with the decoder (an auto-decoder: Bojanowski et al., 2018, "Optimizing the Latent
    Space of Generative Networks"). `extents` (entries, 2) are width and height of what an entry shows, as shares of
    its square's side.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, entries: int = 938, components: int = 48, width: int = 128, blocks: int = 2) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        values = CHANNELS * PATCH_SIDE_PIXELS**2
        self.codes = nn.Parameter(0.1 * torch.randn(entries, components, GRID, GRID))
        self.extents = nn.Parameter(torch.ones(entries, 2), requires_grad=False)
        self.plain = nn.Conv2d(components, values, 1)
        self.entry = nn.Conv2d(components, width, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2 * blocks))
        self.exit = nn.Conv2d(width, values, 3, padding=1)
        nn.init.zeros_(self.exit.weight)
        nn.init.zeros_(cast(Tensor, self.exit.bias))

    def forward(self, entries: Tensor) -> Tensor:
        """Pictures (N, 4, 64, 64), premultiplied RGBA (unclamped, nominally in [0, 1]), of these entries (N,)."""
        codes = self.codes[entries]
        features = functional.silu(self.entry(codes))
        for index in range(0, len(self.body), 2):
            inner = functional.silu(self.body[index](features))
            features = features + self.body[index + 1](inner)
        patches = self.plain(codes) + self.exit(functional.silu(features))
        return functional.pixel_shuffle(patches, PATCH_SIDE_PIXELS)

    @torch.no_grad()
    def pictures(self, entries: Tensor) -> Tensor:
        """Valid premultiplied RGBA pictures (N, 4, 64, 64) in [0, 1], colours at most alpha."""
        decoded = self(entries).float()
        alpha = decoded[:, 3:].clamp(0, 1)
        return torch.cat([torch.minimum(decoded[:, :3].clamp(min=0), alpha), alpha], 1)
