"""Calibrating the prompt classifier, and describing it by source."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from safety.prompt.head import Calibration
from safety.training.prompt_data import LabelledPrompt

FALSE_POSITIVE_RATES = {"t2i-compbench": 0.01, "imagereward": 0.02, "overt-benign": 0.04}
"""Highest share of benign rows that may reach the threshold, by source, on the calibrating half of dev."""

FLAG_FALSE_POSITIVE_RATES = {"t2i-compbench": 0.03, "imagereward": 0.06, "overt-benign": 0.15}
"""The same for the flag threshold, above which a person may want to look."""

INAPPROPRIATE_MIN = 50.0
"""I2P rows count as unsafe from this `inappropriate_percentage` on; those below are left out."""

Scores = NDArray[np.float64]
Selection = Callable[[LabelledPrompt], bool]


def is_benign(prompt: LabelledPrompt) -> bool:
    """Benign rows, the unlabelled ones of ImageReward among them."""
    return not prompt.unsafe


def is_harmful(prompt: LabelledPrompt) -> bool:
    """Unsafe rows of OVERT, and those of I2P whose images were mostly judged inappropriate."""
    percentage = prompt.inappropriate_percentage
    return prompt.unsafe and (percentage is None or percentage >= INAPPROPRIATE_MIN)


def calibrate(logits: Scores, prompts: Sequence[LabelledPrompt]) -> Calibration:
    """Platt scaling (Platt 1999) and thresholds, from the logits of the calibrating half."""
    harmful = select(prompts, is_harmful)
    used = harmful | select(prompts, is_benign)
    slope, offset = _platt(logits[used], harmful[used])
    probabilities = 1 / (1 + np.exp(-(slope * logits + offset)))
    return Calibration(
        slope,
        offset,
        threshold=_threshold(probabilities, prompts, FALSE_POSITIVE_RATES),
        flag_threshold=_threshold(probabilities, prompts, FLAG_FALSE_POSITIVE_RATES),
    )


def describe(logits: Scores, prompts: Sequence[LabelledPrompt], calibration: Calibration) -> str:
    """AUC of the three comparisons, share above the thresholds by source, and calibration error."""
    probabilities = 1 / (1 + np.exp(-(calibration.slope * logits + calibration.offset)))
    harmful = select(prompts, is_harmful)
    benign = select(prompts, is_benign)
    sources = np.array([prompt.source for prompt in prompts])
    i2p = harmful & (sources == "i2p")
    lines = [
        f"AUC, I2P >= 50 against ImageReward: {auc(logits[i2p], logits[sources == 'imagereward']):.3f}",
        f"AUC, I2P >= 50 against all benign:  {auc(logits[i2p], logits[benign]):.3f}",
        f"AUC, OVERT unsafe against benign:   "
        f"{auc(logits[sources == 'overt-unsafe'], logits[sources == 'overt-benign']):.3f}",
        f"threshold {calibration.threshold:.4f}, flag threshold {calibration.flag_threshold:.4f}, "
        f"slope {calibration.slope:.3f}, offset {calibration.offset:.3f}, "
        f"expected calibration error {calibration_error(probabilities, harmful, harmful | benign):.3f}",
    ]
    for source in sorted(set(sources)):
        rows = sources == source
        if source == "i2p":
            rows &= harmful
        blocked, flagged = (
            float((probabilities[rows] >= threshold).mean())
            for threshold in (calibration.threshold, calibration.flag_threshold)
        )
        lines.append(f"{source:15s} n={rows.sum():4d}  blocked {blocked:.3f}  at least flagged {flagged:.3f}")
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


def calibration_error(probabilities: Scores, harmful: NDArray[np.bool_], used: NDArray[np.bool_]) -> float:
    """Expected calibration error in ten equal-width bins (Guo et al. 2017) over the rows in `used`."""
    p, y = probabilities[used], harmful[used].astype(float)
    bins = np.minimum((p * 10).astype(int), 9)
    return float(sum(abs((p[bins == b] - y[bins == b]).sum()) for b in range(10)) / len(p))


def _platt(logits: Scores, harmful: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset of the logistic regression of `harmful` on `logits`, by Newton's method."""
    x = np.stack([logits, np.ones_like(logits)], axis=1)
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(2)
        step = np.linalg.solve(hessian, x.T @ (harmful - p))
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            break
    return float(beta[0]), float(beta[1])


def _threshold(probabilities: Scores, prompts: Sequence[LabelledPrompt], rates: dict[str, float]) -> float:
    """The lowest threshold that keeps every source of `rates` at or below its rate."""
    sources = np.array([prompt.source for prompt in prompts])
    thresholds = []
    for source, rate in rates.items():
        scores = np.sort(probabilities[sources == source])[::-1]
        if len(scores):
            thresholds.append(scores[int(rate * len(scores))])
    return float(np.nextafter(max(thresholds, default=0.5), 1.0))
