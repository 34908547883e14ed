"""Train the stylist: from painted plans of training scenes to the scenes.

    python -m generator.training.stylist --minutes 6 --output runs/emblem
    python -m generator.training.stylist --minutes 6 --output runs/emblem --resume

Needs OUTPUT/codec, OUTPUT/appearance and the scenes' latents, which a run of `generator.training.train` makes.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.codec import NATIVE_SIDE_PIXELS, EmblemCodec
from generator.emblem.stylist import BLOCK_SIDE_PIXELS, PlanStylist
from generator.training.appearance import load_appearance, loss_of
from generator.training.dataset import cached_latents, painted, styles_of, to_signed
from generator.training.patch_basis import load_codec
from generator.training.render import render_scene
from generator.training.scenes import sample_scene
from generator.training.state import Configuration
from generator.training.vocabulary import STYLES

BATCH = 12
LEARNING_RATE = 3e-3
SEED = 20_261_122
UNSEEN_FIRST_SEED, UNSEEN_SCENES = 3_000_000, 300
GRID_STYLES = ("pixel art",)
STYLED_SHARE = 0.75  # of a batch; styles are harder than the default, and rarer in the scenes


def draw_rows(plain: Tensor, styled: Tensor, step: int) -> Tensor:
    """Rows of this step's scenes: a function of the step."""
    source = torch.Generator().manual_seed(SEED * 1_000_003 + step)
    some = round(BATCH * STYLED_SHARE)
    return torch.cat(
        [
            styled[torch.randint(len(styled), (some,), generator=source)],
            plain[torch.randint(len(plain), (BATCH - some,), generator=source)],
        ]
    )


def train_stylist(
    stylist: PlanStylist,
    codec: EmblemCodec,
    appearance: AppearanceCodebook,
    latents: Tensor,
    minutes: float | None,
    steps: int | None,
) -> int:
    """Train by absolute error of pixels and edges, in place, for so many minutes or steps; returns the steps taken."""
    scenes = [sample_scene(seed) for seed in range(len(latents))]
    is_styled = torch.tensor([bool(scene.style) and scene.style != "flat" for scene in scenes])
    plain, styled = (~is_styled).nonzero()[:, 0], is_styled.nonzero()[:, 0]
    with torch.no_grad():
        decoded = appearance.pictures(torch.arange(len(appearance.codes)))
    trained = [p for name, p in stylist.named_parameters() if name != "blocks"]
    optimiser = torch.optim.AdamW(trained, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    started, step, running = time.monotonic(), 0, 0.0
    while True:
        used = step / steps if steps else (time.monotonic() - started) / 60 / (minutes or 1.0)
        if used >= 1:
            stylist.eval()
            return step
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (step + 1) / 30) * (0.01 + 0.495 * (1 + math.cos(math.pi * used)))
        rows = draw_rows(plain, styled, step)
        some = [scenes[row] for row in rows.tolist()]
        with torch.no_grad():
            wanted = codec.decode(latents[rows].float())
            pictures, alpha = painted(decoded, some, step)
        with torch.autocast("cpu", torch.bfloat16):
            drawn = stylist(pictures, alpha, styles_of(some))
        loss = loss_of(drawn.float(), wanted)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(stylist.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step, running = step + 1, running + float(loss.detach())
        if step % 50 == 0:
            print(f"stylist step {step} used {used:.2f} loss {running / 50:.4f}", flush=True)
            running = 0.0


@torch.no_grad()
def fit_blocks(
    stylist: PlanStylist, codec: EmblemCodec, appearance: AppearanceCodebook, latents: Tensor, most: int = 400
) -> None:
    """Set the linear map of blocks of the styles that have a grid, by least squares over at most `most` scenes, in
    place."""
    scenes = [sample_scene(seed) for seed in range(len(latents))]
    decoded = appearance.pictures(torch.arange(len(appearance.codes)))
    for index, style in enumerate(STYLES):
        rows = [row for row, scene in enumerate(scenes) if scene.style == style][:most]
        if style not in GRID_STYLES or not rows:
            continue
        stylist.blocks[index] = 0
        values = stylist.blocks.shape[1]
        square, cross = torch.zeros(values, values).double(), torch.zeros(values, values).double()
        for first in range(0, len(rows), BATCH):
            some = rows[first : first + BATCH]
            shown = [scenes[row] for row in some]
            drawn = stylist(*painted(decoded, shown, first), styles_of(shown))
            wrong = codec.decode(latents[some].float()) - drawn
            given, missing = (
                functional.pixel_unshuffle(part, BLOCK_SIDE_PIXELS).transpose(0, 1).flatten(1).double()
                for part in (drawn, wrong)
            )
            square += given @ given.T
            cross += missing @ given.T
        ridge = 1e-4 * square.diagonal().mean() * torch.eye(values).double()
        stylist.blocks[index] = torch.linalg.solve(square + ridge, cross.T).T.float()


@torch.no_grad()
def errors(stylist: PlanStylist, appearance: AppearanceCodebook) -> dict[str, tuple[float, float]]:
    """Mean absolute error by style over scenes that no part was trained on: of the painted plan, and of the stylist."""
    decoded = appearance.pictures(torch.arange(len(appearance.codes)))
    found: dict[str, tuple[float, float]] = {}
    scenes = [sample_scene(UNSEEN_FIRST_SEED + seed) for seed in range(UNSEEN_SCENES)]
    for style in STYLES:
        some = [scene for scene in scenes if scene.style == style][:24]
        wanted = to_signed(np.stack([render_scene(scene, NATIVE_SIDE_PIXELS) for scene in some]))
        pictures, alpha = painted(decoded, some, 0)
        drawn = stylist(pictures, alpha, styles_of(some))
        found[style or "default"] = (
            float((pictures - wanted).abs().mean()),
            float((drawn - wanted).abs().mean()),
        )
    return found


def new_stylist() -> PlanStylist:
    """A stylist that leaves plans as they are."""
    torch.manual_seed(SEED)
    stylist: PlanStylist = PlanStylist(len(STYLES))
    return stylist


def load_stylist(folder: Path) -> PlanStylist:
    """A stored stylist, in single precision."""
    stylist: PlanStylist = PlanStylist.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    return stylist.requires_grad_(False).eval()


def main(arguments: list[str] | None = None) -> None:
    """Command line: train and store `OUTPUT/stylist`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="start from OUTPUT/stylist, with a fresh optimiser")
    parser.add_argument("--scenes", type=int, default=Configuration.scenes)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    torch.set_num_threads(options.threads)
    codec, appearance = load_codec(options.output / "codec"), load_appearance(options.output / "appearance")
    path = options.output / f"latents-train-{options.scenes}.safetensors"
    latents = cached_latents(path, codec, options.scenes, "train", options.threads)
    folder = options.output / "stylist"
    stylist = load_stylist(folder).requires_grad_(True) if options.resume else new_stylist()
    appearance.requires_grad_(False)
    steps = train_stylist(stylist, codec, appearance, latents, options.minutes, options.steps)
    fit_blocks(stylist, codec, appearance, latents)
    stylist.save_pretrained(folder)
    listing = " ".join(
        f"{style}:{before:.4f}>{after:.4f}" for style, (before, after) in errors(stylist, appearance).items()
    )
    print(f"stylist steps {steps} parameters {sum(p.numel() for p in stylist.parameters())}")
    print(f"absolute error of plan > stylist by style, over unseen scenes: {listing}", flush=True)


if __name__ == "__main__":
    main()
