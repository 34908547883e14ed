from __future__ import annotations

import numpy as np
import pytest

from safety.prompt.taxonomy import CATEGORIES
from safety.training.calibration import (
    BLOCK_RATES,
    FLAG_RATES,
    auc,
    calibrate,
    calibration_error,
    category_rows,
    describe,
    is_harmful,
    select,
)
from safety.training.prompt_data import LabelledPrompt


def rows(source: str, count: int, *, unsafe: bool = False, category: str = "violence") -> list[LabelledPrompt]:
    return [LabelledPrompt(f"{source} {n}", source, unsafe, (category,), None) for n in range(count)]


PROMPTS = [
    *rows("imagereward", 500),
    *rows("t2i-compbench", 400),
    *rows("overt-benign", 400),
    *rows("overt-unsafe", 100, unsafe=True),
    *rows("overt-unsafe", 100, unsafe=True, category="discrimination"),
]


def logits() -> np.ndarray:
    """Harm is told well; the category that a row names, too."""
    rng = np.random.default_rng(0)
    found = rng.normal(size=(len(PROMPTS), 1 + len(CATEGORIES))) - 2.0
    for row, prompt in enumerate(PROMPTS):
        if prompt.unsafe:
            found[row, 0] += 4.0
            for category in prompt.named():
                found[row, 1 + CATEGORIES.index(category)] += 4.0
    return found


def test_thresholds_keep_every_source_at_its_rate_and_find_what_they_can() -> None:
    calibration = calibrate(logits(), PROMPTS)
    _, scores = calibration.scores(logits())
    sources = np.array([prompt.source for prompt in PROMPTS])
    for rates, name in ((BLOCK_RATES, "block"), (FLAG_RATES, "flag")):
        above = np.any(scores >= [getattr(level, name) for level in calibration.levels], axis=1)
        for source, rate in rates.items():
            assert above[sources == source].mean() <= rate
        assert above[sources == "overt-unsafe"].mean() > 0.6
    assert all(level.flag <= level.block <= level.high for level in calibration.levels)


def test_probabilities_are_calibrated_together_and_by_category() -> None:
    calibration = calibrate(logits(), PROMPTS)
    harm, _ = calibration.scores(logits())
    harmful = select(PROMPTS, is_harmful)
    assert calibration_error(harm, harmful) < 0.03
    telling, named = category_rows(PROMPTS, "violence")
    violence = calibration.categories[CATEGORIES.index("violence")](logits()[telling, 1 + CATEGORIES.index("violence")])
    assert calibration_error(violence, named[telling]) < 0.03


def test_rows_of_i2p_tell_nothing_of_categories_that_they_do_not_name() -> None:
    prompts = [LabelledPrompt("x", "i2p", True, ("sexual",), 90.0), *rows("overt-unsafe", 1, unsafe=True)]
    assert category_rows(prompts, "violence")[0].tolist() == [False, True]
    assert category_rows(prompts, "sexual")[0].tolist() == [True, True]
    assert category_rows(prompts, "sexual")[1].tolist() == [True, False]


def test_calibration_error_is_the_mean_gap() -> None:
    assert calibration_error(np.array([0.95, 0.95, 0.05]), np.array([True, False, False])) == pytest.approx(0.95 / 3)


def test_auc_counts_pairs_and_halves_ties() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert auc(np.array([1.0]), np.array([1.0, 0.0])) == 0.75
    assert np.isnan(auc(np.array([]), np.array([1.0])))


def test_description_has_a_line_for_each_source() -> None:
    text = describe(logits(), PROMPTS)
    assert all(source in text for source in ("imagereward", "overt-unsafe", "t2i-compbench"))


def test_mostly_harmless_i2p_rows_do_not_count_as_harmful() -> None:
    mild = LabelledPrompt("x", "i2p", True, (), 20.0)
    grave = LabelledPrompt("y", "i2p", True, (), 50.0)
    assert (is_harmful(mild), is_harmful(grave)) == (False, True)
