"""Whether generated pictures copy training scenes: distances to the nearest of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.codec import NATIVE_SIDE_PIXELS
from generator.training.recogniser import signed
from generator.training.render import render_scene
from generator.training.scenes import Split, sample_scene

COMPARED_PIXELS = 32
HELD_OUT_FIRST_SEED = 20_000


def small(pictures: Tensor) -> Tensor:
    """Pictures (N, 3, 128, 128) in [-1, 1] as vectors of their 32x32 averages in [0, 1]."""
    return functional.avg_pool2d(pictures, NATIVE_SIDE_PIXELS // COMPARED_PIXELS).flatten(1) / 2 + 0.5


def rendered(first: int, count: int, split: Split) -> Tensor:
    """`small` of the rendered scenes of these seeds."""
    scenes = (sample_scene(seed, split) for seed in range(first, first + count))
    return torch.cat([small(signed(render_scene(scene, NATIVE_SIDE_PIXELS)[None])) for scene in scenes])


def nearest(vectors: Tensor, among: Tensor) -> list[float]:
    """Root mean square difference (N,) of vectors (N, D) to the nearest of `among` (M, D)."""
    distances: list[float] = (torch.cdist(vectors, among).amin(1) / vectors.shape[1] ** 0.5).tolist()
    return distances


def nearest_scenes(pictures: Tensor, count: int) -> tuple[list[float], list[float]]:
    """Distances of pictures (N, 3, 128, 128) in [-1, 1] to the nearest of the first `count` training scenes, and of as
    many held-out rendered scenes, which cannot be copies."""
    training = rendered(0, count, "train")
    others = rendered(HELD_OUT_FIRST_SEED, len(pictures), "held-out")
    return nearest(small(pictures), training), nearest(others, training)
