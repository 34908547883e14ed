"""Disguises that people put on words to pass a filter, for training and for measuring."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Evasion = Callable[[str, random.Random], str]

_LOOK_ALIKES = {
    "a": "аɑα", "b": "Ьƅ", "c": "сϲ", "d": "ԁɗ", "e": "еҽ", "g": "ɡց", "h": "һհ", "i": "іɩ", "j": "јϳ",
    "k": "кκ", "l": "ӏⅼ", "m": "мⅿ", "n": "ոп", "o": "оο", "p": "рρ", "q": "ԛ", "r": "гᴦ", "s": "ѕꜱ",
    "t": "тτ", "u": "υս", "v": "ѵν", "w": "ԝѡ", "x": "хⅹ", "y": "уү", "z": "ᴢʐ",
}  # fmt: skip
_LEET = {"a": "4@", "b": "8", "e": "3", "i": "1!", "o": "0", "s": "5$", "t": "7"}
_ZERO_WIDTH = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_WORD = re.compile(r"[A-Za-z]{3,}")


def look_alikes(text: str, rng: random.Random) -> str:
    """About half of the letters as letters of other scripts."""
    return "".join(
        rng.choice(_LOOK_ALIKES[c.lower()]) if c.lower() in _LOOK_ALIKES and rng.random() < 0.5 else c for c in text
    )


def leetspeak(text: str, rng: random.Random) -> str:
    """Inside words, most letters that have a digit or sign for it."""

    def word(match: re.Match[str]) -> str:
        letters = match.group()
        return letters[0] + "".join(
            rng.choice(_LEET[c.lower()]) if c.lower() in _LEET and rng.random() < 0.8 else c for c in letters[1:]
        )

    return _WORD.sub(word, text)


def zero_width(text: str, rng: random.Random) -> str:
    """Invisible characters between the letters of words."""
    return _WORD.sub(
        lambda match: "".join(c + (rng.choice(_ZERO_WIDTH) if rng.random() < 0.5 else "") for c in match.group()),
        text,
    )


def spacing(text: str, rng: random.Random) -> str:
    """Words spelled letter by letter, with one separator for the whole text and wide gaps between words."""
    separator = rng.choice([" ", ".", "-", "_"])
    words = [separator.join(word) if _WORD.fullmatch(word) else word for word in text.split()]
    return "   ".join(words)


EVASIONS: dict[str, Evasion] = {
    "look-alikes": look_alikes,
    "leetspeak": leetspeak,
    "zero-width": zero_width,
    "spacing": spacing,
}
