"""Numbers that make probabilities and verdicts out of the classifier's logits; they ship inside the weights file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safety.errors import WeightsError

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scaling:
    """Logistic calibration (Platt 1999): probability = sigmoid(slope * logit + offset)."""

    slope: float
    offset: float

    def __call__(self, logits: Scores) -> Scores:
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * logits + self.offset, -60.0, 60.0))))


@dataclass(frozen=True, slots=True)
class Levels:
    """Scores from which a category is worth a look, is found, and is found beyond doubt; each in (0, 1]."""

    flag: float
    block: float
    high: float

    def severity(self, score: float) -> int:
        """0, 2, 4 or 6, as Azure's content safety counts severity: none, low, medium, high."""
        return 2 * ((score >= self.flag) + (score >= self.block) + (score >= self.high))


@dataclass(frozen=True, slots=True)
class Calibration:
    """`harm` is of harm of any kind; `categories` and `levels` have one entry per category, in their order."""

    harm: Scaling
    categories: tuple[Scaling, ...]
    levels: tuple[Levels, ...]

    def scores(self, logits: Scores) -> tuple[Scores, Scores]:
        """Probability of harm (n,), and scores (n, categories), of logits (n, 1 + categories).

        A category's score is its probability, except that the likeliest category has at least the
        probability of harm of any kind: what is surely harmful must not slip between two categories.
        """
        harm = self.harm(logits[:, 0])
        scores = np.stack([scale(logits[:, 1 + k]) for k, scale in enumerate(self.categories)], axis=1)
        rows = np.arange(len(scores))
        leading = scores.argmax(axis=1)
        scores[rows, leading] = np.maximum(scores[rows, leading], harm)
        return harm, scores

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, categories: Sequence[str]) -> Calibration:
        """Raises `WeightsError` unless `text` is what `to_json` gave, for as many `categories`."""
        try:
            document: dict[str, Any] = json.loads(text)
            found = cls(
                Scaling(**document["harm"]),
                tuple(Scaling(**entry) for entry in document["categories"]),
                tuple(Levels(**entry) for entry in document["levels"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"the calibration of the prompt classifier cannot be read: {error}") from error
        if not len(found.categories) == len(found.levels) == len(categories):
            raise WeightsError(f"expected a calibration of {len(categories)} categories, got {len(found.levels)}")
        return found
