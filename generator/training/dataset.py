"""The training pools: rendered scenes and their plan pictures as latents, captions as token features, on disk."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.codec import NATIVE_SIDE_PIXELS, EmblemCodec
from generator.emblem.conditioning import MAX_TOKENS, Conditioning, pool
from generator.emblem.denoise import covered
from generator.emblem.paint import BOX_VALUES, BOXES, COPIES, paint
from generator.emblem.stylist import PlanStylist
from generator.training.glyphs import LARGE_PIXELS, SMALL_PIXELS, prepare_glyphs
from generator.training.patch_basis import fit_basis
from generator.training.render import base_background, render_scene
from generator.training.scenes import Scene, Split, layout_angle, sample_scene
from generator.training.vocabulary import BACKGROUNDS, COLOURS, STYLES

BASIS_SCENES = 800
CHUNK = 200
MANY_SCENES = 500  # for more than this it is worth to render all glyphs beforehand
PLAN_SHIFT = 0.008  # the plan picture of a training scene errs by so much, as a share of the canvas,
PLAN_TURN = 0.03  # by so many radians,
PLAN_STRETCH = 0.02  # and by this share of the side


@dataclass(frozen=True)
class Captions:
    """A caption table: `tokens` (M, 32, 384) half and `mask` (M, 32) uint8; row 0 is the empty caption."""

    tokens: Tensor
    mask: Tensor

    def conditioning(self, rows: Tensor, style: Tensor) -> Conditioning:
        """Conditioning of these rows, in single precision; `style` (N, S) one-hot, or zeros for no caption."""
        tokens, mask = self.tokens[rows].float(), self.mask[rows].long()
        return Conditioning(tokens, mask, pool(tokens, mask), style)


@dataclass(frozen=True)
class Pool:
    """Scenes ready for training the denoiser.

    `latents` and `plans` (N, C, 16, 16) half, `caption` (N,) row of `captions`, `style` (N,) index into
    `STYLES`; `where` (N, 1, 16, 16) half is 1 where plans show things.
    """

    latents: Tensor
    plans: Tensor
    where: Tensor
    caption: Tensor
    style: Tensor
    captions: Captions


def to_signed(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _render_chunk(job: tuple[int, int, Split]) -> Any:
    first, count, split = job
    scenes = [sample_scene(seed, split) for seed in range(first, first + count)]
    return np.stack([render_scene(scene, NATIVE_SIDE_PIXELS) for scene in scenes])


def prepare_codec(codec: EmblemCodec, scenes: int = BASIS_SCENES) -> None:
    """Fit the patch basis on the first training scenes; in place."""
    fit_basis(codec, to_signed(_render_chunk((0, scenes, "train"))))


def backdrops() -> Tensor:
    """The backgrounds as their names alone say, (B, 3, 64, 16) in [0, 1]."""
    pictures = []
    for name in BACKGROUNDS:
        colour, setting = (name, None) if name in COLOURS else (None, name)
        large = base_background(Scene("", (), (), None, colour, setting, "", 0), 128)
        pictures.append(large.reshape(64, 2, 16, 8, 3).mean((1, 3)))
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()


def styles_of(scenes: Sequence[Scene]) -> Tensor:
    """The scenes' styles, one-hot (N, S)."""
    names = list(STYLES)
    return functional.one_hot(torch.tensor([names.index(scene.style) for scene in scenes]), len(names)).float()


def native_backdrops() -> Tensor:
    """`backdrops` at the model's size, (B, 3, 128, 128) in [0, 1]."""
    return functional.interpolate(backdrops(), (NATIVE_SIDE_PIXELS, NATIVE_SIDE_PIXELS), mode="bilinear")


def layout_of(scene: Scene) -> tuple[Tensor, Tensor, Tensor]:
    """A scene's codebook entries (5,), boxes (5, 5) as `paint` takes them, and which are present (5,)."""
    entries, present = torch.zeros(BOXES, dtype=torch.long), torch.zeros(BOXES)
    boxes = torch.tensor([0.5, 0.5, 0.5, 0.0, 1.0]).repeat(BOXES, 1)
    assert boxes.shape == (BOXES, BOX_VALUES)
    slot = 0
    for box in scene.boxes:
        at = slot if box.entity == 0 else COPIES
        slot += box.entity == 0
        entries[at], present[at] = scene.entities[box.entity].glyph, 1
        flip = -1.0 if box.mirrored else 1.0
        boxes[at] = torch.tensor([box.x, box.y, box.side, layout_angle(box), flip])
    return entries, boxes, present


@torch.no_grad()
def painted(decoded: Tensor, scenes: Sequence[Scene], seed: int) -> tuple[Tensor, Tensor]:
    """Painted plans (N, 3, 128, 128) in [-1, 1] of scenes, with slightly wrong boxes, and what things cover
    (N, 1, 128, 128); `decoded` holds the appearances of the whole codebook."""
    source = torch.Generator().manual_seed(seed)
    entries, boxes, present = (torch.stack(part) for part in zip(*(layout_of(scene) for scene in scenes), strict=True))
    wrong = torch.randn((*boxes.shape[:2], 4), generator=source)
    boxes[..., :2] += PLAN_SHIFT * wrong[..., :2]
    boxes[..., 2] *= 1 + PLAN_STRETCH * wrong[..., 2]
    boxes[..., 3] += PLAN_TURN * wrong[..., 3]
    pictures = decoded[entries]
    plain = native_backdrops()[torch.tensor([BACKGROUNDS.index(scene.background) for scene in scenes])]
    return paint(plain, pictures, boxes, present)


@torch.no_grad()
def caption_table(captions: Sequence[str], tokenizer: Any, encoder: Any) -> Captions:
    """Token features and masks of captions, in their order. Captions of like length are encoded together, which saves
    padding."""
    order = sorted(range(len(captions)), key=lambda index: len(captions[index]))
    tokens = torch.zeros(len(captions), MAX_TOKENS, encoder.config.hidden_size, dtype=torch.half)
    masks = torch.zeros(len(captions), MAX_TOKENS, dtype=torch.uint8)
    for start in range(0, len(order), 128):
        rows = order[start : start + 128]
        words = tokenizer(
            [captions[row] for row in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
        )
        mask = words["attention_mask"]
        hidden = encoder(**words).last_hidden_state * mask[..., None]
        tokens[rows, : mask.shape[1]] = hidden.half()
        masks[rows, : mask.shape[1]] = mask.byte()
    return Captions(tokens, masks)


def load_captions(
    folder: Path, scenes: Sequence[Scene], split: Split, tokenizer: Any, encoder: Any, chunk: int = 2000
) -> Captions:
    """The caption table of the scenes with seeds 0..N-1, scene `i` in row `i + 1`; made now or by an earlier call."""
    parts = []
    for first in range(0, len(scenes), chunk):
        some = [scene.caption for scene in scenes[first : first + chunk]]
        path = folder / f"captions-{split}-{first}-{len(some)}.safetensors"
        if not path.exists():
            table = caption_table(["", *some], tokenizer, encoder)
            _store(path, {"tokens": table.tokens, "mask": table.mask})
        stored = load_file(path)
        parts.append({name: tensor if first == 0 else tensor[1:] for name, tensor in stored.items()})
    return Captions(torch.cat([part["tokens"] for part in parts]), torch.cat([part["mask"] for part in parts]))


def cached_latents(path: Path, codec: EmblemCodec, count: int, split: Split, workers: int) -> Tensor:
    """Latents of the scenes with seeds 0..count-1, rendered now or by an earlier call."""
    if not path.exists():
        if count > MANY_SCENES:
            prepare_glyphs(SMALL_PIXELS, LARGE_PIXELS)
        jobs = [(first, min(CHUNK, count - first), split) for first in range(0, count, CHUNK)]
        with ProcessPoolExecutor(workers) as executor, torch.no_grad():
            latents = [codec.encode(to_signed(pixels)).half() for pixels in executor.map(_render_chunk, jobs)]
        _store(path, {"latents": torch.cat(latents)})
    return load_file(path)["latents"]


def cached_plans(
    path: Path, codec: EmblemCodec, appearance: AppearanceCodebook, stylist: PlanStylist, scenes: Sequence[Scene]
) -> tuple[Tensor, Tensor]:
    """Latents of the plan pictures of scenes, as the stylist draws them, and where they show things; made now or by an
    earlier call."""
    if not path.exists():
        with torch.no_grad():
            decoded = appearance.pictures(torch.arange(len(appearance.codes)))
            plans, where = [], []
            for first in range(0, len(scenes), CHUNK):
                some = scenes[first : first + CHUNK]
                pictures, alpha = painted(decoded, some, first)
                plans.append(codec.encode(stylist(pictures, alpha, styles_of(some))).half())
                where.append(covered(alpha).half())
        _store(path, {"plans": torch.cat(plans), "where": torch.cat(where)})
    stored = load_file(path)
    return stored["plans"], stored["where"]


def _store(path: Path, tensors: dict[str, Tensor]) -> None:
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


@torch.no_grad()
def load_pool(
    folder: Path,
    codec: EmblemCodec,
    appearance: AppearanceCodebook,
    stylist: PlanStylist,
    tokenizer: Any,
    encoder: Any,
    count: int,
    split: Split,
    workers: int,
) -> Pool:
    """The pool of the first `count` scenes of a split, made now or by an earlier call with this folder."""
    scenes = [sample_scene(seed, split) for seed in range(count)]
    captions = load_captions(folder, scenes, split, tokenizer, encoder)
    latents = cached_latents(folder / f"latents-{split}-{count}.safetensors", codec, count, split, workers)
    plans, where = cached_plans(folder / f"plans-{split}-{count}.safetensors", codec, appearance, stylist, scenes)
    return Pool(
        latents,
        plans,
        where,
        torch.arange(1, count + 1),
        styles_of(scenes).argmax(1),
        captions,
    )
