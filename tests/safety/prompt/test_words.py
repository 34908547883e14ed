from __future__ import annotations

import pytest

from safety.prompt.words import known_words


@pytest.mark.parametrize(
    ("letters", "pieces"),
    [
        ("nakedwoman", ["naked", "woman"]),
        ("killhimnow", ["kill", "him", "now"]),
        ("AMANONABED", ["A", "MAN", "ON", "A", "BED"]),
    ],
)
def test_letters_are_cut_into_words(letters: str, pieces: list[str]) -> None:
    assert known_words().segment(letters) == pieces


@pytest.mark.parametrize(("masked", "word"), [("n*de", "nude"), ("f**k", "fuck"), ("t***", None), ("q*z", None)])
def test_a_masked_word_is_read_if_it_can_be_one_only(masked: str, word: str | None) -> None:
    assert known_words().unmask(masked) == word


def test_every_sensitive_word_is_a_word() -> None:
    words = known_words()
    assert words.sensitive <= set(words.costs)
    assert all(word == word.lower() and word.isascii() and word.isalpha() for word in words.sensitive)
