from __future__ import annotations

import numpy as np
import pytest
import torch

from generator import ModelCard
from generator.emblem.codec import EmblemCodec
from generator.training.dataset import to_signed
from generator.training.patch_basis import fit_basis, load_codec, peak_signal_to_noise
from generator.training.render import render_scene
from generator.training.scenes import sample_scene

ROUND_TRIP_FLOOR_DB = 30.0


def scenes(first: int, count: int, side: int = 128) -> torch.Tensor:
    return to_signed(np.stack([render_scene(sample_scene(seed), side) for seed in range(first, first + count)]))


@pytest.fixture(scope="module")
def shipped_codec(shipped_card: ModelCard) -> EmblemCodec:
    from pathlib import Path

    return load_codec(Path(shipped_card.source) / "codec")


def test_rendered_scenes_survive_the_shipped_patch_basis(shipped_codec: EmblemCodec) -> None:
    pixels = scenes(900_000, 24)

    latents = shipped_codec.encode(pixels)

    assert latents.shape == (24, 64, 16, 16)
    assert peak_signal_to_noise(pixels, shipped_codec.decode(latents)) >= ROUND_TRIP_FLOOR_DB


def test_a_basis_fitted_here_carries_scenes_it_was_not_fitted_on() -> None:
    codec = EmblemCodec()

    fit_basis(codec, scenes(0, 60))
    held_out = scenes(900_000, 12)

    assert peak_signal_to_noise(held_out, codec.decode(codec.encode(held_out))) >= ROUND_TRIP_FLOOR_DB
    assert torch.allclose(codec.basis @ codec.basis.T, torch.eye(64), atol=1e-5)


def test_encoding_undoes_decoding() -> None:
    codec = EmblemCodec()
    fit_basis(codec, scenes(0, 20))
    latents = codec.encode(scenes(900_000, 2))

    assert torch.allclose(codec.encode(_decode_unclamped(codec, latents)), latents, atol=1e-3)


def _decode_unclamped(codec: EmblemCodec, latents: torch.Tensor) -> torch.Tensor:
    coefficients = latents * codec.scale[:, None, None] + codec.mean[:, None, None]
    return torch.nn.functional.pixel_shuffle(torch.einsum("kc,nkhw->nchw", codec.basis, coefficients), 8)


def test_the_upscaler_beats_bilinear_enlargement_on_held_out_scenes(shipped_codec: EmblemCodec) -> None:
    from generator.training.upscaler import held_out_quality, render_pairs

    ours, bilinear = held_out_quality(shipped_codec, render_pairs(shipped_codec, range(3), "held-out"))

    assert ours > bilinear + 1.0


def test_enlarging_gives_four_times_the_side() -> None:
    enlarged = EmblemCodec(upscaler_width=8, upscaler_depth=2).enlarge(torch.zeros(1, 3, 16, 24))

    assert enlarged.shape == (1, 3, 64, 96)
