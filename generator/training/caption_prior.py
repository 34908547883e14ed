"""Fit the caption prior: mean and spread of the latents, from pooled captions of training scenes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from generator.emblem.prior import CaptionPrior
from generator.training.dataset import Pool

BATCH = 256
LEARNING_RATE = 2e-3
EMPTY_CAPTION_SHARE = 0.05
FOREGROUND_WEIGHT = 2.0
SPREAD_SHARE = 0.25  # of the time, for the spread, once the mean stands

Loss = Callable[[Tensor, Tensor], Tensor]
"""From rows of the pool and their pooled captions (B, 384) to a loss."""


Budget = Callable[[int], float]
"""From the number of steps taken to the share of the budget that is used."""


def by_time(minutes: float) -> Budget:
    """A budget of so many minutes from now."""
    started = time.monotonic()
    return lambda _: (time.monotonic() - started) / 60 / minutes


def by_steps(count: int) -> Budget:
    """A budget of so many steps."""
    return lambda step: step / count


def fit_prior(pool: Pool, minutes: float, seed: int) -> CaptionPrior:
    """Fit the mean by least squares, then the spread by maximum likelihood, in so many minutes altogether."""
    torch.manual_seed(seed)
    prior: CaptionPrior = CaptionPrior()
    fit_mean(prior, pool, by_time(minutes * (1 - SPREAD_SHARE)), seed)
    fit_spread(prior, pool, by_time(minutes * SPREAD_SHARE), seed + 1)
    with torch.no_grad():
        prior.component_spread.copy_(measure_component_spread(prior, pool))
    prior.requires_grad_(False).eval()
    return prior


def fit_mean(prior: CaptionPrior, pool: Pool, budget: Budget, seed: int) -> None:
    """Least squares from captions to latents, the foreground weighing more; in place."""

    def squares(rows: Tensor, pooled: Tensor) -> Tensor:
        weight = 1 + FOREGROUND_WEIGHT * pool.coverage[rows].float()[:, None]
        with torch.autocast("cpu", torch.bfloat16):
            mean = prior(pooled)
        loss: Tensor = ((mean.float() - pool.latents[rows].float()).square() * weight).mean()
        return loss

    _descend("mean", pool, prior.layers.parameters(), squares, budget, seed)


def fit_spread(prior: CaptionPrior, pool: Pool, budget: Budget, seed: int) -> None:
    """Maximum likelihood of the latents under a normal distribution around the fixed mean; in place."""

    def negative_log_likelihood(rows: Tensor, pooled: Tensor) -> Tensor:
        with torch.no_grad():
            squares = (prior(pooled) - pool.latents[rows].float()).square()
        spread = prior.spread(pooled)
        loss: Tensor = (spread.log() + 0.5 * squares / spread.square()).mean()
        return loss

    parameters = [*prior.places.parameters(), prior.component_log_spread]
    _descend("spread", pool, parameters, negative_log_likelihood, budget, seed)


@torch.no_grad()
def measure_component_spread(prior: CaptionPrior, pool: Pool) -> Tensor:
    """Standard deviation (components,) of a pool's latents around the prior's mean."""
    squares = torch.zeros(prior.shape[0])
    for rows in torch.arange(len(pool.latents)).split(1024):
        pooled = pool.conditioning(pool.caption[rows]).pooled
        squares += (pool.latents[rows].float() - prior(pooled)).square().sum((0, 2, 3))
    return (squares / (len(pool.latents) * prior.shape[1] * prior.shape[2])).sqrt()


def _descend(
    name: str, pool: Pool, parameters: Iterable[nn.Parameter], loss_of: Loss, budget: Budget, seed: int
) -> None:
    trained = list(parameters)
    optimiser = torch.optim.AdamW(trained, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    source = torch.Generator().manual_seed(seed)
    vectors = torch.cat([pool.conditioning(rows).pooled for rows in torch.arange(len(pool.tokens)).split(1024)])
    step, running = 0, 0.0
    while (progress := budget(step)) < 1:
        for group in optimiser.param_groups:
            warm = min(1.0, (step + 1) / 50)
            group["lr"] = LEARNING_RATE * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        rows = torch.randint(len(pool.latents), (BATCH,), generator=source)
        keep = torch.rand(BATCH, generator=source) >= EMPTY_CAPTION_SHARE
        loss = loss_of(rows, vectors[pool.caption[rows] * keep])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step, running = step + 1, running + float(loss.detach())
        if step % 100 == 0:
            print(f"prior {name} step {step} progress {progress:.2f} loss {running / 100:.4f}", flush=True)
            running = 0.0
