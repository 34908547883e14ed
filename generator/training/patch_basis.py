"""Fit the codec's patch basis: principal components of patches of rendered scenes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.codec import PATCH_SIDE_PIXELS, EmblemCodec


def fit_basis(codec: EmblemCodec, pixels: Tensor) -> None:
    """Set basis, mean and scale of `codec` from pixels (N, 3, H, W) in [-1, 1]; in place.

    Scales are proportional to the square root of each component's standard deviation and make the mean
    variance of the latents one.
    """
    patches = functional.pixel_unshuffle(pixels, PATCH_SIDE_PIXELS).permute(0, 2, 3, 1).flatten(0, 2).double()
    count = len(codec.basis)
    centred = patches - patches.mean(0)
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(patches))
    basis = vectors.flip(1)[:, :count].T.contiguous()
    basis = basis * torch.where(basis.sum(1, keepdim=True) < 0, -1.0, 1.0)
    coefficients = patches @ basis.T
    deviation = coefficients.std(0)
    scale = deviation.sqrt()
    scale = scale * (deviation / scale).square().mean().sqrt()
    with torch.no_grad():
        codec.basis.copy_(basis)
        codec.mean.copy_(coefficients.mean(0))
        codec.scale.copy_(scale)


def load_codec(folder: Path) -> EmblemCodec:
    """A stored codec, in single precision."""
    codec: EmblemCodec = EmblemCodec.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    return codec


def peak_signal_to_noise(reference: Tensor, estimate: Tensor) -> float:
    """PSNR in decibels between two tensors in [-1, 1]."""
    return float(10 * torch.log10(4.0 / (reference - estimate).square().mean()))
