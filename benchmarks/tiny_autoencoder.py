"""The tiny autoencoder for FLUX.2 (`weights/taef2` of the data folder), to regenerate pictures through.

Architecture: TAESD with pooled, group-normalised blocks in the middle (O. B. Bohan, madebyollin/taesd, MIT).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Pixels = NDArray[np.uint8]
_STRIDE = 8


class _Block(nn.Module):
    def __init__(self, *, pooled: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(64, 64, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        self.pool = None
        if pooled:
            wide, narrow = nn.Conv2d(64, 256, 1, bias=False), nn.Conv2d(256, 64, 1, bias=False)
            self.pool = nn.Sequential(wide, nn.GroupNorm(4, 256), nn.ReLU(), narrow)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


class _Squash(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


def _build(weights: dict[str, torch.Tensor]) -> nn.Sequential:
    """The layers that the names and shapes of the weights describe; layers without weights are known by their place."""
    layers: list[nn.Module] = []
    encoder = "0.weight" in weights
    for index in range(1 + max(int(name.partition(".")[0]) for name in weights)):
        if f"{index}.conv.0.weight" in weights:
            layers.append(_Block(pooled=f"{index}.pool.0.weight" in weights))
        elif f"{index}.weight" in weights:
            outputs, inputs = weights[f"{index}.weight"].shape[:2]
            biased = f"{index}.bias" in weights
            stride = 2 if encoder and not biased else 1
            layers.append(nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=biased))
        else:
            layers.append({0: _Squash(), 2: nn.ReLU()}.get(index, nn.Upsample(scale_factor=2)))
    model = nn.Sequential(*layers)
    model.load_state_dict(weights)
    return model.float().eval()


class TinyAutoencoder:
    """Regenerates uint8 RGB pictures (height, width, 3); `folder` holds the two weight files."""

    def __init__(self, folder: Path) -> None:
        self._encoder, self._decoder = (
            _build(torch.load(folder / f"taef2_{part}.pth", weights_only=True)) for part in ("encoder", "decoder")
        )

    @torch.no_grad()
    def regenerate(self, pixels: Pixels, noise: float = 0.0, seed: int = 0) -> Pixels:
        """The picture through the latents, with Gaussian noise of `noise` standard deviations added to them."""
        height, width = (side - side % _STRIDE for side in pixels.shape[:2])
        x = torch.from_numpy(pixels[:height, :width].astype(np.float32) / 255).permute(2, 0, 1)[None]
        latent = self._encoder(x)
        random = torch.randn(latent.shape, generator=torch.Generator().manual_seed(seed))
        y = self._decoder(latent + noise * latent.std() * random).clamp(0, 1)[0]
        regenerated: Pixels = (y.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        return regenerated
