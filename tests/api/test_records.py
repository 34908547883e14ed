"""Records and leases on a real PostgreSQL, as the service's role."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import NullPool

from api.database import Database, open_database, process_id
from api.errors import (
    AttemptLostError,
    IdempotencyConflictError,
    InvalidInputError,
    NotFoundError,
    UnavailableError,
)
from api.records import Record, RecordStore
from api.settings import Settings

SHORT_LEASE_S = 0.6


@pytest.fixture(scope="module")
def database(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(Settings(database_url=database_url, data_dir=tmp_path_factory.mktemp("data")))
    yield database
    database.close()


def _store(database: Database, lease_s: float = 60.0) -> RecordStore:
    """What another process would have: an owner of its own."""
    return RecordStore(database.engine, owner=process_id(), lease_s=lease_s)


@pytest.fixture
def store(database: Database) -> RecordStore:
    return _store(database)


def _opened(store: RecordStore, database: Database, *, count: int = 1, tenant: str = "press") -> list[Record]:
    with database.engine.begin() as connection:
        return store.open(connection, tenant=tenant, count=count)


def _close(
    store: RecordStore, database: Database, records: list[Record], state: str, *, image_sha256: str | None = None
) -> None:
    with database.engine.begin() as connection:
        store.close(connection, [record.record_id for record in records], state, image_sha256=image_sha256)


def _expired(store: RecordStore, database: Database) -> set[str]:
    with database.engine.begin() as connection:
        return {record.record_id for record in store.expire(connection)}


def test_opened_records_are_siblings_under_the_first(store: RecordStore, database: Database) -> None:
    records = _opened(store, database, count=3)

    assert [record.position for record in records] == [0, 1, 2]
    assert {record.parent_id for record in records} == {records[0].record_id}
    assert {record.state for record in records} == {"open"}
    assert len({record.record_id for record in records}) == 3
    assert all(record.created_at.tzinfo is not None for record in records)
    assert store.siblings(records[0].record_id) == records
    assert store.get(records[1].record_id) == records[1]


def test_a_record_that_was_rolled_back_never_was(store: RecordStore, database: Database) -> None:
    with database.engine.connect() as connection:
        record = store.open(connection, tenant="press", count=1)[0]

    with pytest.raises(NotFoundError):
        store.get(record.record_id)


def test_short_ids_are_the_first_56_bits_and_lead_back(store: RecordStore, database: Database) -> None:
    record = _opened(store, database)[0]

    assert re.fullmatch("rec_[0-9a-f]{32}", record.record_id)
    assert record.short_id == int(record.record_id[4:18], 16) < 2**56
    assert store.by_short_id(record.short_id) == record


def test_a_short_id_with_leading_zeros_leads_back(
    store: RecordStore, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = "0000" + secrets.token_hex(14)
    monkeypatch.setattr("api.records.secrets.token_hex", lambda _bytes: digits)
    record = _opened(store, database)[0]

    assert store.by_short_id(int(digits[:14], 16)).record_id == record.record_id == f"rec_{digits}"


@pytest.mark.parametrize("short_id", [-1, 0, 2**56, 2**64])
def test_short_ids_of_no_record_are_not_found(store: RecordStore, short_id: int) -> None:
    with pytest.raises(NotFoundError):
        store.by_short_id(short_id)


@pytest.mark.parametrize(
    "record_id", ["", "rec_", "rec_" + "0" * 32, "rec_" + "G" * 32, "x\0y", "\udc80", "rec_" + "0" * 40, "' OR 1=1 --"]
)
def test_ids_of_no_record_are_not_found_whatever_they_hold(store: RecordStore, record_id: str) -> None:
    with pytest.raises(NotFoundError):
        store.get(record_id)


def test_closing_sets_the_state_and_the_images_digest(store: RecordStore, database: Database) -> None:
    record = _opened(store, database)[0]
    _close(store, database, [record], "released", image_sha256="ab" * 32)

    closed = store.get(record.record_id)
    assert (closed.state, closed.image_sha256) == ("released", "ab" * 32)
    assert store.by_image("ab" * 32) == closed


def test_only_a_released_file_is_found_by_its_digest(store: RecordStore, database: Database) -> None:
    _close(store, database, _opened(store, database), "held", image_sha256="cd" * 32)

    with pytest.raises(NotFoundError):
        store.by_image("cd" * 32)


def test_a_closed_record_is_not_closed_again(store: RecordStore, database: Database) -> None:
    records = _opened(store, database)
    _close(store, database, records, "refused")

    with pytest.raises(AttemptLostError) as lost:
        _close(store, database, records, "released", image_sha256="ef" * 32)
    assert lost.value.record_id == records[0].record_id
    assert store.get(records[0].record_id).state == "refused"


def test_a_record_is_closed_by_its_owner_only(store: RecordStore, database: Database) -> None:
    records = _opened(store, database)

    with pytest.raises(AttemptLostError):
        _close(_store(database), database, records, "released")
    assert store.get(records[0].record_id).state == "open"


def test_closing_several_closes_all_or_none(store: RecordStore, database: Database) -> None:
    records = _opened(store, database, count=2)
    _close(store, database, records[:1], "released")

    with pytest.raises(AttemptLostError):
        _close(store, database, records, "failed")
    assert [record.state for record in store.siblings(records[0].record_id)] == ["released", "open"]


def test_a_state_that_does_not_exist_is_not_stored(store: RecordStore, database: Database) -> None:
    from sqlalchemy.exc import IntegrityError

    records = _opened(store, database)
    with pytest.raises(IntegrityError, match="records_state"):
        _close(store, database, records, "done")


def test_an_expired_lease_is_closed_as_abandoned_by_another_and_then_lost(database: Database) -> None:
    dead, living = _store(database, SHORT_LEASE_S), _store(database)
    records = _opened(dead, database, count=2)
    ids = {record.record_id for record in records}
    assert not ids & _expired(living, database)
    time.sleep(SHORT_LEASE_S + 0.2)

    assert ids <= _expired(living, database)
    assert {record.state for record in dead.siblings(records[0].record_id)} == {"abandoned"}
    assert not ids & _expired(living, database)  # once: the caller writes an event for each
    with pytest.raises(AttemptLostError, match="send the request again"):
        _close(dead, database, records, "released", image_sha256="12" * 32)
    with pytest.raises(NotFoundError):
        dead.by_image("12" * 32)


def test_a_heartbeat_keeps_a_record_that_outlasts_its_lease(database: Database) -> None:
    working, other = _store(database, SHORT_LEASE_S), _store(database)
    records = _opened(working, database)

    with working.heartbeat([records[0].record_id]):
        until = time.monotonic() + 3 * SHORT_LEASE_S
        while time.monotonic() < until:
            assert records[0].record_id not in _expired(other, database)
            time.sleep(0.1)
        _close(working, database, records, "released", image_sha256="34" * 32)

    assert working.get(records[0].record_id).state == "released"


def test_the_heartbeat_ends_with_its_block_also_by_an_error(database: Database) -> None:
    working, other = _store(database, SHORT_LEASE_S), _store(database)
    record_id = _opened(working, database)[0].record_id

    with pytest.raises(ZeroDivisionError), working.heartbeat([record_id]):
        raise ZeroDivisionError

    assert not [thread for thread in threading.enumerate() if thread.name == "lease-heartbeat"]
    time.sleep(SHORT_LEASE_S + 0.2)
    assert record_id in _expired(other, database)


def test_a_heartbeat_does_not_revive_what_another_closed(database: Database) -> None:
    working, other = _store(database, SHORT_LEASE_S), _store(database)
    record_id = _opened(working, database)[0].record_id
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE records SET lease_expires_at = now() - interval '1 s' WHERE record_id = :r"),
                           {"r": record_id})  # fmt: skip
    assert record_id in _expired(other, database)

    with working.heartbeat([record_id]):
        time.sleep(SHORT_LEASE_S)

    assert working.get(record_id).state == "abandoned"


def test_a_heartbeat_outlives_a_database_that_is_away_for_a_moment(
    database: Database, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(database_url, poolclass=NullPool, connect_args={"application_name": "flaky"})
    working, other = RecordStore(engine, owner=process_id(), lease_s=3.0), _store(database)
    records = _opened(working, database)

    with working.heartbeat([records[0].record_id]):
        pool: Any = engine.pool
        real, pool._creator = pool._creator, _refuse
        deadline = time.monotonic() + 10
        while not caplog.records and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "lease heartbeat failed" in caplog.text
        pool._creator = real
        time.sleep(3.5)
        assert records[0].record_id not in _expired(other, database)
    engine.dispose()


def _refuse(*_: object) -> None:
    import psycopg

    raise psycopg.OperationalError("connection refused")


def test_two_processes_expire_a_record_once(database: Database) -> None:
    dead = _store(database, 0.05)
    ids = {record.record_id for _ in range(20) for record in _opened(dead, database)}
    time.sleep(0.2)
    stores = [_store(database) for _ in range(4)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda store: _expired(store, database), stores))

    assert sum(len(one & ids) for one in found) == len(ids)
    assert set().union(*found) >= ids


def test_newest_records_come_first_and_of_one_tenant(store: RecordStore, database: Database) -> None:
    made = [_opened(store, database, tenant="newest")[0] for _ in range(3)]
    _opened(store, database, tenant="elsewhere")

    assert [record.record_id for record in store.newest(tenant="newest", limit=2)] == [
        made[2].record_id,
        made[1].record_id,
    ]
    assert {record.tenant for record in store.newest(tenant=None, limit=1)} == {"elsewhere"}


def _claim(
    store: RecordStore, database: Database, key: str, request: bytes = b"request", tenant: str = "press"
) -> tuple[Record, str | None]:
    """What a flow does: open, claim, and keep the record only if nothing was finished before."""
    with database.engine.connect() as connection:
        record = store.open(connection, tenant=tenant, count=1)[0]
        finished = store.claim(connection, tenant=tenant, key=key, request=request, parent_id=record.record_id)
        if finished is None:
            connection.commit()
    return record, finished


@pytest.mark.parametrize("state", ["released", "held", "refused"])
def test_the_same_key_and_request_return_the_finished_parent(
    store: RecordStore, database: Database, state: str
) -> None:
    first, finished = _claim(store, database, f"finished-{state}")
    assert finished is None
    _close(store, database, [first], state)

    for _ in range(2):
        again, finished = _claim(store, database, f"finished-{state}")
        assert finished == first.record_id
        with pytest.raises(NotFoundError):
            store.get(again.record_id)


def test_the_same_key_with_another_request_conflicts(store: RecordStore, database: Database) -> None:
    first, _ = _claim(store, database, "other-request")
    for _ in range(2):
        with pytest.raises(IdempotencyConflictError, match="different request"):
            _claim(store, database, "other-request", request=b"another")
        if store.get(first.record_id).state == "open":
            _close(store, database, [first], "released")


def test_the_same_key_of_a_running_request_conflicts(store: RecordStore, database: Database) -> None:
    _claim(store, database, "running")

    with pytest.raises(IdempotencyConflictError, match="still runs"):
        _claim(_store(database), database, "running")


@pytest.mark.parametrize("state", ["failed", "abandoned"])
def test_a_request_without_result_may_run_again_under_its_key(
    store: RecordStore, database: Database, state: str
) -> None:
    key = f"again-{state}"
    first, _ = _claim(store, database, key)
    _close(store, database, [first], state)

    second, finished = _claim(store, database, key)
    assert finished is None
    with pytest.raises(IdempotencyConflictError, match="still runs"):
        _claim(store, database, key)
    _close(store, database, [second], "released")
    assert _claim(store, database, key)[1] == second.record_id


def test_tenants_do_not_share_keys(store: RecordStore, database: Database) -> None:
    _claim(store, database, "shared", tenant="one")

    assert _claim(store, database, "shared", request=b"another", tenant="two")[1] is None


def test_a_key_whose_transaction_was_rolled_back_is_free(store: RecordStore, database: Database) -> None:
    with database.engine.connect() as connection:
        record = store.open(connection, tenant="press", count=1)[0]
        store.claim(connection, tenant="press", key="rolled", request=b"request", parent_id=record.record_id)

    assert _claim(store, database, "rolled", request=b"another")[1] is None


@pytest.mark.parametrize("key", ["", "k" * 256, "a\0b", " key", "key ", "ключ", "a\nb", "\udc80"])
def test_keys_that_cannot_be_stored_are_invalid_input(store: RecordStore, database: Database, key: str) -> None:
    with pytest.raises(InvalidInputError, match="Idempotency-Key"):
        _claim(store, database, key)


def test_the_longest_key_is_stored(store: RecordStore, database: Database) -> None:
    assert _claim(store, database, "k" * 255)[1] is None
    with pytest.raises(IdempotencyConflictError):
        _claim(store, database, "k" * 255)


@pytest.mark.parametrize("after", ["new", "failed"])
def test_of_callers_at_once_exactly_one_wins(database: Database, after: str) -> None:
    key, callers = f"race-{after}", 6
    if after == "failed":
        store = _store(database)
        _close(store, database, [_claim(store, database, key)[0]], "failed")
    barrier = threading.Barrier(callers)

    def call(_index: int) -> str:
        store = _store(database)
        barrier.wait()
        try:
            return "won" if _claim(store, database, key)[1] is None else "finished"
        except IdempotencyConflictError:
            return "conflict"

    with ThreadPoolExecutor(callers) as pool:
        outcomes = list(pool.map(call, range(callers)))

    assert sorted(outcomes) == ["conflict"] * (callers - 1) + ["won"]


def test_the_second_caller_waits_for_the_firsts_transaction(database: Database) -> None:
    store = _store(database)
    outcome: list[str | None] = []
    with database.engine.connect() as connection:
        record = store.open(connection, tenant="press", count=1)[0]
        store.claim(connection, tenant="press", key="waits", request=b"request", parent_id=record.record_id)
        second = threading.Thread(target=lambda: outcome.append(_claim(_store(database), database, "waits")[1]))
        second.start()
        second.join(0.5)
        assert second.is_alive()
        store.close(connection, [record.record_id], "released")
        connection.commit()
    second.join(10)

    assert outcome == [record.record_id]


def test_a_database_that_is_away_is_named_by_every_look_up(tmp_path: Path) -> None:
    engine: Engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/none", connect_args={"connect_timeout": 2})
    store = RecordStore(engine, owner=process_id(), lease_s=30)

    for look_up in (
        lambda: store.get("rec_" + "0" * 32),
        lambda: store.by_short_id(1),
        lambda: store.by_image("0" * 64),
        lambda: store.siblings("rec_" + "0" * 32),
        lambda: store.newest(tenant=None, limit=1),
    ):
        with pytest.raises(UnavailableError, match=r"database.*127\.0\.0\.1"):
            look_up()
