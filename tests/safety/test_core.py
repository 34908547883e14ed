from __future__ import annotations

import pytest

from safety.core import MINOR_SIGN, SEXUAL, SEXUAL_MINORS, core_refusals
from safety.findings import Finding, Outcome


def found(check: str, category: str, outcome: Outcome) -> Finding:
    return Finding(check, "1", category, 0.5, 0.5, outcome)


@pytest.mark.parametrize("outcome", [Outcome.FLAG, Outcome.BLOCK])
def test_sexual_minors_is_refused_at_flag_and_block(outcome: Outcome) -> None:
    assert core_refusals([found("prompt.rules", SEXUAL_MINORS, outcome)]) == [(SEXUAL_MINORS, "prompt.rules")]


@pytest.mark.parametrize("outcome", [Outcome.FLAG, Outcome.BLOCK])
def test_sexual_finding_beside_a_sign_of_a_minor_by_another_check_is_refused(outcome: Outcome) -> None:
    findings = [found("prompt.classifier", SEXUAL, outcome), found("prompt.rules", MINOR_SIGN, Outcome.FLAG)]
    assert core_refusals(findings) == [(SEXUAL_MINORS, "prompt.classifier")]


@pytest.mark.parametrize(
    "findings",
    [
        [found("prompt.rules", MINOR_SIGN, Outcome.FLAG)],
        [found("prompt.classifier", SEXUAL, Outcome.BLOCK)],
        [found("prompt.classifier", SEXUAL, Outcome.PASS), found("prompt.rules", MINOR_SIGN, Outcome.FLAG)],
        [found("prompt.rules", SEXUAL_MINORS, Outcome.PASS)],
    ],
)
def test_neither_alone_is_for_the_core(findings: list[Finding]) -> None:
    assert core_refusals(findings) == []


@pytest.mark.parametrize(("now", "before"), [(SEXUAL, MINOR_SIGN), (MINOR_SIGN, SEXUAL)])
def test_a_picture_is_judged_together_with_its_prompt(now: str, before: str) -> None:
    picture, prompt = [found("image.any", now, Outcome.FLAG)], [found("prompt.rules", before, Outcome.FLAG)]
    assert core_refusals(picture) == []
    assert core_refusals(picture, prompt) == [(SEXUAL_MINORS, "image.any")]


def test_what_the_prompt_alone_had_is_not_found_again_in_a_harmless_picture() -> None:
    picture = [found("image.any", SEXUAL, Outcome.PASS)]
    prompt = [found("prompt.rules", MINOR_SIGN, Outcome.FLAG), found("prompt.classifier", SEXUAL, Outcome.FLAG)]
    assert core_refusals(picture, prompt) == []
