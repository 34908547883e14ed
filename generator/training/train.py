"""Train the emblem model's denoiser: flow matching around the plan picture, from scratch.

    python -m generator.training.train --minutes 85 --output runs/emblem
    python -m generator.training.train --minutes 60 --output runs/emblem --resume
    python -m generator.training.train --minutes 60 --output runs/more --from-weights generator/emblem/weights

Everything random is a function of (seed, step), so a resumed run takes the same steps as an uninterrupted one.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.codec import EmblemCodec
from generator.emblem.stylist import PlanStylist
from generator.training.appearance import COMPONENTS, fit, load_appearance, start, targets
from generator.training.dataset import BASIS_SCENES, Pool, cached_latents, load_pool, prepare_codec
from generator.training.flow import Batch, draw_batch, flow_loss, held_out_losses, measure_spread
from generator.training.parallel import agreed, average_gradients, is_first, own_share, run_in_processes
from generator.training.patch_basis import load_codec
from generator.training.scenes import Split
from generator.training.state import (
    Configuration,
    State,
    average_weights,
    load_checkpoint,
    save_checkpoint,
    start_state,
)
from generator.training.stylist import fit_blocks, load_stylist, new_stylist, train_stylist
from generator.training.text_encoder import load_text_encoder, packaged_folder

HELD_OUT_SCENES = 192


def learning_rate(configuration: Configuration, step: int, progress: float) -> float:
    """Linear warm-up by steps, then cosine decay by `progress` in [0, 1] through the budget."""
    low, high = configuration.final_learning_rate, configuration.learning_rate
    decayed = low + (high - low) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0.0), 1.0)))
    return decayed * min(1.0, (step + 1) / configuration.warm_up_steps)


def train_step(state: State, forward: Any, batch: Batch, rate: float) -> float:
    """One optimiser step; returns the loss."""
    for group in state.optimiser.param_groups:
        group["lr"] = rate
    loss = flow_loss(forward, own_share(batch)).mean()
    loss.backward()
    average_gradients(state.model.parameters())
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
    material: Material,
    configuration: Configuration,
    budget: Budget,
    schedule: Schedule,
    output: Path,
) -> None:
    """Run to the end of the budget, storing `checkpoint.pt` in `output` on the way and at the end."""
    forward: Any = torch.compile(state.model) if configuration.compile else state.model
    spread = material.codec.spread
    stored_at = evaluated_at = state.elapsed_s
    running, since = 0.0, 0
    while budget.progress(state) < 1:
        started = time.monotonic()
        rate = learning_rate(configuration, state.step, budget.progress(state))
        batch = draw_batch(material.pool, spread, configuration.batch, configuration.seed, state.step)
        loss = train_step(state, forward, batch, rate)
        state.elapsed_s = agreed(state.elapsed_s + time.monotonic() - started)
        running, since = running + loss, since + 1
        if not is_first():
            continue
        if state.step % schedule.log_every_steps == 0:
            minutes = state.elapsed_s / 60
            print(f"step {state.step} minutes {minutes:.1f} loss {running / since:.4f} rate {rate:.2e}", flush=True)
            running, since = 0.0, 0
        if state.elapsed_s - stored_at > schedule.checkpoint_every_minutes * 60:
            save_checkpoint(state, output / "checkpoint.pt")
            stored_at = state.elapsed_s
        if state.elapsed_s - evaluated_at > schedule.evaluate_every_minutes * 60:
            report(state, material, configuration.batch)
            evaluated_at = state.elapsed_s
    if is_first():
        save_checkpoint(state, output / "checkpoint.pt")
        report(state, material, configuration.batch)


def report(state: State, material: Material, batch: int) -> None:
    """Print the held-out loss of the averaged weights per noise level."""
    losses = held_out_losses(state.average, material.codec.spread, material.held_out, batch)
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
    parser.add_argument("--appearance-minutes", type=float, default=8.0, help="time for learning appearances first")
    parser.add_argument("--stylist-minutes", type=float, default=8.0, help="time for training the stylist next")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=Configuration.scenes)
    parser.add_argument("--held-out-scenes", type=int, default=HELD_OUT_SCENES)
    parser.add_argument("--batch", type=int, default=Configuration.batch)
    parser.add_argument("--channels", type=int, nargs=3, default=Configuration.channels)
    parser.add_argument("--learning-rate", type=float, default=Configuration.learning_rate)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--processes", type=int, default=1, help="processes of one thread, instead of --threads")
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    options.output.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    if options.processes == 1:
        run(options)
        return
    load_material(options)  # made by one process, found by all
    run_in_processes(options.processes, run, options)


@dataclass(frozen=True)
class Material:
    """What a run is made from."""

    codec: EmblemCodec
    appearance: AppearanceCodebook
    pool: Pool
    held_out: Pool


def load_material(options: argparse.Namespace) -> Material:
    """Codec, appearances, training pool and held-out pool of a run; what is missing is made first."""
    codec = load_or_fit_codec(options.output / "codec", options.from_weights, min(options.scenes, BASIS_SCENES))
    appearance = load_or_fit_appearance(options.output / "appearance", options.from_weights, options.appearance_minutes)
    stylist = load_or_fit_stylist(options, codec, appearance)
    tokenizer, encoder = load_text_encoder(options.text_encoder or packaged_folder())

    def pool(count: int, split: Split) -> Pool:
        return load_pool(options.output, codec, appearance, stylist, tokenizer, encoder, count, split, options.threads)

    material = Material(codec, appearance, pool(options.scenes, "train"), pool(options.held_out_scenes, "held-out"))
    with torch.no_grad():
        codec.spread.copy_(measure_spread(material.pool))
    codec.save_pretrained(options.output / "codec-spread")
    return material


def run(options: argparse.Namespace) -> None:
    """One run with these options, or one process's share of it."""
    configuration = Configuration(
        channels=tuple(options.channels),
        batch=options.batch,
        learning_rate=options.learning_rate,
        scenes=options.scenes,
        compile=options.compile,
    )
    material = load_material(options)
    state = start_state(configuration, material.codec, options.from_weights)
    if options.resume:
        load_checkpoint(state, options.output / "checkpoint.pt")
    count = sum(p.numel() for p in state.model.parameters())
    if is_first():
        print(f"parameters {count} scenes {len(material.pool.latents)} step {state.step}", flush=True)
    budget = Budget(options.minutes, options.steps)
    train(state, material, configuration, budget, Schedule(), options.output)


def load_or_fit_appearance(folder: Path, weights: Path | None, minutes: float) -> AppearanceCodebook:
    """The appearances of this run: from shipped weights, from an earlier call, or fitted now and stored."""
    if weights is not None:
        return load_appearance(weights / "appearance").requires_grad_(False)
    if not folder.exists():
        pictures = targets()
        appearance = start(pictures, COMPONENTS)
        fit(appearance, pictures, minutes, None)
        appearance.save_pretrained(folder)
    return load_appearance(folder).requires_grad_(False)


def load_or_fit_stylist(options: argparse.Namespace, codec: EmblemCodec, appearance: AppearanceCodebook) -> PlanStylist:
    """The stylist of this run: from shipped weights, from an earlier call, or trained now and stored."""
    if options.from_weights is not None:
        return load_stylist(options.from_weights / "stylist")
    folder = options.output / "stylist"
    if not folder.exists():
        path = options.output / f"latents-train-{options.scenes}.safetensors"
        latents = cached_latents(path, codec, options.scenes, "train", options.threads)
        stylist = new_stylist()
        train_stylist(stylist, codec, appearance, latents, options.stylist_minutes, None)
        fit_blocks(stylist, codec, appearance, latents)
        stylist.save_pretrained(folder)
    return load_stylist(folder)


def load_or_fit_codec(folder: Path, weights: Path | None, scenes: int = BASIS_SCENES) -> EmblemCodec:
    """The codec of this run: from shipped weights, from an earlier call, or fitted now and stored."""
    if weights is not None:
        return load_codec(weights / "codec")
    if not folder.exists():
        codec = EmblemCodec()
        prepare_codec(codec, scenes)
        codec.save_pretrained(folder)
    return load_codec(folder)


if __name__ == "__main__":
    main()
