"""Measure what the model draws: held-out prompts, judged by a recogniser that has seen renders only.

    python -m generator.training.evaluate --weights generator/emblem/weights --recogniser runs/judge.safetensors

Prints the recogniser's own accuracy on held-out renders first, then object and background accuracy on generated
images with 95 % Wilson intervals, then the objects most often missed.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from generator.training.recogniser import (
    COLOUR_NAMES,
    OBJECT_NAMES,
    Recogniser,
    recognise,
    render_labelled,
    shrink,
    train_recogniser,
)
from generator.training.samples import draw, load_pipeline
from generator.training.scenes import is_held_out
from generator.training.vocabulary import OBJECTS

CONFIDENCE_QUANTILE = 1.959964  # two-sided 95 % of the normal distribution
JUDGE_SCENES = 6000
JUDGE_EPOCHS = 14
JUDGE_SEED = 7
JUDGE_FIRST_SEED = 1_000_000  # renders that the denoiser's pool does not hold
HELD_OUT_RENDERS = 600


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % Wilson score interval."""

    successes: int
    trials: int

    @property
    def interval(self) -> tuple[float, float]:
        """Lower and upper bound (Wilson, 1927)."""
        n, z = self.trials, CONFIDENCE_QUANTILE
        share = self.successes / n
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.successes / self.trials:.3f} [{low:.3f}, {high:.3f}] ({self.successes}/{self.trials})"


@dataclass(frozen=True)
class HeldOutPrompt:
    """A prompt whose pair of object and colour no training scene shows."""

    text: str
    object_index: int
    colour_index: int


def held_out_prompts(count: int) -> list[HeldOutPrompt]:
    """`count` prompts, going round the objects so that each appears about equally often."""
    pairs = [[c for c in COLOUR_NAMES if is_held_out(named.name, c)] for named in OBJECTS]
    prompts: list[HeldOutPrompt] = []
    turn = 0
    while len(prompts) < count:
        for index, (named, colours) in enumerate(zip(OBJECTS, pairs, strict=True)):
            if colours and len(prompts) < count:
                colour = colours[turn % len(colours)]
                article = "an" if named.name[0] in "aeiou" else "a"
                ground = "an" if colour[0] in "aeiou" else "a"
                text = f"{article} {named.name} on {ground} {colour} background"
                prompts.append(HeldOutPrompt(text, index, COLOUR_NAMES.index(colour)))
        turn += 1
    return prompts


def judge(path: Path | None) -> Recogniser:
    """The recogniser stored at `path`, or one trained now (and stored there)."""
    if path is not None and path.exists():
        model = Recogniser()
        model.load_state_dict(load_file(path))
        return model.eval()
    model = train_recogniser(render_labelled(JUDGE_FIRST_SEED, JUDGE_SCENES, "train"), JUDGE_EPOCHS, JUDGE_SEED)
    if path is not None:
        save_file(model.state_dict(), path)
    return model


def report_judge(model: Recogniser) -> None:
    """Print the recogniser's accuracy on held-out renders: the ceiling of what it can say of generated images."""
    data = render_labelled(0, HELD_OUT_RENDERS, "held-out")
    objects, _, colours = recognise(model, data.pictures)
    print(f"recogniser on held-out renders: object {Rate(int((objects == data.objects).sum()), len(objects))}")
    print(f"recogniser on held-out renders: colour {Rate(int((colours == data.colours).sum()), len(colours))}")


def main(arguments: list[str] | None = None) -> None:
    """Command line of the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="pipeline folder; without it only the recogniser is reported")
    parser.add_argument("--prompts", type=int, default=216)
    parser.add_argument("--recogniser", type=Path, help="where the recogniser is kept between runs")
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = judge(options.recogniser)
    report_judge(model)
    if options.weights is None:
        return
    pipeline = load_pipeline(options.weights, options.text_encoder)
    prompts = held_out_prompts(options.prompts)
    latents = torch.stack(
        draw(pipeline, [p.text for p in prompts], options.seed, options.steps, options.guidance, "latent")
    )
    with torch.no_grad():
        pictures = shrink(pipeline.codec.decode(latents))
    objects, best_five, colours = recognise(model, pictures)
    wanted = torch.tensor([p.object_index for p in prompts])
    grounds = torch.tensor([p.colour_index for p in prompts])
    right_object, right_colour = objects == wanted, colours == grounds
    among_five = (best_five == wanted[:, None]).any(1)
    for name, outcome in (
        ("object right", right_object),
        ("object among the best five", among_five),
        ("background colour right", right_colour),
        ("both right", right_object & right_colour),
    ):
        print(f"generated, {len(prompts)} held-out prompts: {name} {Rate(int(outcome.sum()), len(prompts))}")
    missed = Counter(
        OBJECT_NAMES[p.object_index] for p, ok in zip(prompts, right_object.tolist(), strict=True) if not ok
    )
    print("missed: " + ", ".join(f"{name} {count}" for name, count in missed.most_common()))


if __name__ == "__main__":
    main()
