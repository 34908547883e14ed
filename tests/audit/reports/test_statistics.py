"""Counts over a period, from the events of a real log."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from audit import AuditLog, Event
from audit.events import (
    Abandoned,
    Failed,
    Held,
    LoginFailures,
    Quarantined,
    Received,
    Refused,
    Rejected,
    Released,
    ReviewDecided,
    Verified,
)
from audit.records import Decision, Finding, Model, Policy, Reason
from audit.reports import EvidenceReader
from audit.reports.content import Statistics
from audit.reports.statistics import RecordFacts, statistics, step_of, wilson
from tests.audit.samples import released

SINCE, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
POLICY = Policy("default", "1", "cd" * 32)


def received(number: int, tenant: str = "acme") -> Event:
    return Event(f"rec_{number}", Received(task="text-to-image", tenant=tenant, model=Model("emblem", "ef" * 32)))


def refused(number: int, *categories: str, stage: str = "prompt") -> Event:
    reasons = tuple(Reason(stage, category, "prompt.rules", "refuse") for category in categories)
    findings = tuple(Finding("prompt.rules", "1", category, "block", "1", "1") for category in categories)
    return Event(
        f"rec_{number}",
        Refused(stage=stage, decision=Decision("refuse", stage, reasons), findings=findings, policy=POLICY),
    )


def with_neighbour(event: Event, outcome: str) -> Event:
    body = event.body
    assert isinstance(body, Released)
    finding = Finding(
        "image.duplicates", "1", "listed_work", outcome, "0.9", "0.5",
        evidence={"nearest": [{"reference": "ref-1", "confidence": "0.9"}], "snapshot": "s"},
    )  # fmt: skip
    return Event(event.record_id, dataclasses.replace(body, findings=(finding,), tenant="acme"))


@pytest.fixture
def counted(log: AuditLog, service: Engine) -> Statistics:
    held = Decision("review", "image", (Reason("image", "violence", "image.x", "review"),))
    for event in (
        received(1), with_neighbour(released(b"1", "rec_1"), "pass"),
        received(2), refused(2, "violence", "hate"),
        received(3), with_neighbour(released(b"3", "rec_3"), "block"),
        received(4, "globex"), refused(4, "violence"),
        received(5, "globex"), Event("rec_5", Failed(stage="generation", error="E", message="m")),
        received(6), Event("rec_6", Abandoned(attempt="rec_6", reason="r")),
        received(7), Event("rec_7", Held(stage="image", decision=held, findings=(), policy=POLICY)),
        Event("rec_7", ReviewDecided(
            review="1", stage="image", decision="approved", reason="fine", reviewer=None, held="x", policy=POLICY,
            categories=("violence",), tenant="acme",
        )),
        received(8), Event("rec_8", Quarantined(
            stage="prompt", findings=(), policy=POLICY,
            decision=Decision("refuse", "prompt", (Reason("prompt", "sexual_minors", "prompt.rules", "refuse"),)),
        )),
        Event(None, Rejected(flow="generate", error="invalid_prompt", message="m", tenant="acme")),
        Event(None, Verified(
            file_commitment="ab" * 32, conclusion="inconclusive", conclusions=("inconclusive",), tenant="acme"
        )),
        Event(None, LoginFailures(count=9, began="x", ended="y", sources=1)),
    ):  # fmt: skip
        log.append(event)
    log.checkpoint()
    return count(log, service)


def count(log: AuditLog, engine: Engine, tenant: str | None = None) -> Statistics:
    tenants = {4: "globex", 5: "globex"}
    records = {f"rec_{n}": RecordFacts(tenants.get(n, "acme"), f"rec_{n}") for n in range(1, 9)}
    events = EvidenceReader(engine, log.public_key).period(SINCE, UNTIL)
    return statistics(events, records, since=SINCE, until=UNTIL, tenant=tenant)


def numbers(counts: object) -> dict[str, int]:
    return {one.name: one.value for one in counts}  # type: ignore[attr-defined]


def test_requests_and_what_became_of_images(counted: Statistics) -> None:
    assert counted.requests == 8
    assert numbers(counted.images) == {
        "released": 2, "held": 1, "refused": 2, "quarantined": 1, "failed": 1, "abandoned": 1
    }  # fmt: skip


def test_refusals_by_stage_and_category_the_most_frequent_first(counted: Statistics) -> None:
    assert [one.name for one in counted.refusals][0] == "prompt: violence"  # noqa: RUF015
    assert numbers(counted.refusals) == {"prompt: violence": 2, "prompt: hate": 1, "prompt: sexual_minors": 1}


def test_reviews_and_their_outcomes(counted: Statistics) -> None:
    assert numbers(counted.reviews) == {"held for review": 1, "approved": 1}


def test_near_duplicates(counted: Statistics) -> None:
    assert numbers(counted.near_duplicates) == {"searches in the index": 2, "matches at or above the threshold": 1}


def test_findings_that_were_raised(counted: Statistics) -> None:
    assert numbers(counted.detector)["image.duplicates: listed_work (block)"] == 1
    assert numbers(counted.detector)["prompt.rules: violence (block)"] == 2


def test_verifications_and_incidents(counted: Statistics) -> None:
    assert numbers(counted.verifications) == {"inconclusive": 1}
    assert numbers(counted.incidents) == {
        "failed at generation": 1, "abandoned attempts": 1, "rejected: invalid_prompt": 1, "bursts of failed logins": 1
    }  # fmt: skip


def test_shares_of_stopped_requests_by_group_with_intervals(counted: Statistics) -> None:
    groups = {(one.group, one.name): one for one in counted.groups}
    acme, globex = groups["tenant", "acme"], groups["tenant", "globex"]
    assert (acme.requests, acme.stopped) == (6, 3)
    assert (globex.requests, globex.stopped) == (2, 1)
    assert float(acme.low) < float(acme.share) < float(acme.high)
    assert groups["model", "emblem"].requests == 8


def test_one_tenant_sees_its_own_only(log: AuditLog, service: Engine, counted: Statistics) -> None:
    globex = count(log, service, "globex")
    assert globex.requests == 2
    assert numbers(globex.images)["released"] == 0
    assert numbers(globex.refusals) == {"prompt: violence": 1}
    assert numbers(globex.incidents) == {"failed at generation": 1}


def test_series_add_up(counted: Statistics) -> None:
    series = {one.name: one for one in counted.series}
    assert sum(series["requests"].values) == counted.requests
    assert all(len(one.values) == len(counted.starts) for one in counted.series)


@pytest.mark.parametrize(
    ("length", "step"),
    [
        (timedelta(hours=5), "hour"),
        (timedelta(days=30), "day"),
        (timedelta(days=200), "week"),
        (timedelta(days=900), "month"),
    ],
)
def test_steps_give_some_dozen_points(length: timedelta, step: str) -> None:
    assert step_of(SINCE, SINCE + length) == step


def test_the_interval_is_wilson_s() -> None:
    low, high = wilson(1, 10)  # Newcombe (1998), table I, method 3
    assert (round(low, 4), round(high, 4)) == (0.0179, 0.4042)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)
