"""Comparing policies: every field, and which way it leads."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.checks import Stage
from safety.findings import Finding, Outcome
from safety.policy import SHIPPED_POLICIES, Policy
from safety.policy_difference import Direction, differences, stricter_of
from safety.policy_rules import Action, CategoryRule, Depictable, LanguageRule, PersonRule, StagePolicy
from safety.registry import default_registry

BASE = """
id: base
version: 1
title: Base
persons: {allow: public_figures, otherwise: review}
languages: {other: review, accepted: [en, fr]}
prompt:
  required_checks: [prompt.classifier]
  optional_checks: [prompt.extra]
  categories:
    violence: {action: review, on_flag: review, threshold: 0.5}
    privacy: {action: refuse}
image:
  required_checks: []
  categories: {}
"""
PRIVACY = "prompt.categories.privacy.threshold"
OWN = {(Stage.PROMPT, "privacy"): (0.4, 0.6)}


@pytest.mark.parametrize(
    ("before", "after", "field", "direction"),
    [
        ("allow: public_figures", "allow: adults", "persons", "stricter"),
        ("allow: public_figures", "allow: anyone", "persons", "looser"),
        ("otherwise: review", "otherwise: refuse", "persons", "stricter"),
        ("other: review", "other: annotate", "languages.other", "looser"),
        ("[en, fr]", "[en]", "languages.accepted", "stricter"),
        ("[en, fr]", "[en, de]", "languages.accepted", "looser"),
        (", accepted: [en, fr]", "", "languages.accepted", "looser"),
        ("[prompt.classifier]", "[]", "prompt.required_checks.prompt.classifier", "looser"),
        ("[prompt.extra]", "[]", "prompt.optional_checks.prompt.extra", "looser"),
        ("{action: review, on_flag", "{action: refuse, on_flag", "prompt.categories.violence.action", "stricter"),
        ("on_flag: review", "on_flag: annotate", "prompt.categories.violence.on_flag", "looser"),
        ("threshold: 0.5", "threshold: 0.4", "prompt.categories.violence.threshold", "stricter"),
        ("threshold: 0.5", "threshold: 0.6", "prompt.categories.violence.threshold", "looser"),
        (", threshold: 0.5", "", "prompt.categories.violence.threshold", "unclear"),
        ("privacy: {action: refuse}", "privacy: {action: refuse, threshold: 0.4}", PRIVACY, "stricter"),
        ("privacy: {action: refuse}", "privacy: {action: refuse, threshold: 0.5}", PRIVACY, "looser"),
        ("title: Base", "title: Other", "title", "neutral"),
    ],
)
def test_a_change_is_told_with_its_field_and_direction(before: str, after: str, field: str, direction: str) -> None:
    assert BASE.count(before) == 1
    (found,) = differences(Policy.from_yaml(BASE), Policy.from_yaml(BASE.replace(before, after)), OWN)
    assert (found.field, found.direction) == (field, direction)


def test_who_is_otherwise_done_with_says_nothing_where_anyone_is_allowed() -> None:
    anyone = BASE.replace("allow: public_figures, otherwise: review", "allow: anyone")
    other = BASE.replace("allow: public_figures, otherwise: review", "allow: anyone, otherwise: review")
    (found,) = differences(Policy.from_yaml(anyone), Policy.from_yaml(other))
    assert found.direction is Direction.NEUTRAL


def test_a_category_that_is_no_longer_mentioned_has_the_strict_rule() -> None:
    without = BASE.replace("    violence: {action: review, on_flag: review, threshold: 0.5}\n", "")
    found = {one.field: one.direction for one in differences(Policy.from_yaml(BASE), Policy.from_yaml(without))}
    assert found["prompt.categories.violence.action"] is Direction.STRICTER


def test_equal_policies_do_not_differ() -> None:
    assert differences(Policy.from_yaml(BASE), Policy.from_yaml("# the same\n" + BASE)) == []


def test_each_shipped_policy_is_at_least_as_strict_as_the_one_before() -> None:
    own = default_registry().own_thresholds()
    for milder, stricter in itertools.pairwise(SHIPPED_POLICIES):
        found = differences(Policy.shipped(milder), Policy.shipped(stricter), own)
        assert found
        assert [str(one) for one in found if one.direction.loosens] == []


_actions = st.sampled_from(Action)
_rules = st.builds(
    CategoryRule,
    _actions,
    st.sampled_from([Action.ANNOTATE, Action.REVIEW]),
    st.none() | st.sampled_from([0.25, 0.5, 0.75]),
)
_categories = st.dictionaries(st.sampled_from(["violence", "privacy", "hate"]), _rules)
_checks = st.lists(st.sampled_from(["prompt.classifier", "prompt.extra"]), unique=True, max_size=1).map(tuple)
_stages = st.builds(StagePolicy, _checks, st.just(()), _categories)
_policies = st.builds(
    Policy,
    st.just("any"),
    st.just(1),
    st.just("Any"),
    st.builds(PersonRule, st.sampled_from(Depictable), st.sampled_from([Action.REVIEW, Action.REFUSE])),
    st.builds(LanguageRule, _actions, st.none() | st.sampled_from([("en",), ("en", "fr"), ("de",)])),
    st.fixed_dictionaries({Stage.PROMPT: _stages, Stage.IMAGE: _stages}),
)
_OWN = {(stage, category): (0.5,) for stage in Stage for category in ("violence", "privacy", "hate")}


@given(_policies, _policies)
def test_the_stricter_of_two_is_looser_than_neither(one: Policy, other: Policy) -> None:
    both = stricter_of(one, other, _OWN)
    for policy in (one, other):
        assert [str(found) for found in differences(policy, both, _OWN) if found.direction.loosens] == []


@given(
    _policies, _policies, st.sampled_from(["violence", "privacy", "person", "minor_sign", "public_figure", "language"])
)
def test_what_is_not_told_as_looser_decides_no_milder(before: Policy, after: Policy, category: str) -> None:
    if any(found.direction.loosens for found in differences(before, after, _OWN)):
        return
    rules = Finding("prompt.rules", "1", "sexual_minors", 0.0, 0.5, Outcome.PASS)
    others = [Finding(check, "1", "hate", 0.0, 0.5, Outcome.PASS) for check in ("prompt.classifier", "prompt.extra")]
    for outcome in (Outcome.FLAG, Outcome.BLOCK):
        findings = [rules, *others, Finding("prompt.rules", "1", category, 0.9, 0.5, outcome, {"language": "de"})]
        severity = {"release": 0, "review": 1, "refuse": 2}
        mild, strict = (severity[policy.decide(Stage.PROMPT, findings).outcome] for policy in (before, after))
        assert strict >= mild


@given(_policies)
def test_a_policy_is_the_same_after_it_was_recorded(policy: Policy) -> None:
    again = Policy.from_record(policy.to_record())
    assert again.digest == policy.digest
    assert again.canonical == policy.canonical
