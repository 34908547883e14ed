"""Text from a stranger's file, made harmless to look at."""

from __future__ import annotations

import unicodedata

MAX_CHARACTERS = 400

# Other, control; format (bidirectional overrides, zero-width); surrogate; private use; unassigned; separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def printable(text: object, limit: int = MAX_CHARACTERS) -> str:
    """`text` on one line: control, escape, bidirectional and invisible characters as visible `\\u{…}`.

    At most `limit` characters of the original are kept, then `…`. Not an HTML escape: templates do that.
    """
    original = text if isinstance(text, str) else str(text)
    if len(original) <= limit and original.isascii() and original.isprintable():
        return original
    shown = "".join(
        f"\\u{{{ord(character):x}}}" if unicodedata.category(character) in _HIDDEN_CATEGORIES else character
        for character in original[:limit]
    )
    # A run of combining marks can cover neighbouring lines ("zalgo"): keep two per base character.
    return _limit_marks(shown) + ("…" if len(original) > limit else "")


def _limit_marks(text: str) -> str:
    kept, run = [], 0
    for character in text:
        run = run + 1 if unicodedata.category(character) in {"Mn", "Me"} else 0
        if run <= 2:
            kept.append(character)
    return "".join(kept)
