from __future__ import annotations

from pathlib import Path

import pytest
import torch

from generator import ModelCard
from generator.emblem.appearance import AppearanceCodebook
from generator.training.appearance import fit, load_appearance, start
from generator.training.glyphs import SMALL_PIXELS, glyph
from generator.training.vocabulary import glyph_names


def wanted(names: list[str]) -> torch.Tensor:
    """These glyphs at 64 pixels, premultiplied RGBA in [0, 1]."""
    rows = [glyph_names().index(name) for name in names]
    drawings = [torch.from_numpy(glyph(row, SMALL_PIXELS).copy()).float() / 255 for row in rows]
    return torch.nn.functional.avg_pool2d(torch.stack(drawings).permute(0, 3, 1, 2), SMALL_PIXELS // 64)


def test_the_shipped_codebook_holds_every_entry_recognisably(shipped_card: ModelCard) -> None:
    names = ["cat-face", "guitar", "woman-farmer-dark-skin-tone", "strawberry"]
    codebook = load_appearance(Path(shipped_card.source) / "appearance")

    drawn = codebook.pictures(torch.tensor([glyph_names().index(name) for name in names]))

    errors = (drawn - wanted(names)).square().mean((1, 2, 3))
    assert len(codebook.codes) == len(glyph_names())
    assert float(errors.max()) < 0.01  # 20 dB


def test_pictures_are_valid_premultiplied_colours() -> None:
    torch.manual_seed(0)
    codebook = AppearanceCodebook(entries=3, components=4, width=8, blocks=1)
    codebook.codes.data *= 30

    drawn = codebook.pictures(torch.arange(3))

    assert drawn.shape == (3, 4, 64, 64)
    assert bool((drawn >= 0).all())
    assert bool((drawn[:, :3] <= drawn[:, 3:]).all())
    assert float(drawn.max()) <= 1


def test_learning_draws_nearer_to_the_glyphs() -> None:
    pictures = wanted(["red-apple", "dolphin", "bell", "tent"])
    codebook = start(pictures, components=6)
    before = float((codebook.pictures(torch.arange(4)) - pictures).abs().mean().detach())

    fit(codebook, pictures, minutes=None, steps=25)

    assert float((codebook.pictures(torch.arange(4)) - pictures).abs().mean()) < 0.8 * before


def test_starting_from_all_components_is_exact() -> None:
    pictures = wanted(["red-apple", "dolphin"])

    codebook = start(pictures, components=100)

    assert float((codebook.pictures(torch.arange(2)) - pictures).abs().max()) == pytest.approx(0, abs=0.05)
