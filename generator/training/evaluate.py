"""Measure what the model draws: held-out prompts, judged by a recogniser that has seen renders only.

    python -m generator.training.recogniser --minutes 12 --output runs/judge.safetensors
    python -m generator.training.evaluate --weights generator/emblem/weights --recogniser runs/judge.safetensors \\
        --table benchmarks/results/emblem.md

Prints the recogniser's own accuracy on held-out renders, then shares with 95 % Wilson intervals on generated images,
diversity between seeds, and the distance to the nearest training scene.
"""

from __future__ import annotations

import argparse
import datetime
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.base import DEFAULT_GUIDANCE, DEFAULT_STEPS
from generator.emblem.codec import NATIVE_SIDE_PIXELS
from generator.model_folder import folder_digest
from generator.training.copying import nearest_scenes
from generator.training.prompts import Question, questions
from generator.training.rates import Rate, rate
from generator.training.recogniser import Found, Recogniser, load_recogniser, recognise, signed
from generator.training.render import render_scene
from generator.training.samples import draw, load_pipeline
from generator.training.scenes import Scene, sample_scene
from generator.training.vocabulary import COLOURS, objects

HELD_OUT_RENDERS = 500
DIVERSITY_PROMPTS = 20
DIVERSITY_SEEDS = 4
COPY_PROMPTS = 60
ON_GAP = 0.14  # "on": the upper thing's foot and the lower thing's top are at most so far apart


def shown(found: Sequence[Found], thing: int) -> list[Found]:
    """The places where a thing was found."""
    return [place for place in found if place.thing == thing]


def single_right(found: Sequence[Found], thing: int) -> bool:
    """Whether the surest thing found is this one."""
    return bool(found) and found[0].thing == thing


def pair_places(found: Sequence[Found], things: tuple[int, ...]) -> tuple[Found, Found] | None:
    """Where both things of a pair stand, or None if one is missing."""
    first, second = shown(found, things[0]), shown(found, things[1])
    return (first[0], second[0]) if first and second else None


def relation_right(relation: str, first: Found, second: Found) -> bool:
    """Whether two places stand in a relation; "and" asks for nothing more than both."""
    across, down = first.x - second.x, first.y - second.y
    upright, sideways = abs(down) > abs(across), abs(across) > abs(down)
    within = abs(across) < second.side / 2 and abs(down) < second.side / 2 and first.side < 0.75 * second.side
    gap = (second.y - second.side / 2) - (first.y + first.side / 2)
    outcomes = {
        "and": True,
        "on": upright and down < 0 and gap < ON_GAP,
        "above": upright and down < 0,
        "below": upright and down > 0,
        "left of": sideways and across < 0,
        "right of": sideways and across > 0,
        "next to": sideways,
        "inside": within,
    }
    return outcomes[relation]


def count_right(found: Sequence[Found], thing: int, count: int) -> bool:
    """Whether the thing was found exactly so often."""
    return len(shown(found, thing)) == count


Outcomes = dict[str, list[bool]]


def judge(asked: Sequence[Question], found: Sequence[Sequence[Found]], colours: Tensor) -> Outcomes:
    """Outcomes by measure."""
    names = list(COLOURS)
    outcomes: Outcomes = {}

    def note(measure: str, outcome: bool) -> None:
        outcomes.setdefault(measure, []).append(outcome)

    for question, places, colour in zip(asked, found, colours.tolist(), strict=True):
        thing = question.things[0]
        if question.colour is not None:
            note("background colour", names[colour] == question.colour)
        if question.kind == "single":
            note("single object", single_right(places, thing))
        elif question.kind == "synonym":
            note("synonym never trained on", single_right(places, thing))
        elif question.kind == "count":
            note("count", count_right(places, thing, question.count))
            note(f"count {question.count}", count_right(places, thing, question.count))
        elif question.kind == "person":
            note("person: who", single_right(places, thing))
            if single_right(places, thing):
                note("person: gender, given who", places[0].gender == question.gender)
                note("person: skin tone, given who", places[0].tone == question.tone)
        elif question.relation is not None:
            both = pair_places(places, question.things)
            note("both of a pair", both is not None)
            if both is not None:
                right = relation_right(question.relation, *both)
                note("relation, given both", right)
                note(f"relation {question.relation!r}, given both", right)
    return outcomes


def own_accuracy(model: Recogniser, count: int) -> Outcomes:
    """The recogniser's outcomes on held-out renders: the ceiling of what it can say of generated images."""
    scenes = [sample_scene(seed, "held-out") for seed in range(10_000, 10_000 + count)]
    pictures = torch.cat([signed(render_scene(scene, NATIVE_SIDE_PIXELS)[None]) for scene in scenes])
    found, colours = recognise(model, pictures)
    outcomes: Outcomes = {}

    def note(measure: str, outcome: bool) -> None:
        outcomes.setdefault(measure, []).append(outcome)

    for scene, places, colour in zip(scenes, found, colours.tolist(), strict=True):
        _judge_render(scene, places, colour, note)
    return outcomes


def _judge_render(scene: Scene, places: Sequence[Found], colour: int, note: Callable[[str, bool], None]) -> None:
    first = scene.entities[0]
    if scene.colour is not None:
        note("background colour", list(COLOURS)[colour] == scene.colour)
    if scene.relation is not None:
        both = pair_places(places, (first.index, scene.entities[1].index))
        note("both of a pair", both is not None)
        if both is not None:
            note("relation, given both", relation_right(scene.relation, *both))
    elif first.count > 1:
        note("count", count_right(places, first.index, first.count))
    else:
        note("single object", single_right(places, first.index))
        if first.named.is_person and single_right(places, first.index):
            note("person: skin tone, given who", places[0].tone == first.tone)


def to_native(pictures: Tensor) -> Tensor:
    """Delivered pictures (N, 3, H, W) in [0, 1], averaged to 128 pixels, in [-1, 1]."""
    return functional.interpolate(pictures, (NATIVE_SIDE_PIXELS, NATIVE_SIDE_PIXELS), mode="area") * 2 - 1


def mean_pairwise_distance(pictures: Tensor) -> float:
    """Mean over pairs of the root mean square difference, in [0, 1] pixel units."""
    apart = [
        float((one - other).square().mean().sqrt())
        for index, one in enumerate(pictures)
        for other in pictures[index + 1 :]
    ]
    return sum(apart) / len(apart)


def main(arguments: list[str] | None = None) -> None:
    """Command line of the evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="pipeline folder")
    parser.add_argument("--recogniser", type=Path, required=True, help="as generator.training.recogniser stores it")
    parser.add_argument("--text-encoder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--guidance", type=float, default=DEFAULT_GUIDANCE)
    parser.add_argument("--training-scenes", type=int, default=2000, help="how many to compare with for copying")
    parser.add_argument("--prompts", type=int, help="only so many of each kind, for a quick look")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--table", type=Path, help="where to write the results as a Markdown table")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    model = load_recogniser(options.recogniser)
    pipeline = load_pipeline(options.weights, options.text_encoder)
    ceiling = own_accuracy(model, HELD_OUT_RENDERS if options.prompts is None else 10 * options.prompts)
    asked = _some(questions(), options.prompts)

    def pictures_of(prompts: Sequence[str], seed: int) -> Tensor:
        return to_native(torch.stack(draw(pipeline, prompts, seed, options.steps, options.guidance, "pt", 256)))

    pictures = pictures_of([question.prompt for question in asked], options.seed)
    found, colours = recognise(model, pictures)
    outcomes = judge(asked, found, colours)
    rows = [
        f"| {measure} | {rate(outcome)} | {rate(ceiling[measure]) if measure in ceiling else ''} |"
        for measure, outcome in sorted(outcomes.items())
    ]
    missed = Counter(
        objects()[question.things[0]].name
        for question, places in zip(asked, found, strict=True)
        if question.kind in ("single", "synonym") and not single_right(places, question.things[0])
    )
    few = min(DIVERSITY_PROMPTS, len(asked))
    spread = [
        mean_pairwise_distance(pictures_of([question.prompt] * DIVERSITY_SEEDS, 100 * index) / 2)
        for index, question in enumerate(asked[:few])
    ]
    among = mean_pairwise_distance(pictures[:few] / 2)
    nearest, between = nearest_scenes(pictures[:COPY_PROMPTS], options.training_scenes)
    closer = rate([mine < theirs for mine, theirs in zip(nearest, between, strict=False)])
    lines = [
        "# What the embedded model draws",
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, model emblem "
        f"{folder_digest(options.weights)[:12]}, {options.steps} steps, guidance {options.guidance:g}, first seed "
        f"{options.seed}. {len(asked)} prompts; object pairs and object-colour pairs of these never occur in training. "
        "Judged by a detector that was trained on rendered scenes only; the last column is that detector on held-out "
        "renders. Shares with 95 % Wilson intervals.",
        "",
        "| measure | generated images | the recogniser on renders |",
        "| --- | --- | --- |",
        *rows,
        "",
        f"Diversity: root mean square difference (1 = black against white) between {DIVERSITY_SEEDS} seeds of one "
        f"prompt, mean over {few} prompts: {sum(spread) / len(spread):.3f}; between different prompts: {among:.3f}.",
        "",
        f"Copying: root mean square difference of a generated picture to the nearest of {options.training_scenes} "
        f"training scenes, median {_median(nearest):.3f}; of a held-out rendered scene to the nearest training scene, "
        f"median {_median(between):.3f}. Generated pictures nearer than a held-out scene drawn at random: {closer}.",
        "",
        f"Most often missed: {', '.join(f'{name} {number}' for name, number in missed.most_common(25)) or 'none'}.",
        "",
    ]
    print("\n".join(lines))
    if options.table is not None:
        options.table.write_text("\n".join(lines), encoding="utf-8")


def _median(values: Sequence[float]) -> float:
    return float(torch.tensor(values).median())


def _some(asked: list[Question], each: int | None) -> list[Question]:
    if each is None:
        return asked
    kinds = dict.fromkeys(question.kind for question in asked)
    return [question for kind in kinds for question in [q for q in asked if q.kind == kind][:each]]


__all__ = ["Rate", "count_right", "judge", "main", "mean_pairwise_distance", "pair_places", "relation_right"]


if __name__ == "__main__":
    main()
