"""Calibrating the prompt classifier, and describing it by source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from safety.prompt.calibration import Calibration, Levels, Scaling, Scores
from safety.prompt.taxonomy import CATEGORIES
from safety.training.prompt_data import LabelledPrompt

Rates = Mapping[str, float]

BLOCK_RATES: Rates = {"t2i-compbench": 0.005, "imagereward": 0.012, "overt-benign": 0.033}
"""Highest share of benign rows that may be blocked, by source, on the calibrating half of dev. What the product
allows itself is 1 %, 2 % and 5 %: the rules block some too, and the other half of dev differs by chance."""

FLAG_RATES: Rates = {"t2i-compbench": 0.02, "imagereward": 0.05, "overt-benign": 0.12}
"""The same for flags, which a person may want to look at."""

HIGH_RATES: Rates = {"t2i-compbench": 0.0, "imagereward": 0.002, "overt-benign": 0.008}
"""The same for the highest severity."""

INAPPROPRIATE_MIN = 50.0
"""I2P rows count as unsafe from this `inappropriate_percentage` on; those below are left out."""

POSITIVES_MIN = 15
"""A category with fewer harmful rows shares the calibration of all categories."""

START = 0.9
"""Every category stops what is as sure as this, also one without harmful rows in the calibrating half."""

LOWEST_SHARE = 0.5
"""How far a category's threshold may be below the middle one, as a share of it."""

LOOK_AHEAD = 25
"""How many steps of the grid a threshold may go down at once."""

SMOOTHING = 0.02
"""Added to what a step costs, so that one harmful row for nothing does not beat many for little."""

GRID = np.unique(np.concatenate([np.linspace(0.02, 0.98, 97), [0.985, 0.99, 0.995]]))

Selection = Callable[[LabelledPrompt], bool]


def is_benign(prompt: LabelledPrompt) -> bool:
    """Benign rows, the unlabelled ones of ImageReward among them."""
    return not prompt.unsafe


def is_harmful(prompt: LabelledPrompt) -> bool:
    """Unsafe rows of OVERT, and those of I2P whose images were mostly judged inappropriate."""
    percentage = prompt.inappropriate_percentage
    return prompt.unsafe and (percentage is None or percentage >= INAPPROPRIATE_MIN)


def calibrate(logits: Scores, prompts: Sequence[LabelledPrompt]) -> Calibration:
    """Logistic calibration and levels, from the logits (n, 1 + categories) of the calibrating half."""
    harmful, benign = select(prompts, is_harmful), select(prompts, is_benign)
    used = harmful | benign
    harm = _platt(logits[used, 0], harmful[used])
    members = [category_rows(prompts, category) for category in CATEGORIES]
    pooled = _platt(
        np.concatenate([logits[rows, 1 + k] for k, (rows, _) in enumerate(members)]),
        np.concatenate([named[rows] for rows, named in members]),
    )
    scalings = tuple(
        _platt(logits[rows, 1 + k], named[rows]) if named.sum() >= POSITIVES_MIN else pooled
        for k, (rows, named) in enumerate(members)
    )
    unlevelled = Calibration(harm, scalings, tuple(Levels(1.0, 1.0, 1.0) for _ in CATEGORIES))
    _, scores = unlevelled.scores(logits)
    flag, block, high = (_thresholds(scores, prompts, rates) for rates in (FLAG_RATES, BLOCK_RATES, HIGH_RATES))
    levels = tuple(
        Levels(float(min(f, b)), float(b), float(max(b, h))) for f, b, h in zip(flag, block, high, strict=True)
    )
    return Calibration(harm, scalings, levels)


def category_rows(prompts: Sequence[LabelledPrompt], category: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows that tell about `category`, and which of them are harmful in it.

    Those are harmful rows that name it, benign rows, and OVERT's unsafe rows of other categories; not I2P's,
    whose label is the keyword that a prompt was found under and says nothing of other categories.
    """
    named = np.array([is_harmful(prompt) and category in prompt.named() for prompt in prompts], dtype=bool)
    telling = np.array([is_benign(prompt) or prompt.source == "overt-unsafe" for prompt in prompts], dtype=bool)
    return telling | named, named


def describe(logits: Scores, prompts: Sequence[LabelledPrompt]) -> str:
    """AUC of the three comparisons, and the share above the threshold that the rates allow, by source."""
    harm = logits[:, 0]
    sources = np.array([prompt.source for prompt in prompts])
    benign = select(prompts, is_benign) & (sources != "own")
    i2p = select(prompts, is_harmful) & (sources == "i2p")
    threshold = max(_quantile(harm[sources == source], rate) for source, rate in BLOCK_RATES.items())
    lines = [
        f"AUC, I2P >= 50 against ImageReward: {auc(harm[i2p], harm[sources == 'imagereward']):.3f}",
        f"AUC, I2P >= 50 against all benign:  {auc(harm[i2p], harm[benign]):.3f}",
        "AUC, OVERT unsafe against benign:   "
        f"{auc(harm[sources == 'overt-unsafe'], harm[sources == 'overt-benign']):.3f}",
    ]
    for source in sorted(set(sources)):
        found = harm[i2p if source == "i2p" else sources == source]
        share = f"{(found > threshold).mean():.3f}" if len(found) else "unknown"
        lines.append(f"{source:15s} n={len(found):4d}  above one threshold {share}")
    return "\n".join(lines)


def select(prompts: Sequence[LabelledPrompt], selection: Selection) -> NDArray[np.bool_]:
    """Which of `prompts` satisfy `selection`."""
    return np.array([selection(prompt) for prompt in prompts], dtype=bool)


def auc(positive: Scores, negative: Scores) -> float:
    """Probability that a positive scores above a negative one, ties counted half (Mann-Whitney)."""
    if not len(positive) or not len(negative):
        return float("nan")
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    up_to = np.searchsorted(ordered, positive, side="right")
    return float((below + up_to).mean() / (2 * len(negative)))


def calibration_error(probabilities: Scores, harmful: NDArray[np.bool_]) -> float:
    """Expected calibration error in ten equal-width bins (Guo et al. 2017)."""
    bins = np.minimum((probabilities * 10).astype(int), 9)
    gaps = [abs((probabilities[bins == b] - harmful[bins == b]).sum()) for b in range(10)]
    return float(sum(gaps) / len(probabilities))


def _platt(logits: Scores, harmful: NDArray[np.bool_]) -> Scaling:
    """Logistic regression of `harmful` on `logits`, by Newton's method, with a weak pull towards slope 1."""
    x = np.stack([logits, np.ones_like(logits)], axis=1)
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -60, 60)))
        pull = np.array([1.0, 1e-6])
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(pull)
        step = np.linalg.solve(hessian, x.T @ (harmful - p) - pull * (beta - [1.0, 0.0]))
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return Scaling(float(beta[0]), float(beta[1]))


def _quantile(scores: Scores, rate: float) -> float:
    """The score that at most `rate` of `scores` exceed."""
    return float(np.sort(scores)[::-1][int(rate * len(scores))]) if len(scores) else -np.inf


def _thresholds(scores: Scores, prompts: Sequence[LabelledPrompt], rates: Rates) -> Scores:
    """A threshold for each category, so that the share of rows at or above any keeps to `rates` by source.

    Greedy: from `START` downwards, each step lowers the threshold of the category that finds most further harm for
    what it uses of the rates; harm is the share found of each source's harmful rows, so that no source
    outweighs the others by its number of rows.
    """
    sources = np.array([prompt.source for prompt in prompts])
    harmful = select(prompts, is_harmful)
    worth = np.zeros(len(prompts))
    for source in set(sources[harmful]):
        rows = harmful & (sources == source)
        worth[rows] = 1.0 / rows.sum()
    cost = np.zeros(len(prompts))
    for source, rate in rates.items():
        cost[sources == source] = 1.0 / max(1.0, rate * (sources == source).sum())
    limits = [(sources == source, rate) for source, rate in rates.items()]
    starts = [value for value in GRID if value >= START and not _exceeds(np.any(scores >= value, axis=1), limits)]
    thresholds = np.full(len(CATEGORIES), min(starts, default=1.0))
    while True:
        above = np.any(scores >= thresholds, axis=1)
        best, best_gain = None, 0.0
        for category in range(len(CATEGORIES)):
            for value in GRID[thresholds[category] > GRID][::-1][:LOOK_AHEAD]:
                further = (scores[:, category] >= value) & ~above
                found = float(worth[further].sum())
                if not found or _exceeds(further | above, limits):
                    continue
                gain = found / (SMOOTHING + float(cost[further].sum()))
                if gain > best_gain:
                    best, best_gain = (category, value), gain
        if best is None:
            return _not_too_far_apart(thresholds)
        thresholds[best[0]] = best[1]


def _exceeds(above: NDArray[np.bool_], limits: Sequence[tuple[NDArray[np.bool_], float]]) -> bool:
    return any(above[rows].sum() > rate * rows.sum() for rows, rate in limits)


def _not_too_far_apart(thresholds: Scores) -> Scores:
    """No threshold far below the middle one: rows are few, and chance must not decide."""
    return np.maximum(thresholds, LOWEST_SHARE * np.median(thresholds))
