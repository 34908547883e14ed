"""Learn the codebook of appearances: codes and decoder together, by descent on the glyphs themselves.

python -m generator.training.appearance --minutes 6 --output runs/emblem
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.appearance import GRID, SIDE_PIXELS, AppearanceCodebook
from generator.emblem.codec import PATCH_SIDE_PIXELS
from generator.training.glyphs import SMALL_PIXELS, extent_of, glyph, prepare_glyphs
from generator.training.vocabulary import glyph_names

COMPONENTS = 48  # values of a code at each of its 8x8 places
BATCH = 64
LEARNING_RATE = 2e-3
CODE_LEARNING_RATE = 2e-2  # a code meets one batch in fifteen
SEED = 20_261_122
GRADIENT_WEIGHT = 0.5


def targets() -> Tensor:
    """All glyphs as premultiplied RGBA (N, 4, 64, 64), float in [0, 1]."""
    factor = SMALL_PIXELS // SIDE_PIXELS
    prepare_glyphs(SMALL_PIXELS)
    small = np.stack(
        [
            glyph(index, SMALL_PIXELS).reshape(SIDE_PIXELS, factor, SIDE_PIXELS, factor, 4).mean((1, 3)) / 255
            for index in range(len(glyph_names()))
        ]
    )
    return torch.from_numpy(small).float().permute(0, 3, 1, 2).contiguous()


@torch.no_grad()
def start(pictures: Tensor, components: int) -> AppearanceCodebook:
    """A codebook that starts from the principal components of the glyphs' patches."""
    torch.manual_seed(SEED)
    model: AppearanceCodebook = AppearanceCodebook(len(pictures), components)
    patches = functional.pixel_unshuffle(pictures, PATCH_SIDE_PIXELS).permute(0, 2, 3, 1).flatten(0, 2)
    shown = patches[patches.abs().sum(1) > 0]
    mean = shown.mean(0)
    values, vectors = torch.linalg.eigh((shown - mean).T @ (shown - mean) / len(shown))
    basis, spread = vectors.flip(1)[:, :components], values.flip(0)[:components].sqrt()
    codes = (patches - mean) @ basis / spread
    model.codes.copy_(codes.reshape(len(pictures), GRID, GRID, components).permute(0, 3, 1, 2))
    model.plain.weight.copy_((basis * spread)[..., None, None])
    cast(Tensor, model.plain.bias).copy_(mean)
    return model


def loss_of(decoded: Tensor, wanted: Tensor) -> Tensor:
    """Absolute error of the pictures and of their differences between neighbours."""
    error = decoded - wanted
    across, down = error.diff(dim=3).abs().mean(), error.diff(dim=2).abs().mean()
    return error.abs().mean() + GRADIENT_WEIGHT * (across + down)


@torch.no_grad()
def fidelity(model: AppearanceCodebook, pictures: Tensor) -> tuple[float, float]:
    """PSNR in decibels over all glyphs, and of the glyph at the worst twentieth."""
    errors = torch.cat(
        [
            (model.pictures(rows) - pictures[rows]).square().mean((1, 2, 3))
            for rows in torch.arange(len(pictures)).split(128)
        ]
    )
    return -10 * math.log10(float(errors.mean())), -10 * math.log10(float(errors.quantile(0.95)))


def fit(model: AppearanceCodebook, pictures: Tensor, minutes: float | None, steps: int | None) -> None:
    """Learn codes and decoder in so many minutes or steps, in place; deterministic for steps."""
    source = torch.Generator().manual_seed(SEED)
    shared = [p for name, p in model.named_parameters() if name != "codes" and p.requires_grad]
    rates = (CODE_LEARNING_RATE, LEARNING_RATE)
    groups = [{"params": [model.codes]}, {"params": shared}]
    optimiser = torch.optim.AdamW(groups, LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.0)
    started, step = time.monotonic(), 0
    while True:
        used = step / steps if steps else (time.monotonic() - started) / 60 / (minutes or 1.0)
        if used >= 1:
            model.eval()
            return
        decay = min(1.0, (step + 1) / 50) * (0.02 + 0.49 * (1 + math.cos(math.pi * used)))
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * decay
        rows = torch.randint(len(pictures), (BATCH,), generator=source)
        loss = loss_of(model(rows), pictures[rows])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        if step % 100 == 0:
            overall, worst = fidelity(model, pictures)
            print(
                f"appearance step {step} loss {float(loss.detach()):.4f} psnr {overall:.2f} worst {worst:.2f}",
                flush=True,
            )


def load_appearance(folder: Path) -> AppearanceCodebook:
    """A stored codebook, in single precision."""
    model: AppearanceCodebook = AppearanceCodebook.from_pretrained(folder, dtype=torch.float32, low_cpu_mem_usage=False)
    return model


def main(arguments: list[str] | None = None) -> None:
    """Command line: fit and store `OUTPUT/appearance`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resume", action="store_true", help="start from OUTPUT/appearance, with a fresh optimiser")
    parser.add_argument("--components", type=int, default=COMPONENTS)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    torch.set_num_threads(options.threads)
    pictures = targets()
    folder = options.output / "appearance"
    model = load_appearance(folder) if options.resume else start(pictures, options.components)
    fit(model, pictures, options.minutes, options.steps)
    with torch.no_grad():
        model.extents.copy_(torch.tensor([extent_of(index) for index in range(len(pictures))]))
    overall, worst = fidelity(model, pictures)
    print(f"appearance: {len(pictures)} glyphs, psnr {overall:.2f} dB, worst twentieth {worst:.2f} dB")
    model.save_pretrained(folder)


if __name__ == "__main__":
    main()
