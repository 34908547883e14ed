from __future__ import annotations

import pytest

from safety.prompt.emoji import name_emoji


@pytest.mark.parametrize(
    ("text", "words", "count"),
    [
        ("plain", "plain", 0),
        ("🔪", "knife", 1),
        ("💣", "bomb", 1),
        ("👧🏽", "little girl", 2),
        ("🍑", "peach", 1),
        ("🍆🍑", "sex peach", 2),
        ("👉👌", "sex", 1),
        ("日本 ★ ½", "日本 ★ ½", 0),
    ],
)
def test_emoji_are_read_as_words(text: str, words: str, count: int) -> None:
    named, found = name_emoji(text)
    assert (" ".join(named.split()), found) == (words, count)
