"""Train the emblem model's denoiser: flow matching with picture prediction, from scratch.

    python -m generator.training.train --minutes 85 --output runs/emblem
    python -m generator.training.train --minutes 60 --output runs/emblem --resume
    python -m generator.training.train --minutes 60 --output runs/more --from-weights generator/emblem/weights

Everything random is a function of (seed, step), so a resumed run takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from generator.emblem.codec import EmblemCodec
from generator.emblem.conditioning import MAX_TOKENS
from generator.training.dataset import Pool, cached_pool, prepare_codec
from generator.training.text_encoder import load_text_encoder, packaged_folder

TIMESTEPS = 1000
CAPTION_DROPOUT = 0.1
NOISE_LOGIT_MEAN = 0.4  # sigma = sigmoid(N(mean, 1)): a little more time at high noise, where content is decided
FOREGROUND_WEIGHT = 2.0
SMALLEST_WEIGHTED_SIGMA = 0.1
HELD_OUT_SIGMAS = (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
HELD_OUT_SCENES = 192


@dataclass(frozen=True)
class Configuration:
    """The settings of one run."""

    channels: tuple[int, ...] = (96, 160, 192)
    batch: int = 64
    learning_rate: float = 1e-3
    final_learning_rate: float = 2e-5
    warm_up_steps: int = 100
    scenes: int = 20_000
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
    the pooled caption added to the time embedding."""
    denoiser: UNet2DConditionModel = UNet2DConditionModel(
        sample_size=16,
        in_channels=components,
        out_channels=components,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=384,
    )
    return denoiser


def learning_rate(configuration: Configuration, step: int, progress: float) -> float:
    """Linear warm-up by steps, then cosine decay by `progress` in [0, 1] through the budget."""
    low, high = configuration.final_learning_rate, configuration.learning_rate
    decayed = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return decayed * min(1.0, (step + 1) / configuration.warm_up_steps)


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


def draw_batch(pool: Pool, configuration: Configuration, step: int) -> Batch:
    """The batch of this step: a function of the configuration's seed and the step alone."""
    source = torch.Generator().manual_seed(configuration.seed * 1_000_003 + step)
    rows = torch.randint(len(pool.latents), (configuration.batch,), generator=source)
    sigma = torch.sigmoid(NOISE_LOGIT_MEAN + torch.randn(configuration.batch, generator=source))
    keep = torch.rand(configuration.batch, generator=source) >= CAPTION_DROPOUT
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


def flow_loss(model: Any, batch: Batch) -> Tensor:
    """Flow-matching loss per example (N,): the squared error of the velocity that the predicted picture implies.

    The network predicts the clean latents (Li & He, 2025, "Back to Basics: Let Denoising Generative Models
    Denoise"); velocity error is picture error divided by sigma, which is bounded below here.
    """
    with torch.autocast("cpu", torch.bfloat16):
        predicted = model(
            batch.noisy,
            batch.sigma * TIMESTEPS,
            batch.tokens,
            class_labels=batch.pooled,
            encoder_attention_mask=batch.mask,
        ).sample
    error = (predicted.float() - batch.clean).square() * batch.weight
    loss: Tensor = error.mean((1, 2, 3)) / batch.sigma.clamp(min=SMALLEST_WEIGHTED_SIGMA).square()
    return loss


def average_weights(state: State) -> None:
    """Move the running average towards the weights; its memory grows with the step (at most 1000 steps)."""
    decay = min(0.999, (1 + state.step) / (10 + state.step))
    with torch.no_grad():
        torch._foreach_lerp_(
            [p.data for p in state.average.parameters()], [p.data for p in state.model.parameters()], 1 - decay
        )


@torch.no_grad()
def held_out_losses(model: nn.Module, pool: Pool, batch_size: int) -> dict[float, float]:
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
            total += float(flow_loss(model, batch).sum())
        losses[sigma] = total / count
    return losses


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


def train_step(state: State, forward: Any, batch: Batch, rate: float) -> float:
    """One optimiser step; returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    loss = flow_loss(forward, batch).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimiser.step()
    state.optimiser.zero_grad(set_to_none=True)
    state.step += 1
    average_weights(state)
    return float(loss.detach())


@dataclass(frozen=True)
class Budget:
    """When to stop: after so many minutes of training or so many steps, whichever is set."""

    minutes: float | None
    steps: int | None

    def progress(self, state: State) -> float:
        """Share of the budget that is used, at least 0; training stops at 1."""
        by_time = state.elapsed_s / 60 / self.minutes if self.minutes else 0.0
        by_steps = state.step / self.steps if self.steps else 0.0
        return max(by_time, by_steps)


@dataclass(frozen=True)
class Schedule:
    """How often to log (steps) and to store and evaluate (minutes)."""

    log_every_steps: int = 50
    checkpoint_every_minutes: float = 4.0
    evaluate_every_minutes: float = 12.0


def train(
    state: State,
    pool: Pool,
    held_out: Pool,
    configuration: Configuration,
    budget: Budget,
    schedule: Schedule,
    output: Path,
) -> None:
    """Run to the end of the budget, storing `checkpoint.pt` in `output` on the way and at the end."""
    forward: Any = torch.compile(state.model) if configuration.compile else state.model
    stored_at = evaluated_at = state.elapsed_s
    running, since = 0.0, 0
    while budget.progress(state) < 1:
        started = time.monotonic()
        rate = learning_rate(configuration, state.step, budget.progress(state))
        loss = train_step(state, forward, draw_batch(pool, configuration, state.step), rate)
        state.elapsed_s += time.monotonic() - started
        running, since = running + loss, since + 1
        if state.step % schedule.log_every_steps == 0:
            minutes = state.elapsed_s / 60
            print(f"step {state.step} minutes {minutes:.1f} loss {running / since:.4f} rate {rate:.2e}", flush=True)
            running, since = 0.0, 0
        if state.elapsed_s - stored_at > schedule.checkpoint_every_minutes * 60:
            save_checkpoint(state, output / "checkpoint.pt")
            stored_at = state.elapsed_s
        if state.elapsed_s - evaluated_at > schedule.evaluate_every_minutes * 60:
            report(state, held_out, configuration.batch)
            evaluated_at = state.elapsed_s
    save_checkpoint(state, output / "checkpoint.pt")
    report(state, held_out, configuration.batch)


def report(state: State, held_out: Pool, batch: int) -> None:
    """Print the held-out loss of the averaged weights per noise level."""
    losses = held_out_losses(state.average, held_out, batch)
    listing = " ".join(f"{sigma}:{loss:.4f}" for sigma, loss in losses.items())
    print(f"held-out step {state.step} minutes {state.elapsed_s / 60:.1f} loss by sigma {listing}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the training run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, help="training time, evaluation not counted")
    parser.add_argument("--steps", type=int, help="number of steps, instead of or besides --minutes")
    parser.add_argument("--output", type=Path, required=True, help="folder for checkpoints and the scene pool")
    parser.add_argument("--resume", action="store_true", help="continue from OUTPUT/checkpoint.pt")
    parser.add_argument("--from-weights", type=Path, help="start from a pipeline folder's codec and denoiser")
    parser.add_argument("--text-encoder", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=Configuration.scenes)
    parser.add_argument("--held-out-scenes", type=int, default=HELD_OUT_SCENES)
    parser.add_argument("--batch", type=int, default=Configuration.batch)
    parser.add_argument("--channels", type=int, nargs=3, default=Configuration.channels)
    parser.add_argument("--learning-rate", type=float, default=Configuration.learning_rate)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    torch.set_num_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)

    configuration = Configuration(
        channels=tuple(options.channels),
        batch=options.batch,
        learning_rate=options.learning_rate,
        scenes=options.scenes,
        compile=options.compile,
    )
    codec = load_or_fit_codec(options.output / "codec", options.from_weights)
    tokenizer, encoder = load_text_encoder(options.text_encoder or packaged_folder())
    common = {"codec": codec, "tokenizer": tokenizer, "encoder": encoder, "workers": options.threads}
    pool = cached_pool(
        options.output / f"train-{options.scenes}.safetensors", count=options.scenes, split="train", **common
    )
    held_out = cached_pool(
        options.output / f"held-out-{options.held_out_scenes}.safetensors",
        count=options.held_out_scenes,
        split="held-out",
        **common,
    )
    assert pool.tokens.shape[1] == MAX_TOKENS
    state = start_state(configuration, codec, options.from_weights)
    if options.resume:
        load_checkpoint(state, options.output / "checkpoint.pt")
    count = sum(p.numel() for p in state.model.parameters())
    print(f"parameters {count} scenes {len(pool.latents)} step {state.step}", flush=True)
    train(state, pool, held_out, configuration, Budget(options.minutes, options.steps), Schedule(), options.output)


def load_codec(folder: Path) -> EmblemCodec:
    """A stored codec, in single precision."""
    codec: EmblemCodec = EmblemCodec.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    return codec


def load_or_fit_codec(folder: Path, weights: Path | None) -> EmblemCodec:
    """The codec of this run: from shipped weights, from an earlier call, or fitted now and stored."""
    if weights is not None:
        return load_codec(weights / "codec")
    if not folder.exists():
        codec = EmblemCodec()
        prepare_codec(codec)
        codec.save_pretrained(folder)
    return load_codec(folder)


if __name__ == "__main__":
    main()
