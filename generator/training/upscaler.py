"""Train the codec's upscaler: from 128-pixel reconstructions of rendered scenes to 512-pixel renders.

    python -m generator.training.upscaler --minutes 12 --output runs/emblem [--resume]

Inputs pass through the patch basis and get mild noise there, so the network also removes the basis's ringing and
the residue that sampling leaves.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from generator.emblem.codec import ENLARGEMENT, NATIVE_SIDE_PIXELS, EmblemCodec
from generator.training.dataset import to_signed
from generator.training.patch_basis import load_codec, peak_signal_to_noise
from generator.training.render import render_scene
from generator.training.scenes import Split, sample_scene
from generator.training.train import load_or_fit_codec

CROP_PIXELS = 48  # side of a crop at the native size
BATCH = 12
LEARNING_RATE = 1e-3
LARGEST_NOISE = 0.3  # in units of the latents, whose mean variance is one
EDGE_WEIGHT = 0.5


@dataclass(frozen=True)
class Renders:
    """Scenes at 512 (N, 512, 512, 3) uint8 and their latents (N, C, 16, 16)."""

    large: NDArray[np.uint8]
    latents: Tensor


@torch.no_grad()
def render_pairs(codec: EmblemCodec, seeds: range, split: Split) -> Renders:
    """Render the scenes of these seeds; the latents are those of the scene averaged down to 128 pixels."""
    side = NATIVE_SIDE_PIXELS * ENLARGEMENT
    large = np.empty((len(seeds), side, side, 3), np.uint8)
    latents = []
    for index, seed in enumerate(seeds):
        large[index] = render_scene(sample_scene(seed, split), side)
        latents.append(codec.encode(functional.avg_pool2d(to_signed(large[index : index + 1]), ENLARGEMENT)))
    return Renders(large, torch.cat(latents))


@torch.no_grad()
def draw_crops(codec: EmblemCodec, renders: Renders, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Inputs (B, 3, c, c) and targets (B, 3, 4c, 4c) of this step: a function of (seed, step)."""
    source = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = torch.randint(len(renders.latents), (BATCH,), generator=source)
    noise = torch.randn(renders.latents[rows].shape, generator=source)
    amount = torch.rand((BATCH, 1, 1, 1), generator=source) * LARGEST_NOISE
    small = codec.decode(renders.latents[rows] + amount * noise)
    corners = torch.randint(NATIVE_SIDE_PIXELS - CROP_PIXELS + 1, (BATCH, 2), generator=source).tolist()
    inputs, targets = [], []
    for index, (row, (y, x)) in enumerate(zip(rows.tolist(), corners, strict=True)):
        inputs.append(small[index, :, y : y + CROP_PIXELS, x : x + CROP_PIXELS])
        top, left, side = y * ENLARGEMENT, x * ENLARGEMENT, CROP_PIXELS * ENLARGEMENT
        targets.append(to_signed(renders.large[row : row + 1, top : top + side, left : left + side]))
    return torch.stack(inputs), torch.cat(targets)


def restoration_loss(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error of pixels, and of their differences across and down, which keeps edges sharp."""
    error = estimate - target
    across, down = error[..., :, 1:] - error[..., :, :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.abs().mean() + EDGE_WEIGHT * (across.abs().mean() + down.abs().mean())


@torch.no_grad()
def held_out_quality(codec: EmblemCodec, renders: Renders) -> tuple[float, float]:
    """PSNR in decibels of the upscaler, and of bilinear enlargement, over held-out scenes without noise."""
    ours, bilinear = [], []
    for index in range(len(renders.latents)):
        target = to_signed(renders.large[index : index + 1])
        small = codec.decode(renders.latents[index : index + 1])
        ours.append(peak_signal_to_noise(target, codec.enlarge(small)))
        plain = functional.interpolate(small, scale_factor=ENLARGEMENT, mode="bilinear", align_corners=False)
        bilinear.append(peak_signal_to_noise(target, plain))
    return float(np.mean(ours)), float(np.mean(bilinear))


def train_upscaler(codec: EmblemCodec, renders: Renders, minutes: float, seed: int, log_every: int = 100) -> int:
    """Train for so many minutes with cosine decay; in place. Returns the number of steps."""
    upscaler = codec.upscaler.requires_grad_(True).train()
    optimiser = torch.optim.AdamW(upscaler.parameters(), LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    started, step, running = time.monotonic(), 0, 0.0
    while (progress := (time.monotonic() - started) / 60 / minutes) < 1:
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        small, large = draw_crops(codec, renders, seed, step)
        with torch.autocast("cpu", torch.bfloat16):
            estimate = upscaler(small)
        loss = restoration_loss(estimate.float(), large)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(upscaler.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step, running = step + 1, running + float(loss.detach())
        if step % log_every == 0:
            print(f"upscaler step {step} progress {progress:.2f} loss {running / log_every:.5f}", flush=True)
            running = 0.0
    upscaler.requires_grad_(False).eval()
    return step


def main(arguments: list[str] | None = None) -> None:
    """Command line: trains the upscaler of OUTPUT/codec and stores it in OUTPUT/codec-trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="start from OUTPUT/codec-trained")
    parser.add_argument("--upscaler-from", type=Path, help="start from the upscaler of this codec folder")
    parser.add_argument("--scenes", type=int, default=600)
    parser.add_argument("--held-out-scenes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=20_261_122)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    finished = options.output / "codec-trained"
    codec = load_codec(finished) if options.resume else load_or_fit_codec(options.output / "codec", None)
    if options.upscaler_from is not None:
        codec.upscaler = load_codec(options.upscaler_from).upscaler

    renders = render_pairs(codec, range(options.scenes), "train")
    steps = train_upscaler(codec, renders, options.minutes, options.seed + options.resume)
    codec.save_pretrained(finished)
    ours, bilinear = held_out_quality(codec, render_pairs(codec, range(options.held_out_scenes), "held-out"))
    print(f"upscaler steps {steps} held-out PSNR {ours:.2f} dB, bilinear {bilinear:.2f} dB", flush=True)


if __name__ == "__main__":
    main()
