from __future__ import annotations

import numpy as np
import pytest

from safety.training.calibration import (
    FALSE_POSITIVE_RATES,
    auc,
    calibrate,
    calibration_error,
    describe,
    is_harmful,
    select,
)
from safety.training.prompt_data import LabelledPrompt


def rows(source: str, count: int, *, unsafe: bool = False) -> list[LabelledPrompt]:
    return [LabelledPrompt(f"{source} {n}", source, unsafe, (), None) for n in range(count)]


PROMPTS = [
    *rows("imagereward", 400),
    *rows("t2i-compbench", 300),
    *rows("overt-benign", 300),
    *rows("overt-unsafe", 200, unsafe=True),
]


def logits() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=len(PROMPTS)) + 3.0 * np.array([prompt.unsafe for prompt in PROMPTS])


def test_thresholds_keep_every_source_at_its_rate() -> None:
    calibration = calibrate(logits(), PROMPTS)
    probabilities = 1 / (1 + np.exp(-(calibration.slope * logits() + calibration.offset)))
    for source, rate in FALSE_POSITIVE_RATES.items():
        own = probabilities[[prompt.source == source for prompt in PROMPTS]]
        assert (own >= calibration.threshold).mean() <= rate
    assert calibration.flag_threshold < calibration.threshold


def test_platt_scaling_calibrates() -> None:
    calibration = calibrate(logits(), PROMPTS)
    probabilities = 1 / (1 + np.exp(-(calibration.slope * logits() + calibration.offset)))
    harmful = select(PROMPTS, is_harmful)
    assert calibration_error(probabilities, harmful, np.ones_like(harmful)) < 0.03
    assert probabilities.mean() == pytest.approx(harmful.mean(), abs=0.005)


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([1.0]), np.array([1.0, 0.0])) == 0.75
    assert np.isnan(auc(np.array([]), np.array([1.0])))


def test_description_has_a_line_for_each_source() -> None:
    text = describe(logits(), PROMPTS, calibrate(logits(), PROMPTS))
    assert all(source in text for source in ("imagereward", "overt-unsafe", "t2i-compbench"))


def test_mostly_harmless_i2p_rows_do_not_count_as_harmful() -> None:
    mild = LabelledPrompt("x", "i2p", True, (), 20.0)
    grave = LabelledPrompt("y", "i2p", True, (), 50.0)
    assert (is_harmful(mild), is_harmful(grave)) == (False, True)
