"""Sheets of what the model draws.

python -m generator.training.samples --weights generator/emblem/weights --sheet contact --output sheet.jpg

Sheets: `contact` (48 prompts that were drawn by lot and never chosen by their pictures; the prompts go to a text file
beside the sheet, so that pictures can be named before the prompts are read), `people`, `styles`, `seeds`, `relations`.
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

from generator.emblem.base import DEFAULT_GUIDANCE, DEFAULT_STEPS
from generator.emblem.pipeline import EmblemPipeline
from generator.training.prompts import questions
from generator.training.text_encoder import load_text_encoder, packaged_folder
from generator.training.vocabulary import STYLES, TONES

BATCH = 8
CONTACT_SEED = 4_711
SEEDS_SHOWN = 8

PEOPLE_SHEET = tuple(
    f"a {tone}-skinned {noun}"
    for noun in ("woman", "man", "female doctor", "male doctor", "female scientist", "male cook")
    for _, tone in TONES[1:]
)
STYLES_SHEET = tuple(
    f"{subject}, {words[0]}" if words and not words[0].startswith("at ") else " ".join([subject, *words[:1]])
    for words in STYLES.values()
    for subject in (
        *("a fox on an orange background", "a lighthouse on the beach", "a rocket in the night sky"),
        *("three strawberries on a green background", "a female astronaut on a blue background"),
        "a robot next to a bicycle on a yellow background",
    )
)
SEEDS_SHEET = tuple(
    prompt
    for prompt in ("a panda", "a cat next to a teapot", "three mushrooms", "a doctor", "a sailboat on the sea")
    for _ in range(SEEDS_SHOWN)
)
RELATIONS_SHEET = (
    *("a cat on a sofa", "a parrot on a treasure chest", "a sun above a house", "a fish below a sailboat"),
    *(
        "a dog to the left of a tree",
        "a car to the right of a castle",
        "a bee next to a tulip",
        "a fox inside a basket",
    ),
    *("two apples on a white background", "three owls", "four balloons in the sky", "a penguin inside a bathtub"),
    *("a small mouse on a pink background", "a huge elephant", "a star at the top", "a robot on the left"),
)


def draw(
    pipeline: EmblemPipeline,
    prompts: Sequence[str],
    seed: int,
    steps: int = DEFAULT_STEPS,
    guidance: float = DEFAULT_GUIDANCE,
    output_type: str = "np",
    side: int = 256,
) -> list[Any]:
    """One picture a prompt, image `i` from seed `seed + i`: arrays (side, side, 3) in [0, 1], or tensors."""
    drawn: list[Any] = []
    for start in range(0, len(prompts), BATCH):
        chunk = list(prompts[start : start + BATCH])
        sources = [torch.Generator().manual_seed(seed + start + index) for index in range(len(chunk))]
        output = pipeline(
            chunk,
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=sources,
            output_type=output_type,
        )
        assert not isinstance(output, tuple)
        drawn.extend(output.images)
    return drawn


def contact_prompts(count: int = 48) -> list[str]:
    """Prompts drawn by lot from the evaluation's."""
    asked = questions()
    order = np.random.default_rng(CONTACT_SEED).permutation(len(asked))[:count]
    return [asked[int(index)].prompt for index in order]


def sheet_of(pictures: Sequence[NDArray[np.float32]], columns: int) -> Image.Image:
    """Lay equal-sized pictures in [0, 1] out in rows."""
    tiles = [np.rint(np.asarray(picture) * 255).astype(np.uint8) for picture in pictures]
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[at : at + columns], 1) for at in range(0, len(tiles), columns)]
    return Image.fromarray(np.concatenate(rows, 0))


SHEETS: dict[str, tuple[tuple[str, ...], int]] = {
    "people": (PEOPLE_SHEET, 10),
    "styles": (STYLES_SHEET, 6),
    "seeds": (SEEDS_SHEET, SEEDS_SHOWN),
    "relations": (RELATIONS_SHEET, 8),
}


def load_pipeline(weights: Path, text_encoder: Path | None = None) -> EmblemPipeline:
    """The pipeline in a folder, in single precision, with its text encoder."""
    tokenizer, encoder = load_text_encoder(text_encoder or packaged_folder())
    pipeline: EmblemPipeline = EmblemPipeline.from_pretrained(
        weights, text_encoder=encoder, tokenizer=tokenizer, dtype=torch.float32, low_cpu_mem_usage=False
    )
    pipeline.set_progress_bar_config(disable=True)  # type: ignore[no-untyped-call]
    return pipeline


def main(arguments: list[str] | None = None) -> None:
    """Command line: draw a sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sheet", choices=("contact", *SHEETS), default="contact")
    parser.add_argument("--prompt", action="append", help="these prompts instead, in rows of eight")
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--side", type=int, default=256, choices=(256, 512))
    parser.add_argument("--tile", type=int, default=160, help="pixels of one picture in the sheet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--guidance", type=float, default=DEFAULT_GUIDANCE)
    options = parser.parse_args(arguments)
    if options.prompt:
        prompts, columns = options.prompt, 8
    elif options.sheet == "contact":
        prompts, columns = contact_prompts(), 8
        options.output.with_suffix(".txt").write_text("\n".join(prompts) + "\n", encoding="utf-8")
    else:
        prompts, columns = SHEETS[options.sheet]
    pipeline = load_pipeline(options.weights, options.text_encoder)
    drawn = draw(pipeline, prompts, options.seed, options.steps, options.guidance, "np", options.side)
    sheet = sheet_of(drawn, columns)
    scale = options.tile / options.side
    sheet = sheet.resize((round(sheet.width * scale), round(sheet.height * scale)), Image.Resampling.LANCZOS)
    sheet.save(options.output, quality=90)


if __name__ == "__main__":
    main()
