"""The labelled prompts: reading, targets, weights, and the splits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safety.prompt.taxonomy import CATEGORIES, CATEGORY_OF_LABEL

SOURCE_WEIGHTS = {
    "imagereward": 1.0,
    "t2i-compbench": 0.3,
    "partiprompts": 0.5,
    "i2p": 4.0,
    "overt-benign": 3.0,
    "overt-unsafe": 5.0,
    "own": 1.5,
}
"""Weight of a row in the loss, by source: unsafe and benign rows of OVERT count nearly alike in sum, and clean
prose, of which there is plenty, counts less than prompts that real users wrote."""

UNLABELLED_TARGET = 0.02
"""ImageReward rows are unlabelled and mostly benign."""

OTHER_KIND_WEIGHT = {"i2p": 0.2}
"""Weight of "not of this category" for unsafe rows of a source: I2P names the keyword a prompt was found under,
which does not say that it is free of other harm. 1 for the others."""


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """One row. `inappropriate_percentage` (0 to 100) is given for I2P rows only, `own_target` for own rows.

    `family` names what own rows were made from; rows of one family are never on two sides of a split.
    """

    text: str
    source: str
    unsafe: bool
    categories: tuple[str, ...]
    inappropriate_percentage: float | None
    own_target: float | None = None
    family: str | None = None

    @property
    def target(self) -> float:
        """Probability of harm that training aims at.

        For I2P the share of its images that were judged inappropriate, plus 0.1: the labels are of images,
        and the prompts were all collected under a harmful keyword.
        """
        if self.own_target is not None:
            return self.own_target
        if self.inappropriate_percentage is not None:
            return min(1.0, self.inappropriate_percentage / 100 + 0.1)
        if self.source == "imagereward":
            return UNLABELLED_TARGET
        return float(self.unsafe)

    def named(self) -> frozenset[str]:
        """The categories of ours that its labels stand for; an own row has ours."""
        return frozenset(CATEGORY_OF_LABEL.get(label, label) for label in self.categories)

    def category_targets(self) -> NDArray[np.float32]:
        """Probability of harm of each category of `CATEGORIES`."""
        named = self.named()
        return np.array([self.target if category in named else 0.0 for category in CATEGORIES], dtype=np.float32)

    def category_weights(self) -> NDArray[np.float32]:
        """How much each entry of `category_targets` is to be believed, in [0, 1]."""
        named = self.named()
        other = OTHER_KIND_WEIGHT.get(self.source, 1.0)
        return np.array([1.0 if category in named else other for category in CATEGORIES], dtype=np.float32)


def read_prompts(path: Path) -> list[LabelledPrompt]:
    """Rows of a JSON-lines file of the prompt set."""
    prompts = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            prompts.append(
                LabelledPrompt(
                    text=row["text"],
                    source=row["source"],
                    unsafe=row["label"] == "unsafe",
                    categories=tuple(row["categories"]),
                    inappropriate_percentage=row.get("inappropriate_percentage"),
                )
            )
    return prompts


def bucket(text: str, buckets: int) -> int:
    """A bucket out of `buckets` that depends on the text alone, so that splits never move."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % buckets


def is_calibration(prompt: LabelledPrompt) -> bool:
    """Whether a dev row is in the half that calibrates; the other half reports."""
    return bucket(prompt.text, 2) == 0


SHINGLE_WORDS = 8
_WORD = re.compile(r"[a-z]+")


def folds(prompts: Sequence[LabelledPrompt], count: int) -> NDArray[np.int64]:
    """A fold in [0, count) for each row; near-duplicates are in the same one.

    Near-duplicates share eight words in a row, or are of one family, or are linked by rows that are.
    """
    leader: dict[str, int] = {}
    parents = list(range(len(prompts)))

    def find(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    for row, prompt in enumerate(prompts):
        words = _WORD.findall(prompt.text.lower())
        keys = [" ".join(words[start : start + SHINGLE_WORDS]) for start in range(max(1, len(words) - SHINGLE_WORDS))]
        for key in [prompt.family] if prompt.family is not None else keys:
            parents[find(row)] = find(leader.setdefault(key, row))
    return np.array([bucket(prompts[find(row)].text, count) for row in range(len(prompts))])
