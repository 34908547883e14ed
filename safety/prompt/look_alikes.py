"""Letters of other scripts that look like Latin ones."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache

WORD = re.compile(r"[^\W_]+")

_UNLISTED = "ƅкКтТмМнНвВгпияшщзбчьъыІӀӏΙκτηεωμπλβγδθφχψζσςЄєЗЭэ"
_UNLISTED_LATIN = "bkKtTmMhHbBrnnrwwebubbbIllIktnewmnlbydoqxwzoceeEEe"
"""Letters that are used as look-alikes though Unicode's confusables do not list them as such."""

_LATIN_BLOCKS = (*range(0xC0, 0x2B0), *range(0x1D00, 0x1DC0), *range(0x2C60, 0x2C80), *range(0xA720, 0xA800))
_LATIN_NAME = re.compile(
    r"(?:LATIN|MODIFIER) (?:(?:SMALL|CAPITAL) )?LETTER (?:(?:SMALL|CAPITAL) )*([A-Z])(?: WITH .*)?"
)


@dataclass(frozen=True, slots=True)
class _Tables:
    """ASCII letters by code point: all that are known, those that Unicode lists, those of Latin script."""

    all: dict[int, str]
    listed: frozenset[int]
    latin: frozenset[int]


@cache
def _tables() -> _Tables:
    """Tables from the Unicode names of letters, and from Unicode's confusables (UTS 39).

    `confusable_homoglyphs` carries the confusables.
    """
    from confusable_homoglyphs.confusables import confusables_data

    table = {ord(look_alike): latin for look_alike, latin in zip(_UNLISTED, _UNLISTED_LATIN, strict=True)}
    latin_script = set()
    for code in _LATIN_BLOCKS:
        if named := _LATIN_NAME.fullmatch(unicodedata.name(chr(code), "")):
            letter = named.group(1)
            table[code] = letter if chr(code).isupper() else letter.lower()
            latin_script.add(code)
    listed = set()
    for character, look_alikes in confusables_data.items():
        if len(character) != 1 or character.isascii() or not character.isalpha():
            continue
        letters = [
            entry["c"]
            for entry in look_alikes
            if len(entry["c"]) == 1 and entry["c"].isascii() and entry["c"].isalpha()
        ]
        if letters:
            letters.sort(key=lambda letter: (letter.isupper() != character.isupper(), letter))
            table.setdefault(ord(character), letters[0])
            listed.add(ord(character))
    return _Tables(table, frozenset(listed), frozenset(latin_script))


def replace_look_alikes(text: str) -> tuple[str, int]:
    """`text` with look-alikes of Latin letters replaced where they pass for Latin, and their number.

    That is in words with a Latin letter or of two scripts, and in words of look-alikes only, if most words
    of the text are Latin or if every foreign word could be read as Latin: a Russian sentence keeps "сок".
    """
    if text.isascii():
        return text, 0
    tables = _tables()
    words = WORD.findall(text)
    foreign = {word for word in words if not _mixes_latin(word, tables.latin)}
    mostly_latin = sum(word in foreign for word in words) * 2 <= len(words)
    if mostly_latin:
        kept = {word for word in foreign if not _readable(word, tables.all)}
    else:
        kept = {word for word in foreign if not _readable(word, tables.listed)}
        if kept:
            kept = foreign
    kept = {word for word in kept if len(_scripts(word)) < 2}
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        word = match.group()
        if word.isascii() or word in kept:
            return word
        latin = word.translate(tables.all)
        count += sum(before != after for before, after in zip(word, latin, strict=True))
        return latin

    return WORD.sub(replace, text), count


def _readable(word: str, known: frozenset[int] | dict[int, str]) -> bool:
    return all(character.isascii() or ord(character) in known for character in word)


def _mixes_latin(word: str, latin: frozenset[int]) -> bool:
    return any((c.isascii() and c.isalpha()) or ord(c) in latin for c in word)


def _scripts(word: str) -> set[str]:
    """First words of the letters' Unicode names: the script, near enough for alphabets."""
    return {unicodedata.name(c, "").split(" ", 1)[0] for c in word if c.isalpha()} & _ALPHABETS


_ALPHABETS = frozenset({"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "COPTIC", "CHEROKEE", "LISU"})
