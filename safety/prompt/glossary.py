"""The gist of a prompt in another language, word by word in English, for a classifier that reads English."""

from __future__ import annotations

import random
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

GLOSSED_LANGUAGES = ("fr", "es", "de", "it", "pt")
"""In the order of the columns of `glossary.txt`."""

COVERED_SHARE_MIN = 0.4
"""Share of words that the glossary must know; below, a gloss says too little."""

_PHRASE_WORDS_MAX = 5
_WORD = re.compile(r"[^\W_]+")
_NONE = "-"


@dataclass(frozen=True, slots=True)
class Glossary:
    """`english` by language and foreign phrase; `foreign` by language and English phrase: all its forms."""

    english: dict[str, dict[str, str]]
    foreign: dict[str, dict[str, tuple[str, ...]]]

    def gloss(self, text: str, language: str) -> str | None:
        """`text` in English, as far as its words are known; None if few are, or the language is not glossed."""
        if language not in self.english:
            return None
        words = _plain(text).split()
        glossed, known = _replaced(words, self.english[language])
        return " ".join(glossed) if words and known / len(words) >= COVERED_SHARE_MIN else None

    def reverse(self, text: str, language: str, rng: random.Random) -> str | None:
        """English `text` in words of `language`, in English order; None if few of its words are known."""
        words = _plain(text).split()
        chosen = {phrase: rng.choice(forms) for phrase, forms in self.foreign[language].items()}
        reversed_, known = _replaced(words, chosen)
        return " ".join(reversed_) if words and known / len(words) >= COVERED_SHARE_MIN else None


def _replaced(words: list[str], phrases: dict[str, str]) -> tuple[list[str], int]:
    """`words` with the longest phrases replaced, and how many words were in one."""
    found: list[str] = []
    position, known = 0, 0
    while position < len(words):
        for length in range(min(_PHRASE_WORDS_MAX, len(words) - position), 0, -1):
            phrase = " ".join(words[position : position + length])
            if phrase in phrases:
                found.append(phrases[phrase])
                known += length
                position += length
                break
        else:
            found.append(words[position])
            position += 1
    return found, known


@cache
def shipped_glossary() -> Glossary:
    """The glossary that ships with the product."""
    text = files("safety").joinpath("prompt", "data", "glossary.txt").read_text(encoding="utf-8")
    english: dict[str, dict[str, str]] = {language: {} for language in GLOSSED_LANGUAGES}
    foreign: dict[str, dict[str, tuple[str, ...]]] = {language: {} for language in GLOSSED_LANGUAGES}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        meaning, *columns = (column.strip() for column in line.split("|"))
        for language, column in zip(GLOSSED_LANGUAGES, columns, strict=True):
            forms = [form.strip() for form in column.split(",") if form.strip() not in ("", _NONE)]
            for form in forms:
                english[language].setdefault(_plain(form), meaning)
            if forms:
                foreign[language][_plain(meaning)] = tuple(forms)
    return Glossary(english, foreign)


def _plain(text: str) -> str:
    """Lower-case words without accents, one space between them."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().replace("ß", "ss").replace("œ", "oe"))
    letters = "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
    return " ".join(_WORD.findall(letters))
