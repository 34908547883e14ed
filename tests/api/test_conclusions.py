"""Precedence of conclusions, and what their statements must never say."""

from __future__ import annotations

import itertools

import pytest

from api.conclusions import CONCLUSIONS, STATEMENTS, in_order

NEVER_SAID = ("authentic", "real photo", "100 %", "100%", "guaranteed", "lawful", "compliant", "tampered", "genuine")


def test_the_precedence_is_the_documented_one() -> None:
    assert CONCLUSIONS == (
        "credential_broken",
        "conflict",
        "issued_here",
        "declared_ai",
        "declared_edited",
        "declared_capture",
        "likely_ai",
        "inconclusive",
    )


def test_every_pair_is_put_in_order_whatever_order_it_came_in() -> None:
    for first, second in itertools.combinations(CONCLUSIONS[:-1], 2):
        assert in_order([second, first, second]) == (first, second)


def test_all_that_hold_are_kept() -> None:
    assert in_order(reversed(CONCLUSIONS[:-1])) == CONCLUSIONS[:-1]


def test_nothing_found_is_inconclusive() -> None:
    assert in_order([]) == in_order(["inconclusive"]) == ("inconclusive",)


@pytest.mark.parametrize("other", CONCLUSIONS[:-1])
def test_inconclusive_never_stands_beside_another(other: str) -> None:
    assert in_order(["inconclusive", other]) == (other,)


def test_a_name_that_is_no_conclusion_is_not_dropped_silently() -> None:
    with pytest.raises(ValueError, match="claimed_untrusted"):
        in_order(["issued_here", "claimed_untrusted"])


@pytest.mark.parametrize("name", CONCLUSIONS)
def test_statements_are_sentences_that_promise_nothing(name: str) -> None:
    statement = STATEMENTS[name]

    assert statement.endswith(".")
    assert not [word for word in NEVER_SAID if word in statement.lower()]


def test_absence_of_evidence_is_said_to_show_nothing() -> None:
    assert "says nothing about how it was made" in STATEMENTS["inconclusive"]
    assert "does not say who, why, or what" in STATEMENTS["credential_broken"]
