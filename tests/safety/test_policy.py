from __future__ import annotations

from pathlib import Path

import pytest

from safety import Action, CheckFailedError, DecisionOutcome, Finding, Outcome, Policy, PolicyError, Stage

PERMISSIVE = """
id: permissive
version: 2
title: Everything is only noted
persons: {allow: anyone}
languages: {other: annotate}
prompt:
  required_checks: []
  categories:
    sexual: {action: annotate}
    violence: {action: review, on_flag: review, threshold: 0.7}
    privacy: {action: refuse}
image:
  required_checks: [image.quality]
  optional_checks: [image.extra]
  categories:
    quality: {action: refuse}
"""


def found(check: str, category: str, outcome: Outcome, evidence: dict[str, str] | None = None) -> Finding:
    return Finding(check, "1", category, 0.5, 0.5, outcome, evidence or {})


RULES_PASSED = found("prompt.rules", "sexual_minors", Outcome.PASS)
LANGUAGE_PASSED = found("prompt.language", "language", Outcome.PASS)


@pytest.fixture
def policy() -> Policy:
    return Policy.from_yaml(PERMISSIVE)


@pytest.mark.parametrize(
    ("category", "outcome", "decision"),
    [
        ("sexual", Outcome.PASS, DecisionOutcome.RELEASE),
        ("sexual", Outcome.BLOCK, DecisionOutcome.RELEASE),
        ("violence", Outcome.FLAG, DecisionOutcome.REVIEW),
        ("violence", Outcome.BLOCK, DecisionOutcome.REVIEW),
        ("privacy", Outcome.FLAG, DecisionOutcome.RELEASE),
        ("privacy", Outcome.BLOCK, DecisionOutcome.REFUSE),
        ("unheard_of", Outcome.FLAG, DecisionOutcome.REVIEW),
        ("unheard_of", Outcome.BLOCK, DecisionOutcome.REFUSE),
    ],
)
def test_action_follows_category_and_outcome(
    policy: Policy, category: str, outcome: Outcome, decision: DecisionOutcome
) -> None:
    made = policy.decide(Stage.PROMPT, [RULES_PASSED, found("prompt.classifier", category, outcome)])
    assert made.outcome is decision


def test_the_severest_action_decides_and_all_are_reasons(policy: Policy) -> None:
    findings = [
        RULES_PASSED,
        found("prompt.classifier", "sexual", Outcome.BLOCK),
        found("prompt.classifier", "violence", Outcome.BLOCK),
        found("prompt.classifier", "privacy", Outcome.BLOCK),
    ]
    made = policy.decide(Stage.PROMPT, findings)

    assert made.outcome is DecisionOutcome.REFUSE
    assert made.categories == ("privacy",)
    assert [reason.action for reason in made.reasons] == [Action.REFUSE, Action.REVIEW, Action.ANNOTATE]


def test_public_form_holds_stage_categories_and_policy_version_only(policy: Policy) -> None:
    made = policy.decide(Stage.PROMPT, [RULES_PASSED, found("prompt.classifier", "privacy", Outcome.BLOCK)])
    assert made.to_public() == {
        "stage": "prompt",
        "outcome": "refuse",
        "categories": ["privacy"],
        "policy": {"id": "permissive", "version": 2, "digest": policy.digest},
    }


def test_decision_carries_the_identity_of_the_policy(policy: Policy) -> None:
    record = policy.decide(Stage.PROMPT, [RULES_PASSED]).to_record()
    assert record["policy"] == {"id": "permissive", "version": 2, "digest": policy.digest}


def test_required_check_that_did_not_run_fails_closed(policy: Policy) -> None:
    with pytest.raises(CheckFailedError, match=r"image\.quality.*did not run"):
        policy.decide(Stage.IMAGE, [])


def test_required_check_with_an_error_fails_closed_even_beside_a_verdict(policy: Policy) -> None:
    failed = found("image.quality", "check_error", Outcome.ERROR, {"exception": "OSError", "message": "away"})
    with pytest.raises(CheckFailedError, match="OSError: away"):
        policy.decide(Stage.IMAGE, [found("image.quality", "quality", Outcome.PASS), failed])


def test_error_of_an_optional_check_is_noted(policy: Policy) -> None:
    findings = [
        found("image.quality", "quality", Outcome.PASS),
        found("image.extra", "check_error", Outcome.ERROR),
    ]
    made = policy.decide(Stage.IMAGE, findings)

    assert made.outcome is DecisionOutcome.RELEASE
    assert [(r.category, r.action) for r in made.reasons] == [("check_error", Action.ANNOTATE)]


def test_the_check_that_the_core_rests_on_is_required_though_the_policy_omits_it(policy: Policy) -> None:
    assert policy.required_checks(Stage.PROMPT) == ("prompt.rules",)
    with pytest.raises(CheckFailedError, match=r"prompt\.rules"):
        policy.decide(Stage.PROMPT, [found("prompt.classifier", "sexual", Outcome.PASS)])


def test_a_policy_that_permits_sexual_content_still_refuses_it_with_a_minor(policy: Policy) -> None:
    findings = [
        found("prompt.rules", "sexual_minors", Outcome.PASS),
        found("prompt.rules", "minor_sign", Outcome.FLAG),
        found("prompt.classifier", "sexual", Outcome.FLAG),
    ]
    made = policy.decide(Stage.PROMPT, findings)

    assert made.outcome is DecisionOutcome.REFUSE
    assert made.categories == ("sexual_minors",)


def test_a_policy_cannot_name_the_category_that_is_always_refused() -> None:
    text = PERMISSIVE.replace("sexual: {action: annotate}", "sexual_minors: {action: annotate}")
    with pytest.raises(PolicyError, match=r"line 10, field prompt.categories.sexual_minors: .*always refused"):
        Policy.from_yaml(text)


def test_sign_of_a_minor_alone_releases() -> None:
    findings = [
        RULES_PASSED,
        LANGUAGE_PASSED,
        found("prompt.rules", "minor_sign", Outcome.FLAG),
        found("prompt.classifier", "sexual", Outcome.PASS),
    ]
    assert Policy.default().decide(Stage.PROMPT, findings).outcome is DecisionOutcome.RELEASE


def test_digest_follows_content_not_layout() -> None:
    spaced = PERMISSIVE.replace(
        "sexual: {action: annotate}", "sexual:\n      action: annotate\n      on_flag: annotate"
    )
    changed = PERMISSIVE.replace("threshold: 0.7", "threshold: 0.71")

    assert Policy.from_yaml("# a comment\n" + spaced).digest == Policy.from_yaml(PERMISSIVE).digest
    assert Policy.from_yaml(changed).digest != Policy.from_yaml(PERMISSIVE).digest


def test_thresholds_are_those_that_the_policy_names(policy: Policy) -> None:
    assert policy.thresholds(Stage.PROMPT) == {"violence": 0.7}
    assert policy.thresholds(Stage.IMAGE) == {}


def test_shipped_policy_refuses_harm_and_holds_doubtful_rights() -> None:
    policy = Policy.default()
    blocked = found("prompt.classifier", "copyright", Outcome.BLOCK)
    assert policy.decide(Stage.PROMPT, [RULES_PASSED, LANGUAGE_PASSED, blocked]).outcome is DecisionOutcome.REVIEW
    for category in ("sexual", "violence", "hate", "self_harm"):
        blocked = found("prompt.classifier", category, Outcome.BLOCK)
        assert policy.decide(Stage.PROMPT, [RULES_PASSED, LANGUAGE_PASSED, blocked]).outcome is DecisionOutcome.REFUSE


def test_a_file_that_is_absent_or_no_text_is_a_policy_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.yaml", "binary.yaml"):
        with pytest.raises(PolicyError, match=name):
            Policy.from_file(tmp_path / name)
