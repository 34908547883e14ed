"""Text from outside made visible."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.reports.visible import MAX_MARKS, characters, code_point, visible, visible_everywhere


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, 100", "plain text, 100"),
        ("two\nlines", "two\nlines"),
        ("Привет مرحبا 中文", "Привет مرحبا 中文"),
        ("\u202eevil", "[U+202E]evil"),
        ("a\x00b\x1b", "a[U+0000]b[U+001B]"),
        ("zero\u200bwidth", "zero[U+200B]width"),
        ("\ufeff", "[U+FEFF]"),
        ("\ud800", "[U+D800]"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian is wrong without its non-joiner
        (" \u200d", " [U+200D]"),
        ("a\u0301\u0302\u0303", "a\u0301\u0302[U+0303]"),
    ],
)
def test_what_would_not_be_seen_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_undrawable_characters_are_code_points() -> None:
    assert visible("中x文", {"中"}) == "[U+4E2D]x文"


@given(st.text())
def test_nothing_hidden_is_left(text: str) -> None:
    shown = visible(text)
    assert all(unicodedata.category(one) not in {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"} or one == "\n" for one in shown)
    runs = "".join("m" if unicodedata.category(one) in {"Mn", "Me"} else " " for one in shown)
    assert "m" * (MAX_MARKS + 1) not in runs


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S"])))
def test_plain_text_stays(text: str) -> None:
    assert visible(text) == text


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_every_text_of_a_json_value_is_made_visible(value: object) -> None:
    shown = visible_everywhere(value, characters(value) - {"\n"})
    assert characters(shown) == set()


def test_code_points_are_written_as_unicode_does() -> None:
    assert code_point("😀") == "[U+1F600]"
