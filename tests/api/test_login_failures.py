"""Bursts of refused keys are events; single slips are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from api.composition import Imprimatur
from api.http import create_app
from api.login_failures import BURST_COUNT, LONGEST, MAX_NAMED, QUIET, LoginFailureLog
from audit.events import Event, LoginFailures
from tests.api.ledger_house import open_house

START = datetime(2026, 11, 22, 12, tzinfo=UTC)


class Desk:
    def __init__(self) -> None:
        self.now = START
        self.events: list[LoginFailures] = []
        self.log = LoginFailureLog(self._record, lambda: self.now)

    def _record(self, event: Event) -> None:
        assert isinstance(event.body, LoginFailures)
        self.events.append(event.body)

    def fail(self, times: int, key_id: str | None = None, source: str = "192.0.2.1") -> None:
        for _ in range(times):
            self.log.note(source, key_id)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_burst_is_one_event_when_it_is_over(desk: Desk) -> None:
    desk.fail(BURST_COUNT, "key-1")
    desk.now += timedelta(seconds=30)
    desk.fail(2, None, "192.0.2.2")
    desk.log.flush()
    assert desk.events == []
    desk.now += QUIET
    desk.log.flush()
    (event,) = desk.events
    assert (event.count, event.sources, event.key_ids) == (BURST_COUNT + 2, 2, ("key-1",))
    assert (event.began, event.ended) == ("2026-11-22T12:00:00.000000Z", "2026-11-22T12:00:30.000000Z")
    desk.log.flush(force=True)
    assert len(desk.events) == 1


def test_slips_are_no_burst(desk: Desk) -> None:
    for _ in range(20):
        desk.fail(BURST_COUNT - 1)
        desk.now += QUIET
    desk.log.flush(force=True)
    assert desk.events == []


def test_a_burst_that_does_not_end_is_recorded_in_parts(desk: Desk) -> None:
    while desk.now < START + 2 * LONGEST + timedelta(seconds=40):
        desk.fail(1)
        desk.now += timedelta(seconds=20)
    assert len(desk.events) == 2
    assert [event.count for event in desk.events] == [30, 30]


def test_the_next_refusal_after_a_burst_records_it(desk: Desk) -> None:
    desk.fail(BURST_COUNT)
    desk.now += QUIET
    desk.fail(1)
    assert [event.count for event in desk.events] == [BURST_COUNT]


def test_what_an_attacker_can_make_grow_is_bounded(desk: Desk) -> None:
    for number in range(MAX_NAMED + 20):
        desk.fail(1, f"key-{number}")
    desk.log.flush(force=True)
    assert len(desk.events[0].key_ids) == MAX_NAMED


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[Imprimatur]:
    with open_house(database_url, tmp_path) as opened:
        yield opened


def test_refused_keys_over_http_come_into_the_log_without_addresses(house: Imprimatur) -> None:
    client = TestClient(create_app(house))
    key_id, key = house.create_key(tenant="acme", name="t", roles=("verify",))
    wrong = key[:-8] + "00000000"
    for _ in range(3):
        assert client.get("/v1/records/x", headers={"Authorization": f"Bearer {wrong}"}).status_code == 401
        assert client.get("/v1/records/x", headers={"Authorization": "Bearer nonsense"}).status_code == 401
        assert client.get("/v1/records/x").status_code == 401  # nobody tried a key
    house.login_failures.flush(force=True)
    (event,) = house.log.recent(kind="login_failures")
    fields = event.fields()
    assert (fields["count"], fields["sources"], fields["key_ids"]) == (6, 1, [key_id])
    assert b"testclient" not in event.body + event.private
