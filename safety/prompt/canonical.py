"""Undoes what people do to a word so that a filter does not read it, and says what was undone."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from safety.prompt.emoji import name_emoji
from safety.prompt.encoded import decode_spans
from safety.prompt.look_alikes import WORD, replace_look_alikes
from safety.prompt.words import SEGMENTED_LENGTH_MAX, known_words

CANONICAL_LENGTH_MAX = 16_384
"""Characters of canonical text; what comes after is cut, and the trace says so."""

_ROUNDS_MAX = 64
_LEET = str.maketrans("013456789@$!|€", "oieasgtbgasiie")
_KNOWN_WORD_LENGTH_MIN = 4
"""From this length on a token that is a word when its signs are read as letters is that word: "g@m3"."""

_LEET_AT_START = frozenset("034578@$€")
_COUNTED = re.compile(
    r"st|[nr]d|th|mm|cm|km|ft|in|px|fps|[gmt]b|[kmg]?hz|am|pm|pcs?|mp|bits?|girls?|boys?|m[ae]n|wom[ae]n|people|"
    r"persons?|stars?|points?|ways?|doors?|seater|ad|bc|yo|yrs?|years?|months?|weeks?|days?|old",
    re.IGNORECASE,
)
"""Words that follow a number written without a space: "50mm", "2girls". They are no disguise."""
_DOUBLED_IN_ENGLISH = frozenset("bcdefglmnoprstz")


@dataclass(frozen=True, slots=True)
class Change:
    """One kind of disguise that was undone, and how often. Holds no part of the prompt: it is recorded."""

    step: str
    count: int


@dataclass(frozen=True, slots=True)
class CanonicalText:
    """Text without disguises, at most `CANONICAL_LENGTH_MAX` characters, and the trace of what changed."""

    text: str
    trace: tuple[Change, ...]


def canonicalise(text: str) -> CanonicalText:
    """`text` in compatibility form (NFKC, Unicode Standard Annex 15) and without disguises.

    Undone are invisible and control characters, emoji that stand for words, spans in base64 and other
    encodings, marks over Latin letters, look-alike letters of other scripts (Unicode Technical Standard
    39), letters written as digits or signs or masked by them, signs and spaces between the letters of a
    word, words run together, and stretched letters. Numbers and units ("1950s", "4k", "50mm") stay, and
    so does text that is wholly in another script. Idempotent; never raises.
    """
    counts: dict[str, int] = {}
    for _ in range(_ROUNDS_MAX):
        before = text
        for name, step in _STEPS:
            text, count = step(text)
            if count:
                counts[name] = counts.get(name, 0) + count
        if text == before:
            break
    return CanonicalText(text, tuple(Change(name, counts[name]) for name, _ in _STEPS if name in counts))


def boldest_reading(text: str) -> str:
    """`text` with every digit and sign that may stand for a letter read as one, in all tokens that are words then.

    Wider than `canonicalise`, which leaves names such as "apollo13" alone; it is examined besides it.
    """
    words = known_words().costs

    def replace(match: re.Match[str]) -> str:
        plain = match.group().translate(_LEET)
        return plain if plain.lower() in words else match.group()

    return _BOLD_TOKEN.sub(replace, text)


_BOLD_TOKEN = re.compile(r"(?<![A-Za-z0-9@$])(?=[0-9@$!|€]*[A-Za-z])[A-Za-z0-9@$|€!]{3,}(?<=[A-Za-z0-9@$])")


def encodable(text: str) -> str:
    """`text` without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


def visible(text: str) -> str:
    """`text` without what cannot be seen, with single spaces, and otherwise as it stands."""
    return _spaces(_invisible(encodable(text))[0])[0]


def _compatibility(text: str) -> tuple[str, int]:
    text = encodable(text)
    if text.isascii():
        return text, 0
    normal = unicodedata.normalize("NFKC", text).translate(_enclosed_letters())
    return normal, int(normal != unicodedata.normalize("NFC", text))


def _cut(text: str) -> tuple[str, int]:
    return text[:CANONICAL_LENGTH_MAX], int(len(text) > CANONICAL_LENGTH_MAX)


def _invisible(text: str) -> tuple[str, int]:
    if text.isascii() and text.isprintable():
        return text, 0
    kept = [
        " " if character.isspace() or character in _BLANKS else character
        for character in text
        if character.isspace() or not _is_invisible(character)
    ]
    return "".join(kept), len(text) - len(kept)


_BLANKS = frozenset("\u2800\u00a0")
_INVISIBLE_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u17b4\u17b5\u034f")


def _is_invisible(character: str) -> bool:
    code = ord(character)
    variation_selector = 0xFE00 <= code <= 0xFE0F or 0xE0100 <= code <= 0xE01EF
    return (
        variation_selector
        or character in _INVISIBLE_LETTERS
        or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cn")
    )


def _marks(text: str) -> tuple[str, int]:
    """Without marks on Latin letters; marks of other scripts carry meaning."""
    if text.isascii():
        return text, 0
    kept: list[str] = []
    on_latin = False
    dropped = 0
    for character in unicodedata.normalize("NFD", text):
        if unicodedata.category(character) in ("Mn", "Me"):
            if on_latin:
                dropped += 1
                continue
        else:
            on_latin = character.isascii() and character.isalpha()
        kept.append(character)
    return unicodedata.normalize("NFC", "".join(kept)), dropped


@cache
def _enclosed_letters() -> dict[int, str]:
    """Squared, circled and regional-indicator letters that NFKC leaves alone."""
    starts = (0x1F150, 0x1F170, 0x1F1E6)
    return {start + offset: chr(ord("a") + offset) for start in starts for offset in range(26)}


_LEET_INSIDE = re.compile(r"[A-Za-z][013456789@$!|€]+(?=[A-Za-z])")
_LEET_TOKEN = re.compile(r"[A-Za-z0-9@$!|€]+")


_DOMAIN = re.compile(r"\.[A-Za-z]")


def _leet(text: str) -> tuple[str, int]:
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        token = match.group()
        core = token.rstrip("!|")
        if "@" in core and _DOMAIN.match(text, match.end()):  # an address
            return token
        plain = _without_leet(core)
        count += plain != core
        return plain + token[len(core) :]

    return _LEET_TOKEN.sub(replace, text), count


def _without_leet(token: str) -> str:
    """`token` with letters for its signs, if that makes it a word and it does not look like a name."""
    letters = sum(character.isalpha() for character in token)
    plain = token.translate(_LEET)
    if letters < 2 or letters == len(token) or not plain.isalpha():
        return token
    if len(token) >= _KNOWN_WORD_LENGTH_MIN:
        for known in (plain, token.replace("1", "l").translate(_LEET)):
            if known.lower() in known_words().costs:
                return known
    inside = _LEET_INSIDE.search(token)
    rest = token[1:]
    at_start = token[0] in _LEET_AT_START and rest.isalpha() and len(rest) > 1 and not _COUNTED.fullmatch(rest)
    at_end = token[-1] in "$€@" and letters >= 3
    return plain if inside or at_start or at_end else token


_SEPARATOR = r"[ .\-_*/~^'`·•,:;=+\\|]"
_SPELLED = re.compile(
    rf"(?<![^\W_])([A-Za-z0-9@$])({_SEPARATOR}{{1,2}})([A-Za-z0-9@$!](?:\2[A-Za-z0-9@$!])+)(?![^\W_])"
)
_WHOLE_WORD_LETTERS = 8
"""Spelled letters beyond these may be several words."""


def _spelled(text: str) -> tuple[str, int]:
    """Joins at least three single letters with the same separator: "s e x", "s.e.x"."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        joined = match.group(1) + match.group(3).replace(match.group(2), "")
        if sum(character.isalpha() for character in joined) < 3:
            return match.group()
        count += 1
        return _parted(joined)

    return _SPELLED.sub(replace, text), count


def _parted(joined: str) -> str:
    """`joined` letters as words, where there may be several."""
    plain = joined.translate(_LEET)
    if not _WHOLE_WORD_LETTERS < len(plain) <= SEGMENTED_LENGTH_MAX or not plain.isalpha():
        return joined
    words = known_words()
    if plain.lower() in words.costs:
        return joined
    pieces = words.segment(plain)
    single = sum(len(piece) == 1 and piece.lower() not in "ai" for piece in pieces)
    return joined if single > len(pieces) // 3 else " ".join(pieces)


_SIGN_INSIDE = re.compile(r"(?<=[A-Za-z])[*~^•·`]+(?=[A-Za-z])")
_BROKEN_WORD = re.compile(r"(?<![^\W_])[A-Za-z]{1,2}(?:([._\-/])[A-Za-z]{1,2})(?:\1[A-Za-z]{1,2})+(?![^\W_])")


def _punctuated(text: str) -> tuple[str, int]:
    """Drops signs that no word has inside, and joins words cut into pieces of one or two letters."""
    text, signs = _SIGN_INSIDE.subn("", text)
    text, words = _BROKEN_WORD.subn(lambda match: match.group().replace(match.group(1), ""), text)
    return text, signs + words


_MASKED = re.compile(r"(?<![^\W_])[A-Za-z]+(?:[*#%]+[A-Za-z]*)+")


def _masked(text: str) -> tuple[str, int]:
    """Sensitive words with signs in place of letters: "n*de", "f##k"."""
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        word = known_words().unmask(match.group())
        count += word is not None
        return word or match.group()

    return _MASKED.sub(replace, text), count


_TORN = re.compile(r"(?<![^\W_])([A-Za-z]{1,9})([ ._\-/'+]{1,3})([A-Za-z]{1,9})(?![^\W_])")


def _torn(text: str) -> tuple[str, int]:
    """Joins two pieces, the longer of which is no word, to the sensitive word that they are: "nak ed"."""
    words = known_words()
    count, start = 0, 0
    while match := _TORN.search(text, start):
        first, second = match.group(1).lower(), match.group(3).lower()
        if first + second in words.sensitive and max(first, second, key=len) not in words.costs:
            count += 1
            text = text[: match.start()] + match.group(1) + match.group(3) + text[match.end() :]
            start = match.start()
        else:
            start = match.start(3)
    return text, count


_IDENTITY = ("sexual", "sexuals", "sexuality")
"""Words that end so name whom somebody loves: "pansexual"."""

_RUN_TOGETHER = re.compile(r"(?<![^\W_])[A-Za-z]{7,40}(?![^\W_])")


def _run_together(text: str) -> tuple[str, int]:
    """Parts words that were written without a space, if one of them is sensitive: "nakedwoman"."""
    words = known_words()
    count = 0

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        lower = match.group().lower()
        if lower in words.costs or lower.endswith(_IDENTITY) or not words.holds_sensitive(lower):
            return match.group()
        pieces = words.segment(match.group())
        known = all(len(piece) > 2 and piece.lower() in words.costs for piece in pieces)
        if not known or not any(piece.lower() in words.sensitive for piece in pieces):
            return match.group()
        count += 1
        return " ".join(pieces)

    return _RUN_TOGETHER.sub(replace, text), count


_STRETCHED = re.compile(r"(([A-Za-z])\2{2,})", re.IGNORECASE)
_DOUBLED = re.compile(r"([A-Za-z])\1+", re.IGNORECASE)
_ROMAN_OR_SINGLE = re.compile(r"[ivxlcm]+|(.)\1*", re.IGNORECASE)


def _stretched(text: str) -> tuple[str, int]:
    """Three and more of a letter become two where English doubles the letter, else one.

    A word that is none, and sensitive when each letter is written once, is read so: "seexx", "pooorn".
    """
    words = known_words()
    count = 0

    def shorten(match: re.Match[str]) -> str:
        run = match.group(1)
        return run[:2] if run[0].lower() in _DOUBLED_IN_ENGLISH else run[:1]

    def replace(match: re.Match[str]) -> str:
        nonlocal count
        word = match.group()
        if _ROMAN_OR_SINGLE.fullmatch(word):
            return word
        short = _STRETCHED.sub(shorten, word)
        if short.lower() not in words.costs:
            once = _DOUBLED.sub(r"\1", word)
            if once.lower() in words.sensitive:
                short = once
        count += short != word
        return short

    return WORD.sub(replace, text), count


def _spaces(text: str) -> tuple[str, int]:
    return " ".join(text.split()), 0


Step = Callable[[str], tuple[str, int]]

_STEPS: tuple[tuple[str, Step], ...] = (
    ("compatibility", _compatibility),
    ("cut", _cut),
    ("invisible", _invisible),
    ("encoded", decode_spans),
    ("emoji", name_emoji),
    ("marks", _marks),
    ("look-alikes", replace_look_alikes),
    ("spelled", _spelled),
    ("leet", _leet),
    ("masked", _masked),
    ("punctuated", _punctuated),
    ("torn", _torn),
    ("run-together", _run_together),
    ("stretched", _stretched),
    ("spaces", _spaces),
)
"""In this order: spelling needs the wide spaces that the last step removes."""
