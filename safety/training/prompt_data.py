"""The labelled prompts: reading, targets, weights, and the splits."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from safety.prompt.taxonomy import CATEGORIES, CATEGORY_OF_LABEL

SOURCE_WEIGHTS = {
    "imagereward": 1.0,
    "t2i-compbench": 0.3,
    "partiprompts": 0.5,
    "i2p": 6.0,
    "overt-benign": 3.0,
    "overt-unsafe": 4.0,
}
"""Weight of a row in the loss, by source: unsafe and benign rows of OVERT count alike in sum, and clean
prose, of which there is plenty, counts less than prompts that real users wrote."""

UNLABELLED_TARGET = 0.02
"""ImageReward rows are unlabelled and mostly benign."""


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """One row. `inappropriate_percentage` (0 to 100) is given for I2P rows only."""

    text: str
    source: str
    unsafe: bool
    categories: tuple[str, ...]
    inappropriate_percentage: float | None

    @property
    def target(self) -> float:
        """Probability of harm that training aims at.

        For I2P the share of its images that were judged inappropriate, plus 0.1: the labels are of images,
        and the prompts were all collected under a harmful keyword.
        """
        if self.inappropriate_percentage is not None:
            return min(1.0, self.inappropriate_percentage / 100 + 0.1)
        if self.source == "imagereward":
            return UNLABELLED_TARGET
        return float(self.unsafe)

    def category_targets(self) -> NDArray[np.float32]:
        """One entry per category of `CATEGORIES`; of use for unsafe rows."""
        named = {CATEGORY_OF_LABEL[label] for label in self.categories}
        return np.array([category in named for category in CATEGORIES], dtype=np.float32)


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
