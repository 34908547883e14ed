from __future__ import annotations

import pytest
import torch

from generator.training.evaluate import Rate, held_out_prompts
from generator.training.recogniser import OBJECT_NAMES, recognise, render_labelled, train_recogniser
from generator.training.scenes import is_held_out
from generator.training.vocabulary import COLOURS


def test_the_interval_is_wilsons() -> None:
    low, high = Rate(8, 10).interval

    assert low == pytest.approx(0.4902, abs=1e-4)
    assert high == pytest.approx(0.9433, abs=1e-4)
    assert Rate(0, 10).interval[0] == 0.0
    assert Rate(10, 10).interval[1] == pytest.approx(1.0)


def test_prompts_name_pairs_that_training_never_shows() -> None:
    prompts = held_out_prompts(150)
    colours = tuple(COLOURS)

    assert len(prompts) == 150
    assert all(is_held_out(OBJECT_NAMES[p.object_index], colours[p.colour_index]) for p in prompts)
    assert "an orange background" not in {p.text for p in prompts if colours[p.colour_index] != "orange"}
    assert len({p.object_index for p in prompts[:70]}) == 70


def test_a_recogniser_learns_from_renders() -> None:
    data = render_labelled(0, 48, "train")

    model = train_recogniser(data, epochs=30, seed=0, batch=24)
    objects, best_five, colours = recognise(model, data.pictures)

    assert (objects == data.objects).float().mean() > 0.5
    assert (colours == data.colours).float().mean() > 0.5
    assert bool((best_five[:, 0] == objects).all())


def test_a_recogniser_is_a_function_of_data_and_seed() -> None:
    data = render_labelled(0, 16, "train")

    first, second = (train_recogniser(data, epochs=2, seed=3, batch=8) for _ in range(2))

    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
