from __future__ import annotations

import random

import pytest

from safety.prompt.glossary import GLOSSED_LANGUAGES, shipped_glossary


@pytest.mark.parametrize(
    ("text", "language", "gloss"),
    [
        ("Une femme nue sur un lit", "fr", "a woman naked on a bed"),
        ("ein Hund im Wald", "de", "a dog in forest"),
        ("una donna nuda", "it", "a woman naked"),
        ("ELLE s'ouvre les veines dans la salle de bain", "fr", "elle cutting wrists in the bathroom"),
    ],
)
def test_known_words_and_the_longest_phrases_are_glossed(text: str, language: str, gloss: str) -> None:
    assert shipped_glossary().gloss(text, language) == gloss


def test_without_enough_known_words_there_is_no_gloss() -> None:
    assert shipped_glossary().gloss("quelques bidules farfelus improvisés", "fr") is None
    assert shipped_glossary().gloss("", "fr") is None


def test_other_languages_are_not_glossed() -> None:
    assert shipped_glossary().gloss("kot na stole", "pl") is None


@pytest.mark.parametrize("language", GLOSSED_LANGUAGES)
def test_every_column_is_filled_and_reverses(language: str) -> None:
    glossary = shipped_glossary()
    assert len(glossary.english[language]) > 300
    reversed_ = glossary.reverse("a naked woman on a bed", language, random.Random(1))
    assert reversed_ is not None
    gloss = glossary.gloss(reversed_, language)
    assert gloss is not None
    assert {"woman", "naked", "bed"} <= set(gloss.split())
