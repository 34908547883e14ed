from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from safety.errors import PolicyError
from safety.policy_file import parse_policy

VALID = """id: house
version: 1
title: House rules
persons: {allow: anyone}
languages: {other: annotate}
prompt:
  required_checks: [prompt.classifier]
  categories:
    sexual: {action: refuse, on_flag: review, threshold: 0.5}
image:
  required_checks: []
  categories: {}
"""


def parse(text: str) -> object:
    return parse_policy(text, "house.yaml", always_refused=frozenset({"sexual_minors"}))


def test_valid_policy_is_read_as_written() -> None:
    policy = parse_policy(VALID, "house.yaml", always_refused=frozenset())
    rule = policy.stages["prompt"].categories["sexual"]

    assert (policy.id, policy.version, policy.title) == ("house", 1, "House rules")
    assert (rule.action, rule.on_flag, rule.threshold) == ("refuse", "review", 0.5)
    assert policy.stages["image"].categories == {}


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("version: 1", "version: one", r"line 2, field version: expected a whole number from 1, got 'one'"),
        ("version: 1", "version: 0", r"line 2, field version: expected a whole number"),
        ("id: house", "id: The House", r"line 1, field id: expected a lower-case name"),
        (
            "action: refuse",
            "action: forbid",
            r"line 9, field prompt.categories.sexual.action: .*annotate, review, refuse",
        ),
        ("on_flag: review", "on_flag: refuse", r"line 9, .*on_flag: expected one of annotate, review, got 'refuse'"),
        ("threshold: 0.5", "threshold: 1.5", r"line 9, .*threshold: expected a number above 0 and at most 1"),
        ("threshold: 0.5", "threshold: .nan", r"line 9, .*threshold"),
        ("threshold: 0.5", "threshold: 0", r"line 9, .*threshold"),
        (
            "threshold: 0.5",
            "treshold: 0.5",
            r"line 9, .*treshold: expected one of the fields action, on_flag, threshold",
        ),
        ("title: House rules\n", "", r"line 1, field policy: expected the field\(s\) title"),
        ("title: House rules", "title: a\ntitle: b", r"line 4, field policy.title: .*repeated"),
        ("[prompt.classifier]", "prompt.classifier", r"line 7, field prompt.required_checks: expected a list"),
        ("[prompt.classifier]", "[prompt.classifier, prompt.classifier]", r"line 7, .*each entry once"),
        ("required_checks: []", "required_checks: [a]\n  optional_checks: [a]", r"line 12, .*not to be required too"),
        ("categories: {}", "categories: []", r"line 12, field image.categories: expected a mapping"),
        ("sexual:", "sexual_minors:", r"line 9, .*always refused"),
        ("sexual:", "Sexual!:", r"line 9, .*a category in lower case"),
        ("{action: refuse, on_flag: review, threshold: 0.5}", "refuse", r"line 9, .*expected a mapping"),
        ("{action: refuse, on_flag: review, threshold: 0.5}", "&a {action: *a}", r"aliases"),
        ("id: house", "id: [", r"not readable as YAML"),
    ],
)
def test_error_names_line_field_and_what_was_expected(before: str, after: str, message: str) -> None:
    assert before in VALID
    with pytest.raises(PolicyError, match=message):
        parse(VALID.replace(before, after, 1))


@pytest.mark.parametrize("text", ["", "# nothing", "- a\n- b", "just text", "x" * 300_000])
def test_what_is_no_policy_at_all_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse(text)


@given(
    st.text(max_size=400)
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(yaml.safe_dump)
)
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    with contextlib.suppress(PolicyError):
        parse(text)
