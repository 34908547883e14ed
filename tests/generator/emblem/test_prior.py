from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from generator.emblem.conditioning import Conditioning
from generator.emblem.prior import LARGEST_SPREAD, CaptionPrior, output_scale, predict_picture

CONDITION = Conditioning(torch.zeros(1, 32, 384), torch.ones(1, 32), torch.zeros(1, 384))


class Constant(nn.Module):
    """A denoiser that always answers the same value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.seen: list[Tensor] = []

    def forward(self, latents: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        self.seen.append(latents)
        return (torch.full_like(latents[:, :32], self.value),)


def prior_with(mean: float, spread: float) -> CaptionPrior:
    prior: CaptionPrior = CaptionPrior()
    for parameter in prior.parameters():
        nn.init.zeros_(parameter)
    last: Any = prior.layers[-1]
    nn.init.constant_(last.bias, mean)
    nn.init.constant_(prior.component_log_spread, math.log(LARGEST_SPREAD))  # everything open
    nn.init.constant_(prior.component_spread, spread)
    prior.requires_grad_(False)
    return prior


def test_pure_noise_gives_the_captions_mean() -> None:
    noise = torch.randn(1, 32, 16, 16)

    picture = predict_picture(Constant(0.0), prior_with(0.5, 0.7), noise, torch.tensor([1.0]), CONDITION)

    assert torch.allclose(picture, torch.full_like(noise, 0.5), atol=1e-6)


def test_hardly_any_noise_gives_the_picture_back() -> None:
    clean = torch.randn(1, 32, 16, 16)

    picture = predict_picture(Constant(0.0), prior_with(0.5, 0.7), clean, torch.tensor([1e-4]), CONDITION)

    assert torch.allclose(picture, clean, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_the_linear_estimate_errs_by_the_output_scale(sigma: float) -> None:
    source = torch.Generator().manual_seed(0)
    clean = 0.5 + 0.7 * torch.randn(1, 32, 16, 16, generator=source)
    noisy = (1 - sigma) * clean + sigma * torch.randn(clean.shape, generator=source)
    prior, level = prior_with(0.5, 0.7), torch.tensor([sigma])

    error = predict_picture(Constant(0.0), prior, noisy, level, CONDITION) - clean

    assert float(error.square().mean().sqrt()) == pytest.approx(
        float(output_scale(prior.component_spread, level)[0, 0, 0, 0]), rel=0.03
    )


def test_the_denoiser_sees_the_noise_and_the_mean_and_its_answer_is_scaled() -> None:
    noisy, prior, level = torch.randn(1, 32, 16, 16), prior_with(0.5, 0.7), torch.tensor([0.4])
    denoiser = Constant(1.0)

    difference = predict_picture(denoiser, prior, noisy, level, CONDITION) - predict_picture(
        Constant(0.0), prior, noisy, level, CONDITION
    )

    assert denoiser.seen[0].shape == (1, 64, 16, 16)
    assert torch.equal(denoiser.seen[0][:, :32], noisy)
    assert torch.allclose(denoiser.seen[0][:, 32:], torch.full_like(noisy, 0.5))
    assert torch.allclose(difference, output_scale(prior.component_spread, level).expand_as(difference), rtol=0.05)


def test_a_fitted_prior_tells_captions_apart_and_knows_its_spread() -> None:
    from generator.training.caption_prior import by_steps, fit_mean, fit_spread
    from generator.training.dataset import Pool

    source = torch.Generator().manual_seed(0)
    tokens = torch.randn(3, 32, 384, generator=source).half()
    caption = torch.arange(40) % 2 + 1
    means = torch.tensor([-1.0, 1.0])[caption - 1][:, None, None, None]
    spreads = torch.full((16, 16), 0.2)
    spreads[4:12, 4:12] = 0.8
    latents = (means + spreads * torch.randn(40, 32, 16, 16, generator=source)).half()
    pool = Pool(latents, torch.zeros(40, 16, 16).half(), caption, tokens, torch.ones(3, 32, dtype=torch.uint8))

    torch.manual_seed(0)
    prior: CaptionPrior = CaptionPrior(hidden=64, rank=32)
    fit_mean(prior, pool, by_steps(90), seed=0)
    fit_spread(prior, pool, by_steps(150), seed=1)
    prior.requires_grad_(False)
    pooled = pool.conditioning(torch.tensor([1, 2])).pooled
    low, high = prior(pooled).mean((1, 2, 3)).tolist()
    spread = prior.spread(pooled).mean((0, 1))

    assert low < -0.4
    assert high > 0.4
    assert float(spread[4:12, 4:12].mean()) > 1.2 * float(spread[:3].mean())


def test_a_shape_is_what_the_configuration_says() -> None:
    assert CaptionPrior(components=4, side=8)(torch.zeros(2, 384)).shape == (2, 4, 8, 8)
