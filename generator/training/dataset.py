"""The training pool: rendered scenes as latents, foreground coverage and caption features, kept on disk."""

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

from generator.emblem.codec import NATIVE_SIDE_PIXELS, PATCH_SIDE_PIXELS, EmblemCodec
from generator.emblem.conditioning import Conditioning, encode_prompts, pool
from generator.training.patch_basis import fit_basis
from generator.training.scenes import Split, render_scene, sample_scene

BASIS_SCENES = 1000
CHUNK = 250


@dataclass(frozen=True)
class Pool:
    """Scenes ready for training.

    `latents` (N, 32, 16, 16) half, `coverage` (N, 16, 16) half in [0, 1], `caption` (N,) row of the caption
    table, `tokens` (M, 32, 384) half and `mask` (M, 32): the caption table. Row 0 of the table is the empty
    caption.
    """

    latents: Tensor
    coverage: Tensor
    caption: Tensor
    tokens: Tensor
    mask: Tensor

    def conditioning(self, rows: Tensor) -> Conditioning:
        """Conditioning of these rows of the caption table, in single precision."""
        tokens, mask = self.tokens[rows].float(), self.mask[rows].long()
        return Conditioning(tokens, mask, pool(tokens, mask))


def to_signed(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """uint8 (N, H, W, 3) to float (N, 3, H, W) in [-1, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1


def _render_chunk(job: tuple[int, int, Split]) -> tuple[Any, Any]:
    first, count, split = job
    pairs = [render_scene(sample_scene(seed, split), NATIVE_SIDE_PIXELS) for seed in range(first, first + count)]
    return np.stack([p for p, _ in pairs]), np.stack([c for _, c in pairs]).astype(np.float32)


def prepare_codec(codec: EmblemCodec, scenes: int = BASIS_SCENES) -> None:
    """Fit the patch basis on the first training scenes; in place."""
    pixels, _ = _render_chunk((0, scenes, "train"))
    fit_basis(codec, to_signed(pixels))


def caption_table(captions: Sequence[str], tokenizer: Any, encoder: Any) -> tuple[Tensor, Tensor]:
    """Token features (half) and masks (uint8) of captions."""
    tokens, masks = [], []
    for start in range(0, len(captions), 256):
        encoded = encode_prompts(tokenizer, encoder, captions[start : start + 256])
        tokens.append(encoded.tokens.half())
        masks.append(encoded.mask.byte())
    return torch.cat(tokens), torch.cat(masks)


def build_pool(codec: EmblemCodec, tokenizer: Any, encoder: Any, count: int, split: Split, workers: int) -> Pool:
    """Render scenes with seeds 0..count-1 of a split and encode their captions."""
    jobs = [(first, min(CHUNK, count - first), split) for first in range(0, count, CHUNK)]
    latents, coverages = [], []
    with ProcessPoolExecutor(workers) as executor:
        for pixels, coverage in executor.map(_render_chunk, jobs):
            with torch.no_grad():
                latents.append(codec.encode(to_signed(pixels)).half())
            pooled = functional.avg_pool2d(torch.from_numpy(coverage)[:, None], PATCH_SIDE_PIXELS)
            coverages.append(pooled[:, 0].half())
    captions = [sample_scene(seed, split).caption for seed in range(count)]
    table = ["", *sorted(set(captions))]
    row = {caption: index for index, caption in enumerate(table)}
    tokens, mask = caption_table(table, tokenizer, encoder)
    index = torch.tensor([row[caption] for caption in captions])
    return Pool(torch.cat(latents), torch.cat(coverages), index, tokens, mask)


def cached_pool(path: Path, **arguments: Any) -> Pool:
    """`build_pool`, or what an earlier call with this path has stored."""
    if not path.exists():
        pool_ = build_pool(**arguments)
        partial = path.with_suffix(".partial")
        save_file({name: getattr(pool_, name).contiguous() for name in Pool.__dataclass_fields__}, partial)
        partial.replace(path)
    return Pool(**load_file(path))
