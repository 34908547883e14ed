from __future__ import annotations

import numpy as np
import pytest

from safety import WeightsError
from safety.prompt.calibration import Calibration, Levels, Scaling

LEVELS = Levels(0.2, 0.5, 0.9)
CALIBRATION = Calibration(Scaling(1.0, 0.0), (Scaling(1.0, 0.0), Scaling(2.0, -1.0)), (LEVELS, LEVELS))


@pytest.mark.parametrize(("score", "severity"), [(0.0, 0), (0.2, 2), (0.49, 2), (0.5, 4), (0.9, 6), (1.0, 6)])
def test_severity_counts_the_levels_reached(score: float, severity: int) -> None:
    assert LEVELS.severity(score) == severity


def test_the_leading_category_has_at_least_the_probability_of_harm() -> None:
    harm, scores = CALIBRATION.scores(np.array([[2.0, -1.0, 0.0], [-4.0, 3.0, -3.0]]))
    assert harm == pytest.approx([0.8808, 0.0180], abs=1e-4)
    assert scores[0] == pytest.approx([0.8808, 0.2689], abs=1e-4), "both are as likely; the first leads"
    assert scores[1] == pytest.approx([0.9526, 0.0009], abs=1e-4)


def test_extreme_logits_give_probabilities() -> None:
    harm, scores = CALIBRATION.scores(np.array([[1e9, -1e9, 1e9]]))
    assert np.isfinite(harm).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_json_keeps_everything() -> None:
    assert Calibration.from_json(CALIBRATION.to_json(), ["a", "b"]) == CALIBRATION


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"harm": {"slope": 1}}'])
def test_unreadable_json_is_a_weights_error(text: str) -> None:
    with pytest.raises(WeightsError, match="calibration"):
        Calibration.from_json(text, ["a", "b"])


def test_another_number_of_categories_is_a_weights_error() -> None:
    with pytest.raises(WeightsError, match="3 categories"):
        Calibration.from_json(CALIBRATION.to_json(), ["a", "b", "c"])
