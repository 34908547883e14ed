"""Counts over a period: requests, refusals, reviews, near-duplicates, findings, incidents. Facts, no judgement."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from audit.canonical import decimal_string
from audit.reader import StoredEvent
from audit.reports.content import Count, GroupShare, Series, Statistics
from audit.reports.evidence import fields_of

Step = Literal["hour", "day", "week", "month"]

NORMAL_95 = 1.959963984540054  # two-sided 95 % point of the normal distribution
MATCHED_OUTCOMES = frozenset({"flag", "block"})
_FINAL_KINDS = ("released", "held", "refused", "quarantined", "failed", "abandoned")
_SERIES = ("requests", "released", "held", "refused", "failed")
_STOPPED_KINDS = frozenset({"refused", "quarantined", "held"})


@dataclass(frozen=True)
class RecordFacts:
    """What the service knows of a record besides its events."""

    tenant: str
    parent_id: str


def step_of(since: datetime, until: datetime) -> Step:
    """A step that gives a few dozen points at most."""
    length = until - since
    if length <= timedelta(days=2):
        return "hour"
    if length <= timedelta(days=62):
        return "day"
    return "week" if length <= timedelta(days=400) else "month"


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927, score interval); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, NORMAL_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = NORMAL_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == trials else min(1.0, middle + half)


def statistics(
    events: Iterable[StoredEvent],
    records: Mapping[str, RecordFacts],
    *,
    since: datetime,
    until: datetime,
    tenant: str | None = None,
) -> Statistics:
    """Counts what `events` say.

    Args:
        events: of the period, in any order.
        records: facts of every record of the period; events of other records count as of an unknown tenant.
        tenant: count only what belongs to this tenant; events that belong to no tenant are then left out.
    """
    step = step_of(since, until)
    counter = _Counter(records, tenant, _starts(since, until, step))
    for event in events:
        counter.take(event)
    return counter.result(since, until, step)


class _Counter:
    def __init__(self, records: Mapping[str, RecordFacts], tenant: str | None, starts: list[datetime]) -> None:
        self._records = records
        self._tenant = tenant
        self._starts = starts
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)
        self._series = {name: [0] * len(starts) for name in _SERIES}
        self._requests: dict[str, dict[str, str]] = {}  # groups of each request, by its parent id
        self._stopped: set[str] = set()

    def take(self, event: StoredEvent) -> None:
        fields = fields_of(event)
        record = self._records.get(event.record_id or "")
        tenant = str(fields.get("tenant") or "") or (record.tenant if record else "")
        if self._tenant is not None and tenant != self._tenant:
            return
        parent = record.parent_id if record else event.record_id or event.id
        if event.kind == "received":
            self._note("requests", event.time)
            self._requests[parent] = {
                "tenant": tenant,
                "model": str(_at(fields, "model", "id") or "unknown"),
                "task": str(fields.get("task") or "unknown"),
            }
        elif event.kind in _FINAL_KINDS:
            self._counts["images"][event.kind] += 1
            if event.kind in self._series:
                self._note(event.kind, event.time)
        if event.kind in _STOPPED_KINDS:
            self._stopped.add(parent)
        self._count(event.kind, fields)
        self._findings(parent, fields)

    def _count(self, kind: str, fields: Mapping[str, Any]) -> None:
        counts = self._counts
        match kind:
            case "refused" | "quarantined":
                for category in _reasons(fields, "refuse") or {"no category"}:
                    counts["refusals"][f"{fields.get('stage')}: {category}"] += 1
            case "held":
                counts["reviews"]["held for review"] += 1
            case "verified":
                counts["verifications"][str(fields.get("conclusion"))] += 1
            case "failed":
                counts["incidents"][f"failed at {fields.get('stage')}"] += 1
            case "abandoned":
                counts["incidents"]["abandoned attempts"] += 1
            case "rejected":
                counts["incidents"][f"rejected: {fields.get('error')}"] += 1
            case _ if kind.startswith("review"):
                outcome = fields.get("outcome") or fields.get("decision") or kind
                counts["reviews"][str(_at(outcome, "outcome") or outcome)] += 1
            case "login_failures":
                counts["incidents"]["bursts of failed logins"] += 1

    def _findings(self, parent: str, fields: Mapping[str, Any]) -> None:
        findings = fields.get("findings")
        for finding in findings if isinstance(findings, list) else []:
            evidence, outcome = finding.get("evidence") or {}, finding.get("outcome")
            if "nearest" in evidence:
                self._counts["near_duplicates"]["searches in the index"] += 1
                if outcome in MATCHED_OUTCOMES:
                    self._counts["near_duplicates"]["matches at or above the threshold"] += 1
            if outcome in MATCHED_OUTCOMES or outcome == "error":
                self._counts["detector"][f"{finding.get('check')}: {finding.get('category')} ({outcome})"] += 1
            if (language := evidence.get("language")) and parent in self._requests:
                self._requests[parent]["language"] = str(_at(language, "code") or language)

    def _note(self, name: str, time: datetime) -> None:
        self._series[name][max(0, bisect_right(self._starts, time) - 1)] += 1

    def result(self, since: datetime, until: datetime, step: Step) -> Statistics:
        return Statistics(
            since=since,
            until=until,
            step=step,
            starts=tuple(start.strftime("%Y-%m-%d %H:%M" if step == "hour" else "%Y-%m-%d") for start in self._starts),
            requests=len(self._requests),
            images=tuple(Count(name=kind, value=self._counts["images"][kind]) for kind in _FINAL_KINDS),
            series=tuple(Series(name=name, values=tuple(values)) for name, values in self._series.items()),
            refusals=self._ranked("refusals"),
            reviews=self._ranked("reviews"),
            near_duplicates=self._ranked("near_duplicates"),
            detector=self._ranked("detector"),
            verifications=self._ranked("verifications"),
            incidents=self._ranked("incidents"),
            groups=tuple(self._groups()),
        )

    def _ranked(self, name: str) -> tuple[Count, ...]:
        ordered = sorted(self._counts[name].items(), key=lambda item: (-item[1], item[0]))
        return tuple(Count(name=label, value=value) for label, value in ordered)

    def _groups(self) -> Iterable[GroupShare]:
        for group in ("tenant", "model", "task", "language"):
            totals: Counter[str] = Counter()
            stopped: Counter[str] = Counter()
            for parent, groups in self._requests.items():
                if group in groups:
                    totals[groups[group]] += 1
                    stopped[groups[group]] += parent in self._stopped
            for name, total in sorted(totals.items()):
                low, high = wilson(stopped[name], total)
                yield GroupShare(
                    group=group,
                    name=name,
                    requests=total,
                    stopped=stopped[name],
                    share=decimal_string(round(stopped[name] / total, 4)),
                    low=decimal_string(round(low, 4)),
                    high=decimal_string(round(high, 4)),
                )


def _starts(since: datetime, until: datetime, step: Step) -> list[datetime]:
    current = since.replace(minute=0, second=0, microsecond=0)
    if step != "hour":
        current = current.replace(hour=0)
    if step == "week":
        current -= timedelta(days=current.weekday())
    if step == "month":
        current = current.replace(day=1)
    starts = []
    while current < until:
        starts.append(current)
        match step:
            case "hour":
                current += timedelta(hours=1)
            case "day":
                current += timedelta(days=1)
            case "week":
                current += timedelta(days=7)
            case "month":
                current = (current.replace(day=28) + timedelta(days=4)).replace(day=1)
    return starts or [since]


def _reasons(fields: Mapping[str, Any], action: str) -> set[str]:
    reasons = _at(fields, "decision", "reasons")
    return {str(one["category"]) for one in reasons or [] if one.get("action") == action}


def _at(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
