"""The training objective: flow matching around the plan, over batches that are functions of seed and step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from generator.emblem.conditioning import Conditioning
from generator.emblem.denoise import Grounds, output_scale, predict_picture, spread_over
from generator.training.dataset import Pool
from generator.training.vocabulary import STYLES

CAPTION_DROPOUT = 0.1
NOISE_LOGIT_MEAN = 0.6  # sigma = sigmoid(N(mean, 1)): a little more time at high noise, where content is decided
SMALLEST_SPREAD = 0.02
HELD_OUT_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Batch:
    """One step's material: clean, noisy and plan latents and spread (N, C, 16, 16), sigma (N,), conditioning."""

    clean: Tensor
    noisy: Tensor
    plan: Tensor
    spread: Tensor
    sigma: Tensor
    tokens: Tensor
    mask: Tensor
    pooled: Tensor
    style: Tensor


def draw_batch(pool: Pool, table: Tensor, size: int, seed: int, step: int) -> Batch:
    """The batch of this step: a function of the seed and the step alone. `table` is the codec's spread."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = torch.randint(len(pool.latents), (size,), generator=source)
    sigma = torch.sigmoid(NOISE_LOGIT_MEAN + torch.randn(size, generator=source))
    keep = torch.rand(size, generator=source) >= CAPTION_DROPOUT
    noise = torch.randn((size, *pool.latents.shape[1:]), generator=source)
    return make_batch(pool, table, rows, noise, sigma, keep)


def make_batch(pool: Pool, table: Tensor, rows: Tensor, noise: Tensor, sigma: Tensor, keep: Tensor) -> Batch:
    """Interpolate towards the noise around the plan and attach the conditioning; where `keep` is false, caption and
    style are left out."""
    clean, plan = pool.latents[rows].float(), pool.plans[rows].float()
    style = functional.one_hot(pool.style[rows], len(STYLES)).float()
    grounds = Grounds(plan, spread_over(table, style, pool.where[rows].float()))
    style = style * keep[:, None]
    condition = pool.captions.conditioning(pool.caption[rows] * keep, style)
    noisy = grounds.noisy(clean, noise, sigma[:, None, None, None])
    return Batch(clean, noisy, plan, grounds.spread, sigma, condition.tokens, condition.mask, condition.pooled, style)


def flow_loss(denoiser: nn.Module, batch: Batch) -> Tensor:
    """Loss per example (N,): the squared error of the predicted picture, in units of the error that the best linear
    estimate makes at that noise level (1 = no better than it)."""
    condition = Conditioning(batch.tokens, batch.mask, batch.pooled, batch.style)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = predict_picture(denoiser, batch.noisy, batch.sigma, Grounds(batch.plan, batch.spread), condition)
    error = (predicted.float() - batch.clean).square()
    expected = output_scale(batch.spread, batch.sigma).square()
    return error.mean((1, 2, 3)) / expected.mean((1, 2, 3))


@torch.no_grad()
def held_out_losses(denoiser: nn.Module, table: Tensor, pool: Pool, batch_size: int) -> dict[float, float]:
    """Mean loss at fixed noise levels over held-out scenes, with fixed noise."""
    losses = {}
    for sigma in HELD_OUT_SIGMAS:
        source = torch.Generator().manual_seed(round(sigma * 1000))
        total, count = 0.0, len(pool.latents)
        for start in range(0, count, batch_size):
            rows = torch.arange(start, min(start + batch_size, count))
            noise = torch.randn((len(rows), *pool.latents.shape[1:]), generator=source)
            keep = torch.ones(len(rows), dtype=torch.bool)
            batch = make_batch(pool, table, rows, noise, torch.full((len(rows),), sigma), keep)
            total += float(flow_loss(denoiser, batch).sum())
        losses[sigma] = total / count
    return losses


@torch.no_grad()
def measure_spread(pool: Pool) -> Tensor:
    """How far the latents of the pool's scenes lie from their plans: standard deviations (styles, 2, C) per component,
    for backgrounds and for things."""
    total, places = torch.zeros(len(STYLES), 2, pool.latents.shape[1]), torch.zeros(len(STYLES), 2, 1)
    for rows in torch.arange(len(pool.latents)).split(1024):
        squares = (pool.latents[rows].float() - pool.plans[rows].float()).square()
        where = pool.where[rows].float()
        for part, share in enumerate((1 - where, where)):
            total[:, part].index_add_(0, pool.style[rows], (squares * share).sum((2, 3)))
            places[:, part].index_add_(0, pool.style[rows], share.sum((2, 3)))
    return (total / places.clamp(min=1)).sqrt().clamp(min=SMALLEST_SPREAD)
