from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safety.prompt.windows import WORD_LENGTH_MAX, windows


@pytest.mark.parametrize("text", ["", "a red apple", "word " * 30])
def test_short_text_is_one_window(text: str) -> None:
    assert windows(text) == [" ".join(text.split())]


def test_a_word_at_the_end_of_a_long_text_is_in_a_window() -> None:
    found = windows("peaceful " * 400 + "explosion")
    assert any(window.endswith("explosion") for window in found)
    assert len(found) > 2


def test_a_long_text_is_read_closely_too() -> None:
    lengths = [len(window.split()) for window in windows("peaceful " * 100)]
    assert max(lengths) > 35
    assert min(lengths) < 20


def test_neighbouring_windows_overlap() -> None:
    words = [f"w{number}" for number in range(300)]
    found = [set(window.split()) for window in windows(" ".join(words)) if len(window.split()) > 30]
    assert all(first & second for first, second in itertools.pairwise(found))


def test_text_without_spaces_is_cut() -> None:
    assert all(len(word) <= WORD_LENGTH_MAX for window in windows("字" * 1000) for word in window.split())


@given(st.text(max_size=3000))
def test_every_word_is_in_some_window(text: str) -> None:
    found = windows(text)
    words = {word[i : i + WORD_LENGTH_MAX] for word in text.split() for i in range(0, len(word), WORD_LENGTH_MAX)}
    assert words == {word for window in found for word in window.split()}
    assert len(found) <= 2 + 2 * len(text)
