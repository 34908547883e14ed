from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from safety import Outcome, PixelsError
from safety.duplicates.check import DuplicateCheck
from safety.duplicates.matches import MATCH_DISTANCE_BITS, Match, SearchMethod, SearchResult, Snapshot, confidence

PIXELS = np.zeros((8, 8, 3), np.uint8)


class Answering:
    """An index with one work, at a given distance of everything; without any for None."""

    def __init__(self, distance: int | None) -> None:
        self._distance = distance

    def search(self, pixels: NDArray[np.uint8], limit: int = 5) -> SearchResult:
        matches: tuple[Match, ...] = ()
        if self._distance is not None:
            matches = (Match("ref-1", "works/a.png", self._distance, confidence(self._distance)),)
        return SearchResult(matches, Snapshot(12, len(matches)), SearchMethod.EXACT, low_information=False)


@pytest.mark.parametrize(
    ("distance", "outcome"),
    [
        (0, Outcome.BLOCK),
        (MATCH_DISTANCE_BITS, Outcome.BLOCK),
        (MATCH_DISTANCE_BITS + 1, Outcome.PASS),
        (None, Outcome.PASS),
    ],
)
def test_a_copy_is_blocked_up_to_the_match_distance(distance: int | None, outcome: Outcome) -> None:
    assert DuplicateCheck(Answering(distance)).examine(PIXELS)[0].outcome is outcome


def test_nearest_work_and_snapshot_are_in_the_evidence_though_it_is_no_copy() -> None:
    evidence = DuplicateCheck(Answering(60)).examine(PIXELS)[0].evidence
    assert evidence["snapshot"] == "change-12-size-1"
    assert evidence["method"] == "exact"
    assert evidence["nearest"] == [
        {"reference": "ref-1", "source": "works/a.png", "distance_bits": 60, "confidence": "0.250000"}
    ]


def test_policy_threshold_moves_the_distance() -> None:
    check = DuplicateCheck(Answering(20), {"listed_work": 0.9})
    assert check.examine(PIXELS)[0].outcome is Outcome.PASS


def test_other_arrays_are_refused() -> None:
    with pytest.raises(PixelsError):
        DuplicateCheck(Answering(1)).examine(np.zeros((5, 5), np.uint8))
