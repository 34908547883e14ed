"""An independent judge: a small detector trained on rendered scenes, never on generated images.

python -m generator.training.recogniser --minutes 12 --output runs/judge.safetensors

It finds the centres and sides of things, and a classifier names what each box holds, so that objects, counts and
relations can be read off.
"""

from __future__ import annotations

import argparse
import math
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from generator.emblem.codec import NATIVE_SIDE_PIXELS
from generator.training.render import render_scene
from generator.training.scenes import Scene, sample_scene
from generator.training.vocabulary import COLOURS, GENDERS, TONES, objects

GRID = 16
FIRST_SEED = 5_000_000  # scenes that no part of the generator has seen
CENTRE_THRESHOLD = 0.3
CROP_PIXELS = 48
DETECTOR_EVERY = 2  # steps; the namer has far more to learn
PIXELS = NATIVE_SIDE_PIXELS


@dataclass(frozen=True)
class Labelled:
    """Scenes with answers: pictures (N, 128, 128, 3) uint8; heat (N, 16, 16) in [0, 1] with 1 at centres; log side
    (N, 16, 16) near centres, 0 elsewhere; colour (N,), -1 for a setting or a style that hides it; and for each of M
    things its picture, box (M, 3: x, y, side), object, and gender and tone, -1 unless it is a person."""

    pictures: NDArray[np.uint8]
    heat: Tensor
    sides: Tensor
    colours: Tensor
    of_picture: Tensor
    boxes: Tensor
    things: Tensor
    genders: Tensor
    tones: Tensor


@dataclass(frozen=True)
class Found:
    """One thing found in a picture: object, position and side as shares of the canvas, gender, tone, and certainty."""

    thing: int
    x: float
    y: float
    side: float
    gender: int
    tone: int
    score: float


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        return functional.silu(features + self.layers(features))


def _down(before: int, after: int, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2, bias=False), nn.BatchNorm2d(after), nn.SiLU()
    )


class Detector(nn.Module):
    """Where things are, on a 16x16 grid, and before which colour: in the manner of CenterNet (Zhou et al., 2019,
    "Objects as Points"), with one heat map for all objects.

    Input (N, 3, 128, 128) in [-1, 1]; output heat logits and log sides (N, 2, 16, 16), and colour logits (N, 12).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_down(3, 24, 5), _down(24, 48), _down(48, 64), _Block(64))
        self.middle = nn.Sequential(_down(64, 96), _Block(96))
        self.deep = nn.Sequential(_down(96, 128), _Block(128))
        self.from_deep = nn.Conv2d(128, 96, 1)
        self.from_middle = nn.Conv2d(96, 64, 1)
        self.join_middle, self.join = _Block(96), _Block(64)
        self.exit = nn.Conv2d(64, 2, 3, padding=1)
        self.colour = nn.Linear(3 * 3 * 64, len(COLOURS))
        nn.init.constant_(cast(Tensor, self.exit.bias)[:1], -3.0)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem(pictures)
        middle = self.middle(fine)
        deep = self.deep(middle)
        middle = self.join_middle(middle + functional.interpolate(self.from_deep(deep), scale_factor=2.0))
        fine = self.join(fine + functional.interpolate(self.from_middle(middle), scale_factor=2.0))
        border = functional.adaptive_avg_pool2d(pictures, 8).flatten(1)
        return self.exit(fine), self.colour(torch.cat([border, border.square(), border.abs()], 1))


class Namer(nn.Module):
    """What a box holds: crops (M, 3, 48, 48) in [-1, 1] to logits (M, objects + 3 + 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _down(3, 32, 5), _Block(32), _down(32, 64), _Block(64), _down(64, 128), _Block(128), _down(128, 192)
        )
        self.exit = nn.Linear(192 * 9, len(objects()) + len(GENDERS) + len(TONES))

    def forward(self, crops: Tensor) -> Tensor:
        answer: Tensor = self.exit(functional.dropout(self.layers(crops).flatten(1), 0.2, self.training))
        return answer


class Recogniser(nn.Module):
    """A detector, and a namer of what it finds."""

    def __init__(self) -> None:
        super().__init__()
        self.detector, self.namer = Detector(), Namer()


def crop(pictures: Tensor, boxes: Tensor) -> Tensor:
    """Crops (M, 3, 48, 48) of pictures (M, 3, 128, 128) around boxes (M, 3: x, y, side), with a little of what is
    around them."""
    x, y, side = boxes.unbind(1)
    wide = 1.1 * side
    zero = torch.zeros_like(x)
    matrix = torch.stack([torch.stack([wide, zero, 2 * x - 1], 1), torch.stack([zero, wide, 2 * y - 1], 1)], 1)
    grid = functional.affine_grid(matrix, [len(boxes), 3, CROP_PIXELS, CROP_PIXELS], align_corners=False)
    return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _label(scenes: list[Scene]) -> dict[str, Tensor]:
    shape = (len(scenes), GRID, GRID)
    heat, sides = torch.zeros(shape), torch.zeros(shape)
    colours = torch.full((len(scenes),), -1)
    rows: list[tuple[int, int, int, int]] = []
    boxes: list[tuple[float, float, float]] = []
    axis = (torch.arange(GRID) + 0.5) / GRID
    for index, scene in enumerate(scenes):
        if scene.colour is not None and scene.style in ("", "flat", "outline"):
            colours[index] = list(COLOURS).index(scene.colour)
        for box in sorted(scene.boxes, key=lambda box: -box.entity):
            entity = scene.entities[box.entity]
            away = ((axis[None, :] - box.x) ** 2 + (axis[:, None] - box.y) ** 2).sqrt() * GRID
            bump = torch.exp(-away.square() / (2 * 0.7**2))
            row, column = min(GRID - 1, int(box.y * GRID)), min(GRID - 1, int(box.x * GRID))
            bump[row, column] = 1.0
            heat[index] = torch.maximum(heat[index], bump)
            near = away < 1.1
            near[row, column] = True
            sides[index][near] = math.log(box.side)
            person = entity.named.is_person
            rows.append((index, entity.index, entity.gender if person else -1, entity.tone if person else -1))
            boxes.append((box.x, box.y, box.side))
    of_picture, things, genders, tones = torch.tensor(rows).unbind(1)
    return {
        "heat": heat,
        "sides": sides,
        "colours": colours,
        "of_picture": of_picture,
        "boxes": torch.tensor(boxes),
        "things": things,
        "genders": genders,
        "tones": tones,
    }


def _render(seeds: range) -> NDArray[np.uint8]:
    return np.stack([render_scene(sample_scene(seed), PIXELS) for seed in seeds])


def label_scenes(first: int, count: int, workers: int = 1) -> Labelled:
    """Render and label the training-split scenes of seeds first..first+count-1."""
    jobs = [range(at, min(at + 250, first + count)) for at in range(first, first + count, 250)]
    with ProcessPoolExecutor(workers) as executor:
        pictures = np.concatenate(list(executor.map(_render, jobs)))
    return Labelled(pictures, **_label([sample_scene(seed) for seed in range(first, first + count)]))


def signed(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def disturb(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Blur and noise: what tells objects apart survives this, and a generated picture may have either."""
    if torch.rand((), generator=source) < 0.4:
        pictures = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = 0.1 * torch.rand((len(pictures), 1, 1, 1), generator=source)
    return pictures + amount * torch.randn(pictures.shape, generator=source)


def detection_loss(output: Tensor, colour: Tensor, data: Labelled, rows: Tensor) -> Tensor:
    """Penalty-reduced focal loss of the heat map, absolute error of sides, cross-entropy of colours."""
    heat, wanted = output[:, 0].sigmoid().clamp(1e-4, 1 - 1e-4), data.heat[rows]
    positive = (wanted == 1).float()
    hit = positive * (1 - heat).square() * heat.log()
    miss = (1 - positive) * (1 - wanted) ** 4 * heat.square() * (1 - heat).log()
    loss = -(hit + miss).sum() / positive.sum().clamp(min=1)
    near = data.sides[rows] != 0
    loss = loss + (output[:, 1] - data.sides[rows])[near].abs().mean()
    return loss + 0.5 * functional.cross_entropy(colour, data.colours[rows], ignore_index=-1)


def naming_loss(output: Tensor, data: Labelled, rows: Tensor) -> Tensor:
    """Cross-entropy of objects, and of gender and tone where there are people."""
    things, genders, tones = output.split([len(objects()), len(GENDERS), len(TONES)], 1)
    loss = functional.cross_entropy(things, data.things[rows], label_smoothing=0.03)
    for logits, answers in ((genders, data.genders[rows]), (tones, data.tones[rows])):
        if bool((answers >= 0).any()):
            loss = loss + 0.3 * functional.cross_entropy(logits, answers, ignore_index=-1)
    return loss


def train_recogniser(
    data: Labelled,
    minutes: float | None,
    steps: int | None,
    seed: int,
    batch: int = 32,
    model: Recogniser | None = None,
) -> Recogniser:
    """Train both parts with cosine decay, from scratch or from a trained `model`, for so many minutes or steps;
    deterministic for steps."""
    torch.manual_seed(seed)
    source = torch.Generator().manual_seed(seed)
    model = (Recogniser() if model is None else model).train()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.03)
    started, step, running = time.monotonic(), 0, [0.0, 0.0]
    while True:
        used = step / steps if steps else (time.monotonic() - started) / 60 / (minutes or 1.0)
        if used >= 1:
            return model.eval()
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (0.005 + 0.4975 * (1 + math.cos(math.pi * used)))
        losses = [_naming_step(model, data, source, 4 * batch)]
        if step % DETECTOR_EVERY == 0:
            losses.append(_detection_step(model, data, source, batch))
        torch.stack(losses).sum().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        step += 1
        running[0] += float(losses[0].detach())
        running[1] += float(losses[-1].detach()) if len(losses) > 1 else 0.0
        if step % 100 == 0:
            shown = f"naming {running[0] / 100:.4f} detection {running[1] * DETECTOR_EVERY / 100:.4f}"
            print(f"recogniser step {step} used {used:.2f} loss {shown}", flush=True)
            running = [0.0, 0.0]


def _detection_step(model: Recogniser, data: Labelled, source: torch.Generator, batch: int) -> Tensor:
    rows = torch.randint(len(data.pictures), (batch,), generator=source)
    with torch.autocast("cpu", torch.bfloat16):
        output, colour = model.detector(disturb(signed(data.pictures[rows.numpy()]), source))
    return detection_loss(output.float(), colour.float(), data, rows)


def _naming_step(model: Recogniser, data: Labelled, source: torch.Generator, batch: int) -> Tensor:
    rows = torch.randint(len(data.things), (batch,), generator=source)
    wrong = torch.randn((batch, 3), generator=source)
    box = data.boxes[rows]
    shift = box[:, :2] + 0.06 * box[:, 2:] * wrong[:, :2]
    boxes = torch.cat([shift, box[:, 2:] * torch.exp(0.1 * wrong[:, 2:])], 1)
    pictures = signed(data.pictures[data.of_picture[rows].numpy()])
    with torch.autocast("cpu", torch.bfloat16):
        output = model.namer(disturb(crop(pictures, boxes), source))
    return naming_loss(output.float(), data, rows)


@torch.no_grad()
def recognise(model: Recogniser, pictures: Tensor) -> tuple[list[list[Found]], Tensor]:
    """What stands in pictures (N, 3, 128, 128) in [-1, 1], the surest first, and the background colours (N,)."""
    found: list[list[Found]] = []
    colours = []
    for part in pictures.split(64):
        output, colour = model.detector(part)
        colours.append(colour.argmax(1))
        heat = output[:, 0].sigmoid()
        peak = (heat == functional.max_pool2d(heat[:, None], 3, 1, 1)[:, 0]) & (heat > CENTRE_THRESHOLD)
        found += [_name_peaks(model, part[i : i + 1], heat[i], output[i, 1], peak[i]) for i in range(len(part))]
    return found, torch.cat(colours)


def _name_peaks(model: Recogniser, picture: Tensor, heat: Tensor, sides: Tensor, peak: Tensor) -> list[Found]:
    """What is named at the peaks of one picture (1, 3, 128, 128)."""
    places = peak.nonzero()
    if not len(places):
        return []
    centres = (places.flip(1) + 0.5) / GRID
    side = sides[peak].exp().clamp(0.1, 1.0)
    logits = model.namer(crop(picture.expand(len(places), -1, -1, -1), torch.cat([centres, side[:, None]], 1)))
    things, genders, tones = logits.split([len(objects()), len(GENDERS), len(TONES)], 1)
    columns = (things.argmax(1), centres[:, 0], centres[:, 1], side, genders.argmax(1), tones.argmax(1), heat[peak])
    named = [Found(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    return sorted(named, key=lambda place: -place.score)


def load_recogniser(path: Path) -> Recogniser:
    """A stored recogniser."""
    model = Recogniser()
    model.load_state_dict(load_file(path))
    return model.eval()


def main(arguments: list[str] | None = None) -> None:
    """Command line: train and store the recogniser."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=8_000)
    parser.add_argument("--resume", action="store_true", help="start from OUTPUT, with a fresh optimiser")
    parser.add_argument("--skip", type=int, default=0, help="scenes to leave out, those of an earlier run")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    if options.minutes is None and options.steps is None:
        parser.error("give --minutes or --steps")
    torch.set_num_threads(options.threads)
    data = label_scenes(FIRST_SEED + options.skip, options.scenes, options.threads)
    model = load_recogniser(options.output) if options.resume else None
    model = train_recogniser(data, options.minutes, options.steps, seed=1 + options.skip, model=model)
    partial = options.output.with_suffix(".partial")
    save_file(model.state_dict(), partial)
    partial.replace(options.output)


if __name__ == "__main__":
    main()
