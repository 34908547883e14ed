"""Cutting a text into windows, so that harm behind a long preamble is not cut off by the encoder."""

from __future__ import annotations

WINDOW_TOKENS = 120
"""Word pieces per window, estimated; training texts are mostly shorter than this."""

OVERLAP_TOKENS = 25
WORD_LENGTH_MAX = 100
"""Characters after which a word without spaces (as in Chinese, or a disguise) is cut."""


def windows(text: str) -> list[str]:
    """Windows of `text` that overlap, in order; one window, perhaps empty, for a short text."""
    words = [
        word[start : start + WORD_LENGTH_MAX] for word in text.split() for start in range(0, len(word), WORD_LENGTH_MAX)
    ]
    costs = [_word_pieces(word) for word in words]
    found: list[str] = []
    start = 0
    while True:
        end, total = start, 0
        while end < len(words) and (end == start or total + costs[end] <= WINDOW_TOKENS):
            total += costs[end]
            end += 1
        found.append(" ".join(words[start:end]))
        if end >= len(words):
            return found
        following, kept = end, 0
        while following - 1 > start and kept + costs[following - 1] <= OVERLAP_TOKENS:
            following -= 1
            kept += costs[following]
        start = following


def _word_pieces(word: str) -> int:
    """Estimate: English has over four letters a piece, gibberish fewer; signs and other scripts one each."""
    letters = sum(character.isascii() and character.isalpha() for character in word)
    return -(-letters // 3) + len(word) - letters
