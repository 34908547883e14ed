"""Policies that extend others, and rules on persons and languages."""

from __future__ import annotations

from pathlib import Path

import pytest

from safety.checks import Stage
from safety.errors import PolicyError
from safety.findings import Finding, Outcome
from safety.policy import SHIPPED_POLICIES, DecisionOutcome, Policy
from safety.policy_rules import Action, CategoryRule
from safety.registry import default_registry

OVERLAY = """id: acme
version: 2
title: Acme
extends: newsroom
persons: {allow: none, otherwise: refuse}
prompt:
  required_checks: [prompt.extra]
  categories:
    trademark: {action: refuse}
    violence: {on_flag: review}
"""
OWN = default_registry().own_thresholds()
RULES = Finding("prompt.rules", "1", "sexual_minors", 0.0, 0.5, Outcome.PASS)
CLASSIFIER = Finding("prompt.classifier", "1", "sexual", 0.0, 0.5, Outcome.PASS)
LANGUAGE = Finding("prompt.language", "1", "language", 0.0, 1.0, Outcome.PASS, {"language": "en"})


def read(text: str = OVERLAY) -> Policy:
    return Policy.from_yaml(text, "acme.yaml", own_thresholds=OWN)


def test_what_is_said_replaces_and_what_is_not_said_stays() -> None:
    policy, base = read(), Policy.shipped("newsroom")
    assert policy.rule(Stage.PROMPT, "trademark").on_block is Action.REFUSE
    assert policy.rule(Stage.PROMPT, "violence") != base.rule(Stage.PROMPT, "violence")
    assert policy.rule(Stage.PROMPT, "violence").on_block is base.rule(Stage.PROMPT, "violence").on_block
    assert policy.rule(Stage.PROMPT, "copyright") == base.rule(Stage.PROMPT, "copyright")
    assert policy.stages[Stage.IMAGE] == base.stages[Stage.IMAGE]


def test_checks_are_added_to_those_of_the_base() -> None:
    assert {"prompt.rules", "prompt.classifier", "prompt.extra"} <= set(read().required_checks(Stage.PROMPT))


def test_the_digest_covers_what_applies_and_names_the_base() -> None:
    policy = read()
    assert policy.extends is not None
    assert policy.extends.digest == Policy.shipped("newsroom").digest
    assert policy.to_record()["stages"]["image"] == Policy.shipped("newsroom").to_record()["stages"]["image"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            "trademark: {action: refuse}",
            "trademark: {action: annotate}",
            r"acme.yaml, line 9, field prompt.categories.trademark.action: annotate would be looser than review",
        ),
        (
            "violence: {on_flag: review}",
            "hate: {on_flag: annotate}",
            r"line 10, field prompt.categories.hate.on_flag: annotate would be looser than review",
        ),
        (
            "persons: {allow: none, otherwise: refuse}",
            "persons: {allow: anyone}",
            r"line 5, field persons: anyone would be looser than adults, otherwise review in newsroom",
        ),
        (
            "violence: {on_flag: review}",
            "violence: {threshold: 1}",
            r"line 10, field prompt.categories.violence.threshold: 1. would be looser than the check's own",
        ),
        (
            "violence: {on_flag: review}",
            "mystery: {action: review}",
            r"line 10, field prompt.categories.mystery.action: review would be looser than refuse",
        ),
        ("extends: newsroom", "extends: tabloid", r"line 4, field extends: expected one of default, newsroom, strict"),
        ("extends: newsroom", "extends: [newsroom]", r"line 4, field extends: expected the name of a policy"),
        ("violence: {on_flag", "sexual_minors: {on_flag", r"line 10, .*always refused"),
        ("violence: {on_flag", "minor_sign: {on_flag", r"line 10, .*the section persons rules on this category"),
        ("violence: {on_flag", "language: {on_flag", r"line 10, .*the section languages rules on this category"),
        ("allow: none", "allow: nobody", r"line 5, field persons.allow: expected one of none, adults"),
        (
            "otherwise: refuse",
            "otherwise: annotate",
            r"line 5, .*otherwise: expected one of review, refuse",
        ),
    ],
)
def test_nothing_can_be_looser_and_the_error_names_it(before: str, after: str, message: str) -> None:
    assert OVERLAY.count(before) == 1
    with pytest.raises(PolicyError, match=message):
        read(OVERLAY.replace(before, after))


def test_every_loosening_is_named_at_once() -> None:
    text = OVERLAY.replace("trademark: {action: refuse}", "trademark: {action: annotate}")
    text = text.replace("violence: {on_flag: review}", "violence: {action: review}")
    with pytest.raises(PolicyError, match=r"trademark.*violence.*A policy that extends newsroom can only be stricter"):
        read(text)


def test_a_threshold_beside_an_unknown_one_is_refused_because_it_cannot_be_compared() -> None:
    text = OVERLAY.replace("violence: {on_flag: review}", "violence: {threshold: 0.1}")
    with pytest.raises(PolicyError, match="cannot be compared"):
        Policy.from_yaml(text, "acme.yaml")
    assert read(text).rule(Stage.PROMPT, "violence").threshold == 0.1


@pytest.mark.parametrize("missing", ["persons", "languages", "prompt", "image"])
def test_a_policy_that_extends_nothing_leaves_nothing_out(missing: str) -> None:
    text = {
        "persons": "persons: {allow: anyone}\n",
        "languages": "languages: {other: annotate}\n",
        "prompt": "prompt: {required_checks: [], categories: {}}\n",
        "image": "image: {required_checks: [], categories: {}}\n",
    }
    complete = "id: a\nversion: 1\ntitle: A\n" + "".join(text.values())
    assert Policy.from_yaml(complete).id == "a"
    with pytest.raises(PolicyError, match=rf"the field\(s\) {missing}, which are missing"):
        Policy.from_yaml(complete.replace(text[missing], ""))


@pytest.mark.parametrize(
    ("allow", "refused"),
    [
        ("none", {"person", "public_figure", "minor_sign"}),
        ("adults", {"public_figure", "minor_sign"}),
        ("public_figures", {"minor_sign"}),
        ("anyone", set()),
    ],
)
def test_the_rule_on_persons_refuses_whoever_it_does_not_allow(allow: str, refused: set[str]) -> None:
    text = OVERLAY.replace("allow: none", f"allow: {allow}").replace("extends: newsroom", "extends: default")
    policy = read(text.replace("  required_checks: [prompt.extra]\n", ""))
    found = {
        category
        for category in ("person", "public_figure", "minor_sign")
        if policy.decide(
            Stage.PROMPT, [RULES, CLASSIFIER, LANGUAGE, Finding("prompt.rules", "1", category, 0.5, 1.0, Outcome.FLAG)]
        ).outcome
        is DecisionOutcome.REFUSE
    }
    assert found == refused


@pytest.mark.parametrize(
    ("languages", "language", "outcome", "decision"),
    [
        ("{other: annotate}", "yo", Outcome.FLAG, DecisionOutcome.RELEASE),
        ("{other: review}", "yo", Outcome.FLAG, DecisionOutcome.REVIEW),
        ("{other: refuse}", "yo", Outcome.FLAG, DecisionOutcome.REFUSE),
        ("{other: refuse}", "fr", Outcome.PASS, DecisionOutcome.RELEASE),
        ("{other: refuse, accepted: [en]}", "fr", Outcome.PASS, DecisionOutcome.REFUSE),
        ("{other: review, accepted: [en, fr]}", "fr", Outcome.PASS, DecisionOutcome.RELEASE),
    ],
)
def test_the_rule_on_languages_decides_what_is_done_about_others(
    languages: str, language: str, outcome: Outcome, decision: DecisionOutcome
) -> None:
    text = f"id: a\nversion: 1\ntitle: A\nextends: default\nlanguages: {languages}\n"
    found = Finding("prompt.language", "1", "language", 0.9, 0.5, outcome, {"language": language})
    assert read(text).decide(Stage.PROMPT, [RULES, CLASSIFIER, found]).outcome is decision


def test_the_documentation_says_what_the_shipped_policies_do() -> None:
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text(encoding="utf-8")
    shipped = [Policy.shipped(name) for name in SHIPPED_POLICIES]
    rows = [
        f"| {stage.value} | `{category}` | {' | '.join(_said(policy.rule(stage, category)) for policy in shipped)} |"
        for stage in Stage
        for category in shipped[0].stages[stage].categories
    ]
    rows.append(f"| prompt | languages that were not measured | {' | '.join(p.languages.other for p in shipped)} |")
    assert [row for row in rows if row not in page] == []
    assert all(policy.stages[stage].categories.keys() == shipped[0].stages[stage].categories.keys()
               for policy in shipped for stage in Stage)  # fmt: skip


def _said(rule: CategoryRule) -> str:
    return rule.on_block if rule.on_flag is Action.ANNOTATE else f"{rule.on_block}, flags: {rule.on_flag}"
