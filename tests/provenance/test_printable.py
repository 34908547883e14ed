from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.printable import MAX_CHARACTERS, printable


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    categories = {unicodedata.category(character) for character in printable(text)}
    assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text(alphabet=st.characters(categories=("L", "N", "P", "Zs")), max_size=MAX_CHARACTERS))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\u{1b}[2J"),
        ("a\u202eb", "a\\u{202e}b"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("two\nlines", "two\\u{a}lines"),
        ("Zoë 北京", "Zoë 北京"),
        (17, "17"),
    ],
)
def test_examples(text: object, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * 1000) == "x" * MAX_CHARACTERS + "…"


def test_piled_up_marks_are_thinned() -> None:
    assert printable("e" + "\u0301" * 50) == "e\u0301\u0301"
