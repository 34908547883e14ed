from __future__ import annotations

import random

import pytest

from safety.prompt.canonical import canonicalise
from safety.training.evasions import EVASIONS

TEXT = "a naked woman and a pile of corpses"


@pytest.mark.parametrize("name", EVASIONS)
def test_disguise_changes_the_text_and_is_repeatable(name: str) -> None:
    disguised = EVASIONS[name](TEXT, random.Random(1))
    assert disguised != TEXT
    assert disguised == EVASIONS[name](TEXT, random.Random(1))


@pytest.mark.parametrize("name", ["look-alikes", "zero-width", "spacing"])
def test_canonicaliser_undoes_the_disguise(name: str) -> None:
    for seed in range(30):
        disguised = EVASIONS[name](TEXT, random.Random(seed))
        words = canonicalise(disguised).text.lower().split()
        assert sum(word in words for word in TEXT.split()) >= 7, disguised
