"""What a search in the reference index gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from safety.findings import JsonValue, decimal

MATCH_DISTANCE_BITS = 40
"""Distance at or below which a picture counts as a copy of a listed work. Measured
(`benchmarks/results/duplicates.md`): recompressed and rescaled copies are at 8 or less, brightened ones at
44 or less, unrelated photographs at 90 or more; flat pictures that come nearer show the same object."""


class SearchMethod(StrEnum):
    """How the index was searched: only an exact search can be repeated with the same result."""

    EXACT = "exact"
    HNSW = "hnsw"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stated state of the index: all changes up to `change`, which leave `size` listed works."""

    change: int
    size: int

    @property
    def id(self) -> str:
        return f"change-{self.change}-size-{self.size}"


@dataclass(frozen=True, slots=True)
class Match:
    """One listed work, `distance_bits` (0 to 256) away; `confidence` in [0, 1] falls with the distance."""

    reference: str
    source: str
    distance_bits: int
    confidence: float

    def to_record(self) -> dict[str, JsonValue]:
        return {
            "reference": self.reference,
            "source": self.source,
            "distance_bits": self.distance_bits,
            "confidence": decimal(self.confidence),
        }


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The nearest listed works, nearest first, with the snapshot and the method that gave them.

    `low_information` is true for a picture with too little structure to be hashed; it has no matches.
    """

    matches: tuple[Match, ...]
    snapshot: Snapshot
    method: SearchMethod
    low_information: bool


def confidence(distance_bits: int) -> float:
    """1 at distance 0, 0.5 at `MATCH_DISTANCE_BITS`, 0 from twice that on, and linear in between.

    A score to compare with thresholds, not a probability: the distances of unrelated photographs, from
    which the false-match rate at each threshold follows, are in `benchmarks/results/duplicates.md`.
    """
    return max(0.0, 1.0 - distance_bits / (2 * MATCH_DISTANCE_BITS))
