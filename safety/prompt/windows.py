"""Cutting a text into windows, so that harm is neither cut off nor drowned by what stands around it."""

from __future__ import annotations

WINDOW_TOKENS = 120
"""Word pieces per window, estimated; training texts are mostly shorter than this."""

CLOSE_UP_TOKENS = 40
"""Texts of more than one window are also read in windows of about a sentence: the score of a window is that
of the mixture in it."""

OVERLAP_SHARE = 0.25
WORD_LENGTH_MAX = 100
"""Characters after which a word without spaces (as in Chinese, or a disguise) is cut."""


def windows(text: str) -> list[str]:
    """Windows of `text` that overlap, in order, each once; one window, perhaps empty, for a short text."""
    words = [
        word[start : start + WORD_LENGTH_MAX] for word in text.split() for start in range(0, len(word), WORD_LENGTH_MAX)
    ]
    costs = [_word_pieces(word) for word in words]
    found = _windows(words, costs, WINDOW_TOKENS)
    if len(found) > 1:
        found += _windows(words, costs, CLOSE_UP_TOKENS)
    return list(dict.fromkeys(found))


def _windows(words: list[str], costs: list[int], size: int) -> list[str]:
    found: list[str] = []
    start = 0
    while True:
        end, total = start, 0
        while end < len(words) and (end == start or total + costs[end] <= size):
            total += costs[end]
            end += 1
        found.append(" ".join(words[start:end]))
        if end >= len(words):
            return found
        following, kept = end, 0
        while following - 1 > start and kept + costs[following - 1] <= size * OVERLAP_SHARE:
            following -= 1
            kept += costs[following]
        start = following


def _word_pieces(word: str) -> int:
    """Estimate: English has over four letters a piece, gibberish fewer; signs and other scripts one each."""
    letters = sum(character.isascii() and character.isalpha() for character in word)
    return -(-letters // 3) + len(word) - letters
