"""Draw a plan from what the planner reads in a prompt; every choice follows from the image's own random numbers."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn import functional

from generator.emblem.appearance import AppearanceCodebook
from generator.emblem.paint import BOX_VALUES, BOXES, paint
from generator.emblem.planner import Outlook, ScenePlanner, layout_condition, present_boxes, to_boxes

CHOICES = 10
LAYOUT_STEPS = 16
LAYOUT_NOISE = 0.9  # fainter than in training: fewer outliers
SHARP = 0.5  # temperature for what a prompt usually says outright
OPEN = 1.0  # temperature for what prompts often leave open


@dataclass(frozen=True)
class Draws:
    """Random numbers of N images: uniform (N, CHOICES) for the choices, normal (N, BOXES, 5) for the layout."""

    choices: Tensor
    layout: Tensor


@dataclass(frozen=True)
class Plan:
    """What N images are to show: codebook entries (N, BOXES), boxes (N, BOXES, 5) and which are present (N, BOXES) as
    `paint` takes them, background and style (N,) as indices, and how sure the background is, (N,) in [0, 1]."""

    entries: Tensor
    boxes: Tensor
    present: Tensor
    background: Tensor
    background_certainty: Tensor
    style: Tensor


def draw_numbers(sources: list[torch.Generator | None]) -> Draws:
    """One image's numbers from each source (None: PyTorch's global one)."""
    choices = [torch.rand(CHOICES, generator=source) for source in sources]
    layout = [torch.randn(BOXES, BOX_VALUES, generator=source) for source in sources]
    return Draws(torch.stack(choices), torch.stack(layout))


def steer(wanted: Outlook, unwanted: Outlook, nothing: Outlook, weight: float) -> Outlook:
    """Make less likely what the unwanted prompt makes more likely than the empty prompt does: the discrete counterpart
    of classifier-free guidance's negative prompt."""

    def logits(name: str) -> Tensor:
        towards, away, base = (getattr(part, name).log_softmax(-1) for part in (wanted, unwanted, nothing))
        steered: Tensor = towards - weight * (away - base).clamp(min=0)
        return steered

    steered = {name: logits(name) for name in ("genders", "tones", "background", "style")}
    towards, base = wanted.things.log_softmax(-1), nothing.things.log_softmax(-1)
    away = unwanted.things.log_softmax(-1)
    penalty = (away - base).clamp(min=0).amax(1, keepdim=True)  # whichever place it is named in
    penalty = torch.cat([penalty[..., :-1], torch.zeros_like(penalty[..., -1:])], -1)
    return replace(wanted, things=towards - weight * penalty, **steered)


def choose(logits: Tensor, uniform: Tensor, temperature: float, keep: float) -> Tensor:
    """Draw indices (N,) from logits (N, K) by inverse transform of uniform (N,), among the likeliest that make up
    `keep` of the probability (nucleus sampling: Holtzman et al., 2020)."""
    likely, order = (logits.float() / temperature).softmax(-1).sort(-1, descending=True)
    before = likely.cumsum(-1) - likely
    kept = likely * (before < keep)
    share = (kept / kept.sum(-1, keepdim=True)).cumsum(-1)
    place = (share < uniform[:, None].clamp(max=1 - 1e-6)).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return order.gather(1, place)[:, 0]


@torch.no_grad()
def draw_plan(planner: ScenePlanner, appearance: AppearanceCodebook, outlook: Outlook, draws: Draws) -> Plan:
    """Choose things, counts, background and style, then a layout for them."""
    nothing = outlook.things.shape[-1] - 1
    named = outlook.things.clone()
    named[:, 0, nothing] = -torch.inf  # something is always shown
    numbers = iter(draws.choices.unbind(1))
    things = [choose(named[:, place], next(numbers), SHARP, 0.9) for place in range(2)]
    genders = [choose(outlook.genders[:, place], next(numbers), OPEN, 0.93) for place in range(2)]
    tones = [choose(outlook.tones[:, place], next(numbers), OPEN, 0.93) for place in range(2)]
    count = 1 + choose(outlook.count, next(numbers), SHARP, 0.9)
    background = choose(outlook.background, next(numbers), OPEN, 0.93)
    style = choose(outlook.style, next(numbers), SHARP, 0.9)
    second = things[1] != nothing
    count = torch.where(second, 1, count)
    shown = [
        planner.entry_of(thing.clamp(max=nothing - 1), gender, tone)
        for thing, gender, tone in zip(things, genders, tones, strict=True)
    ]
    wide = torch.cat([appearance.extents[shown[0]], appearance.extents[shown[1]] * second[:, None]], 1)
    present = present_boxes(count, second)
    given = layout_condition(outlook, count, second, wide)
    boxes = draw_layout(planner, given, present, draws.layout.to(given))
    entries = torch.stack([*[shown[0]] * (BOXES - 1), shown[1]], 1)
    sure = outlook.background.softmax(-1).gather(1, background[:, None])[:, 0]
    return Plan(entries, boxes, present, background, sure, style)


def draw_layout(planner: ScenePlanner, given: Tensor, present: Tensor, noise: Tensor) -> Tensor:
    """Boxes (N, BOXES, 5) by integrating the layout flow from noise with Euler steps."""
    there = present[..., None]
    values = LAYOUT_NOISE * noise * there
    for step in range(LAYOUT_STEPS):
        time = torch.full((len(values),), 1 - step / LAYOUT_STEPS, device=values.device)
        values = (values - planner.layout_velocity(values, time, given) / LAYOUT_STEPS) * there
    return to_boxes(values)


@torch.no_grad()
def backdrop(planner: ScenePlanner, plan: Plan, side: int) -> Tensor:
    """The plans' plain backgrounds (N, 3, side, side) in [0, 1]."""
    return functional.interpolate(planner.backdrops[plan.background], (side, side), mode="bilinear")


@torch.no_grad()
def paint_plan(appearance: AppearanceCodebook, plan: Plan, backgrounds: Tensor) -> tuple[Tensor, Tensor]:
    """Plan pictures (N, 3, H, W) in [-1, 1] on backgrounds (N, 3, H, W) in [0, 1], and what is covered, as `paint`."""
    pictures = appearance.pictures(plan.entries.flatten()).unflatten(0, plan.entries.shape)
    return paint(backgrounds, pictures, plan.boxes, plan.present)


def into_boxes(plan: Plan, around: Tensor) -> Plan:
    """The plans moved and scaled so that what they show fills the squares `around` (N, 3): x, y, side."""
    there = plan.present[..., None] > 0
    half = plan.boxes[..., 2:3] / 2
    low = torch.where(there, plan.boxes[..., :2] - half, torch.inf).amin(1, keepdim=True)
    high = torch.where(there, plan.boxes[..., :2] + half, -torch.inf).amax(1, keepdim=True)
    square = around[:, None]
    scale = square[..., 2:] / (high - low).amax(-1, keepdim=True)
    centre = square[..., :2] + (plan.boxes[..., :2] - (low + high) / 2) * scale
    return replace(plan, boxes=torch.cat([centre, plan.boxes[..., 2:3] * scale, plan.boxes[..., 3:]], -1))


def rows_of(outlook: Outlook, rows: slice) -> Outlook:
    """These rows of all readings."""
    return Outlook(**{field.name: getattr(outlook, field.name)[rows] for field in fields(Outlook)})
