"""An independent judge: a small network, trained on rendered scenes only, that names object and background.

It never sees a generated image in training, so what it recognises in one is there for an outside eye too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generator.training.dataset import to_signed
from generator.training.scenes import Scene, Split, render_scene, sample_scene
from generator.training.vocabulary import COLOURS, OBJECTS

INPUT_PIXELS = 64
OBJECT_NAMES = tuple(named.name for named in OBJECTS)
COLOUR_NAMES = tuple(COLOURS)
UNNAMED_BACKGROUND = len(COLOUR_NAMES)


@dataclass(frozen=True)
class Labelled:
    """Pictures (N, 3, 64, 64) in [-1, 1] with the index of their object and of their background colour."""

    pictures: Tensor
    objects: Tensor
    colours: Tensor


class Recogniser(nn.Module):
    """Four strided convolutions, average pooling, two linear heads: object, background colour."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for factor in (1, 2, 4, 6):
            layers += [
                nn.Conv2d(before, width * factor, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width * factor),
                nn.ReLU(),
                nn.Conv2d(width * factor, width * factor, 3, padding=1, bias=False),
                nn.BatchNorm2d(width * factor),
                nn.ReLU(),
            ]
            before = width * factor
        self.features = nn.Sequential(*layers)
        self.objects = nn.Linear(before * 16, len(OBJECT_NAMES))
        self.colours = nn.Linear(before * 16, len(COLOUR_NAMES) + 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, objects) and (N, colours + 1) of pictures (N, 3, 64, 64) in [-1, 1]."""
        features = self.features(pictures).flatten(1)
        objects: Tensor = self.objects(features)
        colours: Tensor = self.colours(features)
        return objects, colours


def shrink(pictures: Tensor) -> Tensor:
    """Average square pictures down to the recogniser's size."""
    return functional.avg_pool2d(pictures, pictures.shape[-1] // INPUT_PIXELS)


def labels(scene: Scene) -> tuple[int, int]:
    """Indices of a one-object scene's object and background colour."""
    colour = UNNAMED_BACKGROUND if scene.colour is None else COLOUR_NAMES.index(scene.colour)
    return OBJECT_NAMES.index(scene.objects[0]), colour


def render_labelled(first_seed: int, count: int, split: Split) -> Labelled:
    """Render `count` one-object scenes, with seeds from `first_seed` on."""
    pictures: list[NDArray[np.uint8]] = []
    truth: list[tuple[int, int]] = []
    seed = first_seed
    while len(pictures) < count:
        scene = sample_scene(seed, split)
        seed += 1
        if len(scene.objects) == 1:
            pictures.append(render_scene(scene, INPUT_PIXELS)[0])
            truth.append(labels(scene))
    columns = torch.tensor(truth)
    return Labelled(to_signed(np.stack(pictures)), columns[:, 0], columns[:, 1])


def disturb(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Shift by up to four pixels, blur some, add mild noise: what tells objects apart survives this."""
    shift_y, shift_x = torch.randint(-4, 5, (2,), generator=source).tolist()
    padded = functional.pad(pictures, (4, 4, 4, 4), mode="replicate")
    moved = padded[..., 4 + shift_y : 4 + shift_y + INPUT_PIXELS, 4 + shift_x : 4 + shift_x + INPUT_PIXELS]
    if torch.rand((), generator=source) < 0.3:
        moved = functional.avg_pool2d(functional.pad(moved, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    amount = 0.1 * torch.rand((len(moved), 1, 1, 1), generator=source)
    return moved + amount * torch.randn(moved.shape, generator=source)


def train_recogniser(data: Labelled, epochs: int, seed: int, batch: int = 64) -> Recogniser:
    """Train from scratch with one-cycle cosine decay; deterministic given data and seed."""
    torch.manual_seed(seed)
    source = torch.Generator().manual_seed(seed)
    model = Recogniser().train()
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.02)
    steps = epochs * (len(data.pictures) // batch)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(data.pictures), (batch,), generator=source)
        objects, colours = model(disturb(data.pictures[rows], source))
        loss = functional.cross_entropy(objects, data.objects[rows], label_smoothing=0.05)
        loss = loss + 0.3 * functional.cross_entropy(colours, data.colours[rows])
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    return model.eval()


@torch.no_grad()
def recognise(model: Recogniser, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the best object (N,), of the best five objects (N, 5), and of the best colour (N,)."""
    chunks = [model(part) for part in pictures.split(64)]
    objects, colours = torch.cat([o for o, _ in chunks]), torch.cat([c for _, c in chunks])
    return objects.argmax(1), objects.topk(5).indices, colours.argmax(1)
