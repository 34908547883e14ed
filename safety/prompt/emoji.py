"""Emoji that stand for words."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

_FIRST, _LAST = 0x1F300, 0x1FAFF
"""Blocks of pictographs; those before are letters, numbers and game tiles."""

_SKIN_TONES = range(0x1F3FB, 0x1F400)
_MEANINGS = {
    "🔪": "knife",
    "🗡": "dagger",
    "🔫": "gun",
    "🩸": "blood",
    "🔞": "nsfw",
    "💩": "shit",
    "🖕": "fuck you",
    "☠": "skull",
    "⚔": "swords",
    "☢": "radioactive",
    "☣": "biohazard",
    "⚰": "coffin",
    "❤": "heart",
    "♥": "heart",
    "卍": "swastika",
    "卐": "swastika",
    "👧": "little girl",
    "👦": "little boy",
    "🧒": "child",
    "👙": "bikini",
    "💊": "pill",
    "🍁": "maple leaf",
    "🧨": "explosive",
}
"""Where the Unicode name is not the word that people mean."""

_SUGGESTIVE = re.compile("[🍆🍌🍑💦👅🍒]\\s*(?=[🍆🍌🍑💦👅🍒])|👉\\s*👌|👌\\s*👈|🍆(?=.{0,3}[🍑💦👅])")
"""Fruit and drops beside each other speak of sex; one alone is fruit."""


def name_emoji(text: str) -> tuple[str, int]:
    """`text` with each emoji replaced by its word, and their number."""
    if text.isascii():
        return text, 0
    text, suggestive = _SUGGESTIVE.subn(" sex ", text)
    parts: list[str] = []
    count = suggestive
    for character in text:
        word = _word(character)
        if word is None:
            parts.append(character)
            continue
        count += 1
        parts.append(f" {word} " if word else "")
    return "".join(parts), count


@cache
def _word(character: str) -> str | None:
    """What `character` stands for; "" for a skin tone, None if it is no emoji."""
    if character in _MEANINGS:
        return _MEANINGS[character]
    code = ord(character)
    if not _FIRST <= code <= _LAST:
        return None
    if code in _SKIN_TONES:
        return ""
    return unicodedata.name(character, "").lower() or None
