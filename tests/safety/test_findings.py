from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785

from safety import Finding, FindingError, Outcome
from safety.findings import decimal


def finding(**changes: Any) -> Finding:
    values: dict[str, Any] = {
        "check": "image.quality",
        "version": "1",
        "category": "quality",
        "score": 0.25,
        "threshold": 0.5,
        "outcome": Outcome.PASS,
        "evidence": {"measures": ["a", 1, None, True, {"inner": "b"}]},
    }
    return Finding(**(values | changes))


def test_record_holds_scores_as_decimal_strings_and_no_floats() -> None:
    record = finding(score=1 / 3, elapsed_s=0.0123).to_record()

    def no_floats(text: str) -> float:
        raise AssertionError(f"float {text} in the record")

    assert json.loads(json.dumps(record), parse_float=no_floats)["score"] == "0.333333"
    assert record["elapsed_s"] == "0.012300"


def test_record_is_taken_by_the_canonical_json_writer() -> None:
    assert b'"outcome":"pass"' in rfc8785.dumps(finding().to_record())


@pytest.mark.parametrize("evidence", [{"x": 0.5}, {"x": [0.5]}, {"x": {"y": 0.5}}, {"x": b"raw"}, {1: "x"}])
def test_evidence_that_a_record_cannot_hold_is_refused(evidence: Any) -> None:
    with pytest.raises(FindingError):
        finding(evidence=evidence)


@pytest.mark.parametrize("score", [-0.001, 1.001, float("nan"), float("inf")])
def test_score_outside_zero_to_one_is_refused(score: float) -> None:
    with pytest.raises(FindingError, match="score"):
        finding(score=score)
    with pytest.raises(FindingError, match="threshold"):
        finding(threshold=score)


def test_evidence_cannot_be_changed_afterwards() -> None:
    evidence = {"fault": "none"}
    made = finding(evidence=evidence)
    evidence["fault"] = "blank"

    assert made.evidence["fault"] == "none"
    with pytest.raises(TypeError):
        made.evidence["fault"] = "noise"  # type: ignore[index]


def test_decimal_refuses_what_is_not_finite() -> None:
    with pytest.raises(FindingError):
        decimal(float("nan"))
