"""Bursts of refused API keys: one event a burst, so that guessing shows in the log and cannot flood it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from audit.canonical import time_string
from audit.events import Event, LoginFailures

BURST_COUNT = 5  # fewer refusals are typing errors
QUIET = timedelta(minutes=1)  # without a refusal, and the burst is over
LONGEST = timedelta(minutes=10)  # then it is recorded while it goes on, as a burst of its own
MAX_NAMED = 50  # sources counted exactly up to 10,000, key ids named up to here
MAX_SOURCES = 10_000


@dataclass
class _Burst:
    began: datetime
    ended: datetime
    count: int = 0
    sources: set[str] = field(default_factory=set)
    key_ids: set[str] = field(default_factory=set)


class LoginFailureLog:
    """Counts refused keys and records bursts. Thread-safe."""

    def __init__(self, record: Callable[[Event], None], clock: Callable[[], datetime]) -> None:
        self._record = record
        self._clock = clock
        self._lock = threading.Lock()
        self._burst: _Burst | None = None

    def note(self, source: str, key_id: str | None) -> None:
        """Notes a refusal.

        Args:
            source: address that the call came from; counted, never kept.
            key_id: id of the existing key that was tried with a wrong secret or after its end, if there is one.
        """
        now = self._clock()
        over = self._take_over(now)
        with self._lock:
            burst = self._burst = self._burst or _Burst(now, now)
            burst.ended = now
            burst.count += 1
            if len(burst.sources) < MAX_SOURCES:
                burst.sources.add(source)
            if key_id is not None and len(burst.key_ids) < MAX_NAMED:
                burst.key_ids.add(key_id)
        self._write(over)

    def flush(self, *, force: bool = False) -> None:
        """Records the burst if it is over, or with `force` in any case."""
        self._write(self._take_over(self._clock(), force=force))

    def _take_over(self, now: datetime, *, force: bool = False) -> _Burst | None:
        """The burst, if it is over; then the next refusal begins another."""
        with self._lock:
            burst = self._burst
            if burst is None or not (force or now - burst.ended >= QUIET or now - burst.began >= LONGEST):
                return None
            self._burst = None
            return burst

    def _write(self, burst: _Burst | None) -> None:
        if burst is None or burst.count < BURST_COUNT:
            return
        body = LoginFailures(
            count=burst.count,
            began=time_string(burst.began),
            ended=time_string(burst.ended),
            sources=len(burst.sources),
            key_ids=tuple(sorted(burst.key_ids)),
        )
        self._record(Event(None, body))
