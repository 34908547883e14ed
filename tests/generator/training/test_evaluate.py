from __future__ import annotations

import pytest
import torch

from generator.training.copying import nearest, small
from generator.training.evaluate import count_right, judge, mean_pairwise_distance, relation_right
from generator.training.prompts import Question
from generator.training.rates import Rate
from generator.training.recogniser import (
    Found,
    Recogniser,
    crop,
    label_scenes,
    recognise,
    signed,
    train_recogniser,
)
from generator.training.vocabulary import COLOURS, RELATIONS, objects


def at(thing: int, x: float, y: float, side: float = 0.4) -> Found:
    return Found(thing, x, y, side, gender=1, tone=3, score=0.9)


def test_the_interval_is_wilsons() -> None:
    low, high = Rate(8, 10).interval

    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)
    assert Rate(0, 10).interval[0] == 0.0
    assert Rate(10, 10).interval[1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("relation", "first", "second"),
    [
        ("left of", at(1, 0.25, 0.5), at(2, 0.75, 0.5)),
        ("right of", at(1, 0.75, 0.5), at(2, 0.25, 0.5)),
        ("next to", at(1, 0.75, 0.5), at(2, 0.25, 0.5)),
        ("above", at(1, 0.5, 0.2), at(2, 0.5, 0.8)),
        ("below", at(1, 0.5, 0.8), at(2, 0.5, 0.2)),
        ("on", at(1, 0.5, 0.3), at(2, 0.5, 0.7)),
        ("inside", at(1, 0.5, 0.55, 0.3), at(2, 0.5, 0.5, 0.9)),
    ],
)
def test_a_relation_holds_and_its_reverse_does_not(relation: str, first: Found, second: Found) -> None:
    assert relation_right(relation, first, second)
    if relation != "next to":
        assert not relation_right(relation, second, first)


def test_what_floats_high_above_is_not_on() -> None:
    assert not relation_right("on", at(1, 0.5, 0.15, 0.2), at(2, 0.5, 0.85, 0.2))


def test_every_relation_can_be_judged() -> None:
    assert all(isinstance(relation_right(relation, at(1, 0.2, 0.2), at(2, 0.8, 0.6)), bool) for relation in RELATIONS)


def test_counts_must_be_exact() -> None:
    found = [at(1, 0.2, 0.2), at(1, 0.8, 0.2), at(2, 0.5, 0.8)]

    assert count_right(found, 1, 2)
    assert not count_right(found, 1, 3)
    assert not count_right(found, 2, 2)


def test_outcomes_are_counted_by_measure() -> None:
    asked = [
        Question("single", "", (1,), None, "red"),
        Question("single", "", (2,), None, "red"),
        Question("pair", "", (1, 2), "left of", "blue"),
        Question("pair", "", (1, 7), "left of", "blue"),
        Question("count", "", (1,), None, "blue", 2),
        Question("person", "", (1,), gender=1, tone=2),
    ]
    pair = [at(1, 0.2, 0.5), at(2, 0.8, 0.5)]
    found = [[at(1, 0.5, 0.5)], [at(1, 0.5, 0.5)], pair, pair, [at(1, 0.2, 0.5), at(1, 0.8, 0.5)], [at(1, 0.5, 0.5)]]
    red, blue = list(COLOURS).index("red"), list(COLOURS).index("blue")

    outcomes = judge(asked, found, torch.tensor([red, red, blue, red, blue, red]))

    assert outcomes["single object"] == [True, False]
    assert outcomes["both of a pair"] == [True, False]
    assert outcomes["relation, given both"] == [True]
    assert outcomes["count"] == [True]
    assert outcomes["background colour"] == [True, True, True, False, True]
    assert outcomes["person: gender, given who"] == [True]
    assert outcomes["person: skin tone, given who"] == [False]


def test_a_recogniser_learns_from_renders() -> None:
    data = label_scenes(0, 8)

    model = train_recogniser(data, None, steps=40, seed=0, batch=4)
    _, colours = recognise(model, signed(data.pictures))
    logits = model.namer(crop(signed(data.pictures)[data.of_picture], data.boxes))[:, : len(objects())]

    plain = data.colours >= 0
    assert float((logits.argmax(1) == data.things).float().mean()) > 0.6
    assert float((colours == data.colours)[plain].float().mean()) > 0.5


def test_a_recogniser_is_a_function_of_data_and_seed() -> None:
    data = label_scenes(0, 4)

    first, second = (train_recogniser(data, None, steps=2, seed=3, batch=4) for _ in range(2))

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_an_untrained_recogniser_finds_nothing_much() -> None:
    found, colours = recognise(Recogniser().eval(), torch.zeros(2, 3, 128, 128))

    assert len(found) == 2
    assert colours.shape == (2,)


def test_a_copy_is_nearest_to_what_it_copies() -> None:
    source = torch.Generator().manual_seed(0)
    scenes = torch.rand(5, 3, 128, 128, generator=source) * 2 - 1

    distances = nearest(small(scenes[2:3] * 0.98), small(scenes))

    assert distances[0] < 0.02


def test_pictures_that_are_alike_are_not_apart() -> None:
    same = torch.ones(3, 3, 8, 8)

    assert mean_pairwise_distance(same) == 0.0
    assert mean_pairwise_distance(torch.stack([same[0], 0 * same[0]])) == pytest.approx(1.0)
