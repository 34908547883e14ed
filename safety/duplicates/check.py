"""The duplicate check: does an image reproduce a listed work?"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from safety.checks import CheckDeclaration, Stage, outcome_of, require_rgb
from safety.duplicates.matches import MATCH_DISTANCE_BITS, SearchResult, confidence
from safety.findings import Finding, JsonValue

LISTED_WORK = "listed_work"

DECLARATION = CheckDeclaration(
    id="image.duplicates",
    version="1",
    stage=Stage.IMAGE,
    categories=(LISTED_WORK,),
    summary="Nearest listed work by 256-bit perceptual hash; blocks a copy of one.",
    measured_on="100 photographs under 11 transformations, against 320 unrelated photographs",
    measured_in="benchmarks/results/duplicates.md",
)

CANDIDATES = 5
"""Nearest works that the evidence keeps, so that a record explains itself after the index has grown."""


class NearestReferences(Protocol):
    """The part of `ReferenceIndex` that the check needs."""

    def search(self, pixels: NDArray[np.uint8], limit: int = 5) -> SearchResult: ...


class DuplicateCheck:
    """Blocks pictures at or below the match distance of a listed work; always names the nearest one."""

    declaration = DECLARATION

    def __init__(self, references: NearestReferences, thresholds: Mapping[str, float] | None = None) -> None:
        self._references = references
        self._threshold = (thresholds or {}).get(LISTED_WORK, confidence(MATCH_DISTANCE_BITS))

    def examine(self, pixels: NDArray[np.uint8]) -> list[Finding]:
        """One finding, score = confidence of the nearest work. Raises `ReferenceIndexError`."""
        require_rgb(pixels)
        started = time.perf_counter()
        result = self._references.search(pixels, CANDIDATES)
        score = result.matches[0].confidence if result.matches else 0.0
        evidence: dict[str, JsonValue] = {
            "snapshot": result.snapshot.id,
            "index_size": result.snapshot.size,
            "method": result.method.value,
            "low_information": result.low_information,
            "nearest": [match.to_record() for match in result.matches],
        }
        return [
            Finding(
                check=DECLARATION.id,
                version=DECLARATION.version,
                category=LISTED_WORK,
                score=score,
                threshold=self._threshold,
                outcome=outcome_of(score, self._threshold),
                evidence=evidence,
                elapsed_s=time.perf_counter() - started,
            )
        ]
