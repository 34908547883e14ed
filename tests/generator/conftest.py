"""Models for the generator's tests: a tiny random emblem, the shipped one, and the text encoder both need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from generator import EMBLEM_CARD, ModelCard, folder_digest, load_card


@pytest.fixture(scope="session")
def text_components() -> Mapping[str, object]:
    """`tokenizer` and `text_encoder`, as the pipeline takes them."""
    from generator.training.text_encoder import load_text_encoder, packaged_folder

    tokenizer, encoder = load_text_encoder(packaged_folder())
    return {"tokenizer": tokenizer, "text_encoder": encoder}


@pytest.fixture(scope="session")
def shipped_card() -> ModelCard:
    """The card of the model that ships with the program."""
    return load_card(EMBLEM_CARD)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An emblem pipeline of the same make with few, random weights. Not to be changed by tests."""
    import torch
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    from generator.emblem.appearance import AppearanceCodebook
    from generator.emblem.codec import EmblemCodec
    from generator.emblem.pipeline import EmblemPipeline
    from generator.emblem.planner import ScenePlanner
    from generator.emblem.stylist import PlanStylist
    from generator.training.state import build_denoiser

    folder = tmp_path_factory.mktemp("tiny-emblem")
    torch.manual_seed(0)
    denoiser = build_denoiser((32, 32, 32), components=32)
    torch.nn.init.normal_(denoiser.conv_out.weight, std=0.02)
    planner = ScenePlanner(width=32, layers=1, layout_width=32)
    torch.nn.init.uniform_(planner.backdrops)
    pipeline = EmblemPipeline(
        unet=denoiser,
        planner=planner,
        appearance=AppearanceCodebook(components=2, width=8, blocks=1),
        stylist=PlanStylist(width=8, depth=2),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        codec=EmblemCodec(components=32, upscaler_width=8, upscaler_depth=2),
        text_encoder=None,
        tokenizer=None,
    )
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture
def tiny_card(tiny_folder: Path, shipped_card: ModelCard) -> ModelCard:
    """A card for the tiny model."""
    return replace(shipped_card, id="tiny", source=str(tiny_folder), digest=folder_digest(tiny_folder))
