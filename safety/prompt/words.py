"""Words that the canonicaliser knows: where spelled-out words end, and which broken words are worth mending."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SEGMENTED_LENGTH_MAX = 400
"""Letters; longer runs stay in one piece."""

_WORD_LENGTH_MAX = 20


@dataclass(frozen=True, slots=True)
class Words:
    """`costs` of English words, lower for frequent ones (Zipf's law); those that are sensitive, by length too."""

    costs: dict[str, float]
    sensitive: frozenset[str]
    by_length: dict[int, tuple[str, ...]]
    anywhere: re.Pattern[str]

    def holds_sensitive(self, letters: str) -> bool:
        """Whether a sensitive word of four letters or more is among the lower-case `letters`."""
        return self.anywhere.search(letters) is not None

    def unmask(self, masked: str) -> str | None:
        """The sensitive word that `masked` is, with signs in place of letters; None if it is none or several."""
        pattern = re.compile("".join(c if c.isalpha() else "[a-z]" for c in masked.lower()))
        found = [word for word in self.by_length.get(len(masked), ()) if pattern.fullmatch(word)]
        return found[0] if len(found) == 1 else None

    def segment(self, letters: str) -> list[str]:
        """`letters` cut into the likeliest words (Viterbi); letters that are in no word stay single pieces."""
        lower = letters.lower()
        best: list[tuple[float, int]] = [(0.0, 0)]
        for end in range(1, len(lower) + 1):
            choices = [
                (best[start][0] + self._cost(lower[start:end]), start)
                for start in range(max(0, end - _WORD_LENGTH_MAX), end)
            ]
            best.append(min(choices))
        pieces: list[str] = []
        end = len(lower)
        while end:
            start = best[end][1]
            pieces.append(letters[start:end])
            end = start
        return pieces[::-1]

    def _cost(self, word: str) -> float:
        if len(word) == 1:
            return 6.0 if word in "ai" else 14.0
        unknown = 14.0 + 6.0 * len(word)
        return self.costs.get(word, unknown)


@cache
def known_words() -> Words:
    """The words that ship: `words.txt` by frequency, and `sensitive_words.txt`."""
    listed = _lines("words.txt")
    sensitive = frozenset(_lines("sensitive_words.txt"))
    harmonic = math.log(1.78 * len(listed))
    costs = {word: math.log((rank + 2) * harmonic) for rank, word in enumerate(listed)}
    for word in sensitive:
        costs.setdefault(word, math.log(len(listed) * harmonic))
    by_length: dict[int, list[str]] = {}
    for word in sorted(sensitive):
        by_length.setdefault(len(word), []).append(word)
    anywhere = re.compile("|".join(sorted(word for word in sensitive if len(word) > 3)))
    return Words(costs, sensitive, {length: tuple(found) for length, found in by_length.items()}, anywhere)


def _lines(name: str) -> list[str]:
    text = files("safety").joinpath("prompt", "data", name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]
