"""Text from outside, made visible: hidden characters and those that no font can draw appear as code points."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from typing import Any

MAX_MARKS = 2
"""Combining marks that are kept on one base character; a pile of them would cover the neighbouring lines."""

# Control; format (bidirectional overrides, zero-width); surrogate; private use; unassigned; line separators.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MARKS = frozenset({"Mn", "Me"})
_PLAIN = re.compile(r"[\x20-\x7e]*")
_JOINERS = frozenset("\u200c\u200d")  # scripts and emoji need them; they show nothing by themselves


def code_point(character: str) -> str:
    """`[U+202E]`."""
    return f"[U+{ord(character):04X}]"


def visible(text: str, undrawable: Collection[str] = ()) -> str:
    """`text` with everything that would not be seen as its code point. Line feeds stay."""
    if _PLAIN.fullmatch(text):
        return text
    shown, marks, previous = [], 0, " "
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in _MARKS else 0
        is_joiner = character in _JOINERS and unicodedata.category(previous)[0] in "LMS"
        is_hidden = category in _HIDDEN_CATEGORIES and character != "\n" and not is_joiner
        if is_hidden or marks > MAX_MARKS or character in undrawable:
            shown.append(code_point(character))
        else:
            shown.append(character)
        previous = character
    return "".join(shown)


def visible_everywhere(value: Any, undrawable: Collection[str] = ()) -> Any:
    """A JSON value with every text in it made visible, the names of members aside."""
    if isinstance(value, str):
        return visible(value, undrawable)
    if isinstance(value, list):
        return [visible_everywhere(one, undrawable) for one in value]
    if isinstance(value, dict):
        return {name: visible_everywhere(one, undrawable) for name, one in value.items()}
    return value


def characters(value: Any) -> set[str]:
    """Every character beyond ASCII in the texts of a JSON value."""
    if isinstance(value, str):
        return {character for character in value if character > "\x7e"} if not value.isascii() else set()
    if isinstance(value, list):
        return set().union(*(characters(one) for one in value))
    if isinstance(value, dict):
        return set().union(*(characters(one) for one in value.values()))
    return set()
