"""Findings: what one check says of one prompt or image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

from safety.errors import FindingError

JsonValue: TypeAlias = bool | int | str | Sequence["JsonValue"] | Mapping[str, "JsonValue"] | None
"""JSON without floats: audit events hold canonical JSON in which a score is a decimal string."""

DECIMAL_DIGITS = 6

CHECK_ERROR_CATEGORY = "check_error"
"""Category of the finding that stands for a check which failed to run."""

UNMARKED_CATEGORY = "unmarked"
"""Category of the finding that whoever marks images adds where no watermark can be read back from the final pixels."""


class Outcome(StrEnum):
    """What a check concludes; what follows from it is for the policy to say."""

    PASS = "pass"  # noqa: S105  # an outcome, no password
    FLAG = "flag"
    BLOCK = "block"
    ERROR = "error"


def decimal(value: float) -> str:
    """`value` as a decimal string with `DECIMAL_DIGITS` digits after the point."""
    if not math.isfinite(value):
        raise FindingError(f"a score must be a finite number, got {value!r}")
    return f"{value:.{DECIMAL_DIGITS}f}"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check says of one prompt or image, for one category.

    `score` and `threshold` are in [0, 1], higher is worse; `threshold` is the one that was in force, so
    that `score >= threshold` is what `outcome` `block` means. `evidence` is JSON without floats.
    `model_digest` is the SHA-256 (hex) of the weights that gave the score, None for a check without any.
    `elapsed_s` is the wall time of the examination that gave this finding.
    Raises `FindingError` for a score outside [0, 1] and for floats in the evidence.
    """

    check: str
    version: str
    category: str
    score: float
    threshold: float
    outcome: Outcome
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    model_digest: str | None = None
    elapsed_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("score", self.score), ("threshold", self.threshold)):
            if not (math.isfinite(value) and 0.0 <= value <= 1.0):
                raise FindingError(f"{self.check}: {name} must be in [0, 1], got {value!r}")
        _refuse_floats(self.evidence, f"{self.check}: evidence")
        object.__setattr__(self, "evidence", MappingProxyType(dict(self.evidence)))

    def to_record(self) -> dict[str, JsonValue]:
        """This finding as JSON without floats, as audit events keep it."""
        return {
            "check": self.check,
            "version": self.version,
            "category": self.category,
            "score": decimal(self.score),
            "threshold": decimal(self.threshold),
            "outcome": self.outcome.value,
            "evidence": _plain(self.evidence),
            "model_digest": self.model_digest,
            "elapsed_s": decimal(self.elapsed_s),
        }


def _refuse_floats(value: object, where: str) -> None:
    if value is None or isinstance(value, bool | int | str):
        return
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise FindingError(f"{where}: keys must be strings, got {key!r}")
            _refuse_floats(inner, f"{where}[{key!r}]")
        return
    if isinstance(value, list | tuple):
        for position, inner in enumerate(value):
            _refuse_floats(inner, f"{where}[{position}]")
        return
    raise FindingError(
        f"{where}: {type(value).__name__} cannot be recorded; "
        "use strings, integers, booleans, None, lists and mappings (numbers through `decimal`)"
    )


def _plain(value: JsonValue) -> JsonValue:
    """Copy made of dict and list only, which every JSON writer takes."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    return [_plain(inner) for inner in value]
