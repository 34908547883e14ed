from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from generator.emblem.conditioning import Conditioning
from generator.emblem.denoise import Grounds, covered, output_scale, predict_picture, spread_over

CONDITION = Conditioning(torch.zeros(1, 32, 384), torch.ones(1, 32), torch.zeros(1, 384), torch.zeros(1, 6))


class Constant(nn.Module):
    """A denoiser that always answers the same value."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value
        self.seen: list[Tensor] = []

    def forward(self, latents: Tensor, *_: Any, **__: Any) -> tuple[Tensor]:
        self.seen.append(latents)
        return (torch.full_like(latents[:, :8], self.value),)


def grounds(spread: float = 0.7) -> Grounds:
    source = torch.Generator().manual_seed(1)
    return Grounds(torch.randn(1, 8, 16, 16, generator=source), torch.full((1, 8, 16, 16), spread))


def clean_and_noise() -> tuple[Tensor, Tensor]:
    source = torch.Generator().manual_seed(2)
    around = grounds()
    clean = around.plan + around.spread * torch.randn(around.plan.shape, generator=source)
    return clean, torch.randn(clean.shape, generator=source)


def test_at_full_noise_a_silent_denoiser_gives_the_plan() -> None:
    clean, noise = clean_and_noise()
    noisy = grounds().noisy(clean, noise, torch.tensor(1.0))

    picture = predict_picture(Constant(0.0), noisy, torch.tensor([1.0]), grounds(), CONDITION)

    assert torch.allclose(picture, grounds().plan, atol=1e-6)


def test_hardly_any_noise_gives_the_picture_back() -> None:
    clean, noise = clean_and_noise()
    noisy = grounds().noisy(clean, noise, torch.tensor(1e-4))

    picture = predict_picture(Constant(0.0), noisy, torch.tensor([1e-4]), grounds(), CONDITION)

    assert torch.allclose(picture, clean, atol=1e-2)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 0.9])
def test_the_linear_estimate_errs_by_the_output_scale(sigma: float) -> None:
    clean, noise = clean_and_noise()
    level = torch.tensor([sigma])
    noisy = grounds().noisy(clean, noise, level[:, None, None, None])

    error = predict_picture(Constant(0.0), noisy, level, grounds(), CONDITION) - clean

    expected = float(output_scale(grounds().spread, level)[0, 0, 0, 0])
    assert float(error.square().mean().sqrt()) == pytest.approx(expected, rel=0.05)


def test_the_denoiser_sees_unit_variance_and_the_plan() -> None:
    clean, noise = clean_and_noise()
    denoiser, level = Constant(0.0), torch.tensor([0.6])

    predict_picture(denoiser, grounds().noisy(clean, noise, torch.tensor(0.6)), level, grounds(), CONDITION)

    seen = denoiser.seen[0]
    assert seen.shape == (1, 16, 16, 16)
    assert float(seen[:, :8].std()) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(seen[:, 8:], grounds().plan)


def test_things_cover_their_place_and_its_neighbours() -> None:
    alpha = torch.zeros(1, 1, 128, 128)
    alpha[:, :, 44, 77] = 1.0

    where = covered(alpha)

    assert where.shape == (1, 1, 16, 16)
    assert where.sum() == 9
    assert bool(where[0, 0, 4:7, 8:11].all())


def test_spread_follows_style_and_place() -> None:
    table = torch.ones(6, 2, 8)
    table[2, 1] = 3.0
    where = torch.zeros(2, 1, 16, 16)
    where[:, :, :8] = 1.0
    style = torch.zeros(2, 6)
    style[0, 2] = 1.0

    spread = spread_over(table, style, where)

    assert torch.all(spread[0, :, :8] == 3.0)
    assert torch.all(spread[0, :, 8:] == 1.0)
    assert torch.allclose(spread[1, :, :8], torch.tensor(((9 + 5) / 6) ** 0.5))
