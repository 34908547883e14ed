"""Fit the caption prior: least squares from pooled captions to latents of training scenes."""

from __future__ import annotations

import math
import time

import torch

from generator.emblem.prior import CaptionPrior
from generator.training.dataset import Pool

BATCH = 256
LEARNING_RATE = 2e-3
EMPTY_CAPTION_SHARE = 0.05
FOREGROUND_WEIGHT = 2.0


def fit_prior(pool: Pool, minutes: float, seed: int, log_every: int = 100) -> CaptionPrior:
    """Train for so many minutes with cosine decay, then measure the spread around the mean."""
    torch.manual_seed(seed)
    prior = CaptionPrior()
    optimiser = torch.optim.AdamW(prior.layers.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    source = torch.Generator().manual_seed(seed)
    vectors = torch.cat([pool.conditioning(rows).pooled for rows in torch.arange(len(pool.tokens)).split(1024)])
    started, step, running = time.monotonic(), 0, 0.0
    while (progress := (time.monotonic() - started) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 50)
            group["lr"] = LEARNING_RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        rows = torch.randint(len(pool.latents), (BATCH,), generator=source)
        keep = torch.rand(BATCH, generator=source) >= EMPTY_CAPTION_SHARE
        weight = 1 + FOREGROUND_WEIGHT * pool.coverage[rows].float()[:, None]
        with torch.autocast("cpu", torch.bfloat16):
            mean = prior(vectors[pool.caption[rows] * keep])
        loss = ((mean.float() - pool.latents[rows].float()).square() * weight).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(prior.layers.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step, running = step + 1, running + float(loss.detach())
        if step % log_every == 0:
            print(f"prior step {step} progress {progress:.2f} loss {running / log_every:.4f}", flush=True)
            running = 0.0
    with torch.no_grad():
        prior.spread.copy_(spread_around(prior, pool, vectors))
    prior.requires_grad_(False).eval()
    return prior


@torch.no_grad()
def spread_around(prior: CaptionPrior, pool: Pool, vectors: torch.Tensor) -> torch.Tensor:
    """Standard deviation (components,) of a pool's latents around the prior's mean."""
    squares = torch.zeros(prior.shape[0])
    for rows in torch.arange(len(pool.latents)).split(1024):
        error = pool.latents[rows].float() - prior(vectors[pool.caption[rows]])
        squares += error.square().sum((0, 2, 3))
    return (squares / (len(pool.latents) * prior.shape[1] * prior.shape[2])).sqrt()
