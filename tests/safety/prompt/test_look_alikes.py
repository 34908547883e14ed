from __future__ import annotations

import pytest

from safety.prompt.look_alikes import replace_look_alikes


@pytest.mark.parametrize(
    ("text", "latin", "count"),
    [
        ("plain", "plain", 0),
        ("pаinter", "painter", 1),  # Cyrillic а
        ("ραίnt", "paίnt", 2),  # Greek ρα; the accented ί is left to the marks' step
        ("a pic of кіll", "a pic of kill", 2),
        ("ѕех", "sex", 3),
        ("a το b", "a to b", 2),
    ],
)
def test_look_alikes_in_words_that_pass_for_latin_are_replaced(text: str, latin: str, count: int) -> None:
    assert replace_look_alikes(text) == (latin, count)


@pytest.mark.parametrize("text", ["сок и вода", "Київ, місто на Дніпрі", "το βιβλίο είναι εδώ", "东京", "ひらがな"])
def test_text_in_another_script_is_kept(text: str) -> None:
    assert replace_look_alikes(text) == (text, 0)
