"""The prompts that the evaluation asks for: none of their pairs, and none of their synonyms, occurs in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generator.training.scenes import Entity, article, is_held_out, is_held_out_pair, noun_of, pick, plural
from generator.training.vocabulary import COLOURS, CONTAINERS, RELATIONS, TONES, objects

SINGLES, PAIRS, COUNTS, SYNONYMS = 150, 160, 90, 100
PEOPLE = 108
SEED = 77


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt with what is right: objects (indices), relation, background colour, count, and a person's gender and
    tone."""

    kind: str
    prompt: str
    things: tuple[int, ...]
    relation: str | None = None
    colour: str | None = None
    count: int = 1
    gender: int = 0
    tone: int = 0


def _named(index: int, count: int = 1, word: str | None = None) -> str:
    name = word or objects()[index].name
    return f"{('one', 'two', 'three', 'four')[count - 1]} {plural(name)}" if count > 1 else article(name)


def singles(rng: np.random.Generator, count: int) -> list[Question]:
    """One object on a colour that no training scene shows it on."""
    questions: list[Question] = []
    while len(questions) < count:
        index = int(rng.integers(len(objects())))
        colours = [c for c in COLOURS if is_held_out(objects()[index].name, c)]
        if colours:
            colour = pick(rng, colours)
            words = f"{_named(index)} on {article(colour)} background"
            questions.append(Question("single", words, (index,), None, colour))
    return questions


def pairs(rng: np.random.Generator, count: int) -> list[Question]:
    """Two objects that no training scene shows together, each relation equally often."""
    questions: list[Question] = []
    containers = [i for i, o in enumerate(objects()) if o.name in CONTAINERS]
    while len(questions) < count:
        relation = tuple(RELATIONS)[len(questions) % len(RELATIONS)]
        first = int(rng.integers(len(objects())))
        second = int(pick_index(rng, containers if relation == "inside" else range(len(objects()))))
        if first == second or not is_held_out_pair(objects()[first].name, objects()[second].name):
            continue
        colour = pick(rng, tuple(COLOURS))
        words = f"{_named(first)} {RELATIONS[relation][0]} {_named(second)} on {article(colour)} background"
        questions.append(Question("pair", words, (first, second), relation, colour))
    return questions


def pick_index(rng: np.random.Generator, indices: Sequence[int]) -> int:
    """One of the indices."""
    return indices[int(rng.integers(len(indices)))]


def counts(rng: np.random.Generator, count: int) -> list[Question]:
    """Two, three or four of one object, equally often, on a colour that no training scene shows it on."""
    questions: list[Question] = []
    while len(questions) < count:
        number = 2 + len(questions) % 3
        index = int(rng.integers(len(objects())))
        colours = [c for c in COLOURS if is_held_out(objects()[index].name, c)]
        if colours:
            colour = pick(rng, colours)
            words = f"{_named(index, number)} on {article(colour)} background"
            questions.append(Question("count", words, (index,), None, colour, number))
    return questions


def synonyms(rng: np.random.Generator, count: int) -> list[Question]:
    """Objects under names that no training caption uses; at most one prompt for each such name."""
    words = [(index, word) for index, named in enumerate(objects()) for word in named.held_out_synonyms]
    questions: list[Question] = []
    for place in rng.permutation(len(words))[:count]:
        index, word = words[int(place)]
        colour = pick(rng, tuple(COLOURS))
        noun = word if word in ("roses", "chips", "spectacles", "shades", "dark glasses") else article(word)
        questions.append(Question("synonym", f"{noun} on {article(colour)} background", (index,), None, colour))
    return questions


def people(rng: np.random.Generator, count: int) -> list[Question]:
    """People of each stated gender and tone, equally often."""
    kinds = [index for index, named in enumerate(objects()) if named.is_person]
    questions = []
    for number in range(count):
        entity = Entity(pick_index(rng, kinds), 1 + number % 2, 1 + number // 2 % (len(TONES) - 1), 1)
        noun, after = noun_of(entity, entity.named.name, np.random.default_rng([SEED, 3 * number + 7]))
        questions.append(
            Question("person", f"{article(noun)}{after}", (entity.index,), gender=entity.gender, tone=entity.tone)
        )
    return questions


def questions() -> list[Question]:
    """The 500 prompts of the evaluation (fewer where there are fewer held-out synonyms), and 108 of people."""
    rng = np.random.default_rng(SEED)
    asked = [*singles(rng, SINGLES), *pairs(rng, PAIRS), *counts(rng, COUNTS), *synonyms(rng, SYNONYMS)]
    return [*asked, *people(rng, PEOPLE)]
