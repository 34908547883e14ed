"""What may be asked of the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from api.errors import InvalidInputError

STOPPED_STATES = ("refused", "quarantined", "held")


@dataclass(frozen=True, slots=True)
class Period:
    """From `since`, inclusive, to `until`, exclusive; both with a time zone."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if self.since >= self.until:
            raise InvalidInputError(
                f"the period ends ({self.until:%Y-%m-%d %H:%M}) before it begins ({self.since:%Y-%m-%d %H:%M})",
                parameter="to",
            )


@dataclass(frozen=True, slots=True)
class AboutRequest:
    """What happened with the request that a record belongs to?"""

    record_id: str


@dataclass(frozen=True, slots=True)
class AboutImage:
    """What does the log know of this file?"""

    data: bytes = field(repr=False)
    name: str


@dataclass(frozen=True, slots=True)
class AboutPeriod:
    """What happened in a period, to one tenant or to all? `only_stopped`: what a policy refused or held."""

    period: Period
    tenant: str | None = None
    only_stopped: bool = False


ReportQuestion = AboutRequest | AboutImage | AboutPeriod
