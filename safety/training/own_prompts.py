"""The prompts that were written for this project, spelled out: slots filled, and put into the forms prompts take."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files

import yaml

from safety.training.prompt_data import LabelledPrompt

TARGETS = {"harmful": 0.97, "ambiguous": 0.4, "fiction": 0.1, "benign": 0.02}
"""Probability of harm that training aims at, by kind of row."""

VARIANTS = {"harmful": 9, "ambiguous": 4, "fiction": 5, "benign": 7}
"""Rows per phrase."""

VARIANTS_PER_FURTHER_SLOT = 5
"""More rows for each slot of a phrase after the first two: it says more different things."""

SOURCE = "own"
FRAMES = (
    "{}",
    "{}",
    "{}",
    "a photo of {}",
    "{}, {tail}",
    "{}, {tail}",
    "{}, {tail}",
    "{} {tail}",
    "Generate an image of {}.",
    "Create a realistic illustration of {}.",
    "A hyperrealistic photograph of {}.",
    "draw {}",
    "illustrate {}",
    "oil painting of {}",
    "show me {}",
)
"""`tail` is what follows the first comma of a real user's prompt: its style without its subject."""

TAIL_WORDS = range(3, 25)
_SLOT = re.compile(r"\{(\w+)\}")


def own_prompts(tails: Sequence[str], seed: int = 3) -> list[LabelledPrompt]:
    """All rows; the same for the same `tails` and `seed`. The group of a row is its phrase."""
    document = yaml.safe_load(files("safety").joinpath("training", "data", "own_prompts.yaml").read_bytes())
    rng = random.Random(seed)  # noqa: S311  # augmentation, no secret
    return [
        row
        for entry in document["sets"]
        for kind, target in TARGETS.items()
        for phrase in entry.get(kind, ())
        for row in _rows(phrase, entry["category"], kind, target, document["slots"], tails, rng)
    ]


def tails(texts: Sequence[str]) -> list[str]:
    """What follows the first comma, of those `texts` in which that is neither short nor long."""
    parts = (text.partition(",")[2].strip() for text in texts)
    return [part for part in parts if len(part.split()) in TAIL_WORDS]


def _rows(
    phrase: str,
    category: str,
    kind: str,
    target: float,
    slots: Mapping[str, Sequence[str]],
    tails: Sequence[str],
    rng: random.Random,
) -> list[LabelledPrompt]:
    texts: dict[str, None] = {}
    further = max(0, len(_SLOT.findall(phrase)) - 2)
    for _ in range(VARIANTS[kind] + VARIANTS_PER_FURTHER_SLOT * further):
        filled = _SLOT.sub(lambda match: rng.choice(slots[match.group(1)]), phrase)
        text = filled if filled[0].isupper() else rng.choice(FRAMES).replace("{}", filled)
        if "{tail}" in text:
            text = text.replace("{tail}", rng.choice(tails))
        texts[text] = None
    return [
        LabelledPrompt(text, SOURCE, kind == "harmful", (category,), None, own_target=target, family=phrase)
        for text in texts
    ]
