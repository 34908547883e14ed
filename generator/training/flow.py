"""The training objective: flow matching around a caption's mean, over batches that are functions of seed and step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from generator.emblem.conditioning import Conditioning
from generator.emblem.prior import CaptionPrior, output_scale, predict_picture
from generator.training.dataset import Pool

CAPTION_DROPOUT = 0.1
NOISE_LOGIT_MEAN = 0.4  # sigma = sigmoid(N(mean, 1)): a little more time at high noise, where content is decided
FOREGROUND_WEIGHT = 2.0
HELD_OUT_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Batch:
    """One step's material: clean and noisy latents (N, C, 16, 16), sigma (N,), conditioning, weights."""

    clean: Tensor
    noisy: Tensor
    sigma: Tensor
    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    weight: Tensor


def draw_batch(pool: Pool, size: int, seed: int, step: int) -> Batch:
    """The batch of this step: a function of the seed and the step alone."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = torch.randint(len(pool.latents), (size,), generator=source)
    sigma = torch.sigmoid(NOISE_LOGIT_MEAN + torch.randn(size, generator=source))
    keep = torch.rand(size, generator=source) >= CAPTION_DROPOUT
    clean = pool.latents[rows].float()
    noise = torch.randn(clean.shape, generator=source)
    return make_batch(pool, rows, clean, noise, sigma, pool.caption[rows] * keep)


def make_batch(pool: Pool, rows: Tensor, clean: Tensor, noise: Tensor, sigma: Tensor, captions: Tensor) -> Batch:
    """Interpolate towards the noise (x = (1 - sigma) clean + sigma noise) and attach the conditioning."""
    s = sigma[:, None, None, None]
    condition = pool.conditioning(captions)
    weight = 1 + FOREGROUND_WEIGHT * pool.coverage[rows].float()[:, None]
    noisy = (1 - s) * clean + s * noise
    return Batch(clean, noisy, sigma, condition.tokens, condition.mask, condition.pooled, weight)


def flow_loss(denoiser: nn.Module, prior: CaptionPrior, batch: Batch) -> Tensor:
    """Loss per example (N,): the squared error of the predicted picture, in units of the error that the best linear
    estimate makes at that noise level (1 = no better than it), the foreground weighing more."""
    condition = Conditioning(batch.tokens, batch.mask, batch.pooled)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = predict_picture(denoiser, prior, batch.noisy, batch.sigma, condition)
    error = (predicted.float() - batch.clean).square() * batch.weight
    expected = output_scale(prior.component_spread, batch.sigma).square().mean((1, 2, 3))
    return error.mean((1, 2, 3)) / expected


@torch.no_grad()
def held_out_losses(denoiser: nn.Module, prior: CaptionPrior, pool: Pool, batch_size: int) -> dict[float, float]:
    """Mean loss at fixed noise levels over held-out scenes, with fixed noise."""
    losses = {}
    for sigma in HELD_OUT_SIGMAS:
        source = torch.Generator().manual_seed(round(sigma * 1000))
        total, count = 0.0, len(pool.latents)
        for start in range(0, count, batch_size):
            rows = torch.arange(start, min(start + batch_size, count))
            clean = pool.latents[rows].float()
            noise = torch.randn(clean.shape, generator=source)
            batch = make_batch(pool, rows, clean, noise, torch.full((len(rows),), sigma), pool.caption[rows])
            total += float(flow_loss(denoiser, prior, batch).sum())
        losses[sigma] = total / count
    return losses
