"""What a training run is made of: its settings, its networks and optimiser, and how they are stored."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

from generator.emblem.codec import EmblemCodec
from generator.training.vocabulary import STYLES


@dataclass(frozen=True)
class Configuration:
    """The settings of one run."""

    channels: tuple[int, ...] = (96, 128, 160)
    batch: int = 16
    learning_rate: float = 1e-3
    final_learning_rate: float = 2e-5
    warm_up_steps: int = 30
    scenes: int = 14_000
    seed: int = 20_261_122
    compile: bool = True


@dataclass
class State:
    """What a checkpoint holds: weights, their running average, the optimiser, and how far the run is."""

    model: UNet2DConditionModel
    average: UNet2DConditionModel
    optimiser: torch.optim.Optimizer
    step: int = 0
    elapsed_s: float = 0.0


def build_denoiser(channels: tuple[int, ...], components: int) -> UNet2DConditionModel:
    """A small conditional U-Net over 16x16 latents: cross-attention to tokens at the two coarser levels, and
    the pooled caption and the style added to the time embedding."""
    denoiser: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=16,
        in_channels=2 * components,  # the noisy latents and the plan
        out_channels=components,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=8,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=384 + len(STYLES),
    )
    torch.nn.init.zeros_(denoiser.conv_out.weight)  # the first estimate is the linear one
    return denoiser


def start_state(configuration: Configuration, codec: EmblemCodec, weights: Path | None) -> State:
    """A fresh state, or one whose denoiser starts from shipped weights."""
    torch.manual_seed(configuration.seed)
    if weights is None:
        model = build_denoiser(configuration.channels, len(codec.basis))
    else:
        model = UNet2DConditionModel.from_pretrained(weights / "unet", dtype=torch.float32, low_cpu_mem_usage=False)
    model.train()
    average = copy.deepcopy(model).requires_grad_(False)
    optimiser = torch.optim.AdamW(
        model.parameters(), configuration.learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    return State(model, average, optimiser)


def average_weights(state: State) -> None:
    """Move the running average towards the weights; its memory grows with the step (at most 1000 steps)."""
    decay = min(0.999, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(
            [p.data for p in state.average.parameters()], [p.data for p in state.model.parameters()], 1 - decay
        )


def save_checkpoint(state: State, path: Path) -> None:
    """Write everything that resuming needs; the old file stays until the new one is whole."""
    partial = path.with_suffix(".partial")
    torch.save(
        {
            "model": state.model.state_dict(),
            "average": state.average.state_dict(),
            "optimiser": state.optimiser.state_dict(),
            "step": state.step,
            "elapsed_s": state.elapsed_s,
        },
        partial,
    )
    partial.replace(path)


def load_checkpoint(state: State, path: Path) -> None:
    """Continue where `save_checkpoint` left off; in place."""
    stored = torch.load(path, weights_only=True)
    state.model.load_state_dict(stored["model"])
    state.average.load_state_dict(stored["average"])
    state.optimiser.load_state_dict(stored["optimiser"])
    state.step, state.elapsed_s = stored["step"], stored["elapsed_s"]
