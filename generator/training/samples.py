"""Contact sheets: what the model draws for a fixed list of prompts.

python -m generator.training.samples --weights generator/emblem/weights --output docs/models/emblem-sheet.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from generator.emblem.pipeline import EmblemPipeline
from generator.training.text_encoder import load_text_encoder, packaged_folder

SHEET_PROMPTS = (
    "a red apple on a blue background",
    "a dog on a yellow background",
    "a cat on a green background",
    "a house on the grass",
    "a rocket at night",
    "a birthday cake on a pink background",
    "a guitar on a grey background",
    "a tree on a white background",
    "a sailboat on the sea",
    "a puppy in the snow",
    "a butterfly on a purple background",
    "an elephant on an orange background",
    "a red car on a turquoise background",
    "a strawberry on a black background",
    "a snowman in the snow",
    "a teddy bear on a brown background",
    "a penguin on a red background",
    "a palm tree on the beach",
    "a small star on a blue background",
    "a cat and a dog on a white background",
    "a sun above a house",
    "a robot on the left on a yellow background",
    "a crown on a green background",
    "a cup of coffee at sunset",
)
BATCH = 8
SHEET_COLUMNS = 6


def draw(
    pipeline: EmblemPipeline, prompts: Sequence[str], seed: int, steps: int, guidance: float, output_type: str
) -> list[Any]:
    """One picture a prompt, image `i` from seed `seed + i`; arrays (H, W, 3) in [0, 1] or tensors."""
    drawn: list[Any] = []
    for start in range(0, len(prompts), BATCH):
        chunk = list(prompts[start : start + BATCH])
        sources = [torch.Generator().manual_seed(seed + start + index) for index in range(len(chunk))]
        output = pipeline(
            chunk,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=sources,
            output_type=output_type,
        )
        assert not isinstance(output, tuple)
        drawn.extend(output.images)
    return drawn


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], columns: int = SHEET_COLUMNS) -> Image.Image:
    """Lay equal-sized RGB pictures out in rows."""
    rows = [np.concatenate(pictures[at : at + columns], 1) for at in range(0, len(pictures), columns)]
    return Image.fromarray(np.concatenate(rows, 0))


def draw_sheet(
    pipeline: EmblemPipeline, side: int, seed: int = 0, steps: int = 16, guidance: float = 1.5
) -> Image.Image:
    """The sheet of `SHEET_PROMPTS`; each picture is `side` pixels wide: 128 (not enlarged), 256 or 512."""
    latents = torch.stack(draw(pipeline, SHEET_PROMPTS, seed, steps, guidance, "latent"))
    with torch.no_grad():
        pixels = pipeline.codec.decode(latents)
        if side != pixels.shape[-1]:
            pixels = torch.cat([pipeline.codec.enlarge(part) for part in pixels.split(BATCH)])
            pixels = torch.nn.functional.avg_pool2d(pixels, pixels.shape[-1] // side)
    array = (pixels.permute(0, 2, 3, 1).numpy() + 1) * 127.5
    return contact_sheet(list(np.rint(array).astype(np.uint8)))


def load_pipeline(weights: Path, text_encoder: Path | None = None) -> EmblemPipeline:
    """The pipeline in a folder, in single precision, with its text encoder."""
    tokenizer, encoder = load_text_encoder(text_encoder or packaged_folder())
    pipeline: EmblemPipeline = EmblemPipeline.from_pretrained(
        weights, text_encoder=encoder, tokenizer=tokenizer, dtype=torch.float32, low_cpu_mem_usage=False
    )
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    return pipeline


def main(arguments: list[str] | None = None) -> None:
    """Command line: draw a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--side", type=int, default=256, choices=(128, 256, 512))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=1.5)
    options = parser.parse_args(arguments)
    pipeline = load_pipeline(options.weights, options.text_encoder)
    sheet = draw_sheet(pipeline, options.side, options.seed, options.steps, options.guidance)
    sheet.quantize(256, method=Image.Quantize.MEDIANCUT).save(options.output, optimize=True)


if __name__ == "__main__":
    main()
