from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from safety import CheckDeclaration, Finding, Outcome, PixelsError, Stage, run_checks
from safety.checks import outcome_of, require_rgb, run_checks_on_many
from safety.findings import CHECK_ERROR_CATEGORY

DECLARATION = CheckDeclaration(
    id="test.check", version="3", stage=Stage.PROMPT, categories=("sexual",), summary="", measured_on="", measured_in=""
)


class Answering:
    """A prompt check that answers with what it was given."""

    declaration = DECLARATION

    def __init__(self, findings: list[Finding]) -> None:
        self._findings = findings

    def examine(self, prompt: str) -> list[Finding]:
        return self._findings

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        return [self.examine(prompt) for prompt in prompts]


class Failing(Answering):
    def examine(self, prompt: str) -> list[Finding]:
        raise ZeroDivisionError("weights are away")


PASSED = Finding("test.check", "3", "sexual", 0.1, 0.5, Outcome.PASS)
BLOCKED = Finding("test.check", "3", "sexual", 0.9, 0.5, Outcome.BLOCK)


def test_findings_come_in_the_order_of_the_checks() -> None:
    assert run_checks([Answering([PASSED]), Answering([BLOCKED])], "a cat") == [PASSED, BLOCKED]


def test_a_check_that_raises_becomes_an_error_finding_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        findings = run_checks([Failing([]), Answering([PASSED])], "a cat")

    assert findings[1] == PASSED
    assert findings[0].outcome is Outcome.ERROR
    assert findings[0].category == CHECK_ERROR_CATEGORY
    assert findings[0].evidence == {"exception": "ZeroDivisionError", "message": "weights are away"}
    assert "test.check" in caplog.text


def test_a_check_that_finds_nothing_at_all_is_an_error() -> None:
    assert run_checks([Answering([])], "a cat")[0].outcome is Outcome.ERROR


def test_one_prompt_that_breaks_a_check_does_not_take_the_others_with_it() -> None:
    class Picky(Answering):
        def examine(self, prompt: str) -> list[Finding]:
            if prompt == "bad":
                raise ValueError("cannot read this")
            return [PASSED]

    outcomes = [[f.outcome for f in found] for found in run_checks_on_many([Picky([])], ["a cat", "bad", "a dog"])]
    assert outcomes == [[Outcome.PASS], [Outcome.ERROR], [Outcome.PASS]]


def test_many_prompts_get_what_each_would_get_alone() -> None:
    checks = [Answering([PASSED]), Failing([])]
    alone = [[f.outcome for f in run_checks(checks, prompt)] for prompt in ("a cat", "a dog")]

    assert [[f.outcome for f in found] for found in run_checks_on_many(checks, ["a cat", "a dog"])] == alone


@pytest.mark.parametrize(
    ("score", "outcome"),
    [(0.0, Outcome.PASS), (0.29, Outcome.PASS), (0.3, Outcome.FLAG), (0.5, Outcome.BLOCK), (1.0, Outcome.BLOCK)],
)
def test_outcome_at_and_above_the_thresholds(score: float, outcome: Outcome) -> None:
    assert outcome_of(score, 0.5, 0.3) is outcome


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_pixels_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    with pytest.raises(PixelsError, match="uint8 pixels of shape"):
        require_rgb(pixels)
