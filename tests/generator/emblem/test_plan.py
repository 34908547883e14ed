from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from generator import ModelCard
from generator.emblem.conditioning import encode_prompts
from generator.emblem.plan import Plan, choose, draw_numbers, draw_plan, into_boxes
from generator.emblem.planner import ScenePlanner, present_boxes, to_boxes, to_values
from generator.training.appearance import load_appearance
from generator.training.export import load_planner
from generator.training.vocabulary import BACKGROUNDS, STYLES, glyph_names


def test_the_likeliest_is_chosen_most_often_and_unlikely_ones_never() -> None:
    logits = torch.tensor([[0.70, 0.25, 0.04, 0.01]]).log().repeat(2000, 1)
    uniform = (torch.arange(2000) + 0.5) / 2000

    chosen = choose(logits, uniform, temperature=1.0, keep=0.9)

    counts = torch.bincount(chosen, minlength=4)
    assert counts.tolist() == pytest.approx([2000 * 0.7 / 0.95, 2000 * 0.25 / 0.95, 0, 0], abs=2)


def test_a_low_temperature_sharpens() -> None:
    logits = torch.tensor([[0.6, 0.4]]).log().repeat(1000, 1)

    chosen = choose(logits, (torch.arange(1000) + 0.5) / 1000, temperature=0.5, keep=1.0)

    assert float((chosen == 0).float().mean()) == pytest.approx(0.36 / 0.52, abs=0.005)


def test_layout_values_and_boxes_are_inverse() -> None:
    boxes = torch.tensor([[[0.3, 0.6, 0.4, 0.1, -1.0], [0.5, 0.5, 0.9, -0.2, 1.0]]])

    assert torch.allclose(to_boxes(to_values(boxes)), boxes, atol=1e-6)


def test_boxes_are_present_by_count_and_second_thing() -> None:
    present = present_boxes(torch.tensor([1, 3]), torch.tensor([True, False]))

    assert present.tolist() == [[1, 0, 0, 0, 1], [1, 1, 1, 0, 0]]


def test_a_plan_is_moved_into_a_box() -> None:
    boxes = torch.tensor([[[0.3, 0.5, 0.4, 0, 1], [0.7, 0.5, 0.4, 0, 1], *[[0.5, 0.5, 0.5, 0, 1]] * 3]])
    one = torch.zeros(1, dtype=torch.long)
    plan = Plan(torch.zeros(1, 5, dtype=torch.long), boxes, torch.tensor([[1.0, 1, 0, 0, 0]]), one, torch.ones(1), one)

    moved = into_boxes(plan, torch.tensor([[0.25, 0.75, 0.4]])).boxes[0, :2]

    assert torch.allclose(moved[:, :3], torch.tensor([[0.15, 0.75, 0.2], [0.35, 0.75, 0.2]]), atol=1e-6)


class Shipped:
    """The planner and the appearances that ship, asked for one plan a seed."""

    def __init__(self, folder: Path, components: Mapping[str, object]) -> None:
        self.planner: ScenePlanner = load_planner(folder / "planner")
        self.appearance = load_appearance(folder / "appearance").requires_grad_(False)
        self.components = components

    def plans(self, prompt: str, seeds: range) -> Plan:
        encoded = encode_prompts(self.components["tokenizer"], self.components["text_encoder"], [prompt] * len(seeds))
        with torch.no_grad():
            outlook = self.planner(encoded.tokens, encoded.mask)
        sources: list[torch.Generator | None] = [torch.Generator().manual_seed(seed) for seed in seeds]
        return draw_plan(self.planner, self.appearance, outlook, draw_numbers(sources))


@pytest.fixture(scope="module")
def shipped(shipped_card: ModelCard, text_components: Mapping[str, object]) -> Shipped:
    return Shipped(Path(shipped_card.source), text_components)


def names(plan: Plan, box: int) -> list[str]:
    return [glyph_names()[entry] for entry in plan.entries[:, box].tolist()]


def share(outcomes: Tensor) -> float:
    return float(outcomes.float().mean())


def test_counts_are_planned_as_asked(shipped: Shipped) -> None:
    for number, word in enumerate(("one apple", "two apples", "three apples", "four apples"), start=1):
        plan = shipped.plans(f"{word} on a white background", range(8))

        assert share(plan.present.sum(1) == number) >= 0.9, word


def test_a_relation_orders_the_two_things(shipped: Shipped) -> None:
    plan = shipped.plans("a cat to the left of a house", range(12))

    assert names(plan, 0) == ["cat-face"] * 12
    assert names(plan, 4) == ["house"] * 12
    assert share(plan.boxes[:, 0, 0] < plan.boxes[:, 4, 0]) >= 0.9


def test_above_and_below_differ(shipped: Shipped) -> None:
    above, below = (shipped.plans(f"a sun {word} a house", range(12)) for word in ("above", "below"))

    assert share(above.boxes[:, 0, 1] < above.boxes[:, 4, 1]) >= 0.9
    assert share(below.boxes[:, 0, 1] > below.boxes[:, 4, 1]) >= 0.9


def test_background_and_style_are_read(shipped: Shipped) -> None:
    plan = shipped.plans("pixel art of a fox on a purple background", range(6))

    assert plan.background.tolist() == [BACKGROUNDS.index("purple")] * 6
    assert plan.style.tolist() == [list(STYLES).index("pixel art")] * 6
    assert float(plan.background_certainty.min()) > 0.9


def test_a_person_has_the_gender_and_the_tone_that_are_asked_for(shipped: Shipped) -> None:
    plan = shipped.plans("a female doctor with dark skin", range(6))

    assert names(plan, 0) == ["woman-health-worker-dark-skin-tone"] * 6


def test_what_is_left_open_differs_between_seeds(shipped: Shipped) -> None:
    plan = shipped.plans("a doctor", range(40))

    assert len(set(names(plan, 0))) >= 8
    assert len(set(plan.background.tolist())) >= 6
    assert float(plan.boxes[:, 0, 0].std()) > 0.02


def test_a_synonym_that_no_caption_uses_is_understood(shipped: Shipped) -> None:
    assert names(shipped.plans("a puppy on a red background", range(4)), 0) == ["dog-face"] * 4
