import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from audit import AuditLog, Inclusion, LedgerKey
from audit.errors import (
    AuditBusyError,
    AuditError,
    AuditUnavailableError,
    BodyTooLargeError,
    StorageFullError,
    UnknownEventError,
)
from audit.events import Event, EventId, Failed
from audit.ledger import sequencer, writing
from audit.ledger.merkle import EMPTY_ROOT, leaf_hash, verify_inclusion
from audit.log import time_ordered_id
from tests.audit.samples import as_superuser, failed, released

UNKNOWN = EventId("01a20426-d1b0-799e-959d-d03fd81c3291")


def test_a_recorded_event_is_included_in_a_signed_checkpoint(log: AuditLog) -> None:
    for number in range(5):
        event_id, inclusion = log.record(failed(number))
        assert inclusion.index == number
        assert event_id.encode() in inclusion.leaf
        checkpoint = inclusion.checkpoint
        verify_inclusion(leaf_hash(inclusion.leaf), number, checkpoint.size, inclusion.proof, checkpoint.root)


def test_an_appended_event_is_there_at_once_and_in_the_ledger_after_include(log: AuditLog) -> None:
    event_id = log.append(released())
    assert log.event(event_id).index is None
    assert log.latest_checkpoint() is None
    log.include(event_id)
    assert log.event(event_id).index == 0


def test_include_can_be_asked_again_and_by_another_process(
    log: AuditLog, service: Engine, ledger_key: LedgerKey, clock: Callable[[], datetime]
) -> None:
    event_id, first = log.record(failed())
    log.record(failed())
    again = log.include(event_id)
    other = AuditLog(service, ledger_key, clock).include(event_id)
    assert again == other
    assert (again.index, again.leaf) == (first.index, first.leaf)
    assert again.checkpoint.size == 2


def test_including_an_unknown_event_is_a_typed_error(log: AuditLog) -> None:
    with pytest.raises(UnknownEventError):
        log.include(UNKNOWN)


def test_sixteen_threads_get_one_order_and_valid_proofs(log: AuditLog) -> None:
    inclusions: list[Inclusion] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            inclusions.extend(log.record(failed(number))[1] for number in range(20))
        except Exception as error:  # noqa: BLE001 -- handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(i.index for i in inclusions) == list(range(320))
    for i in inclusions:
        verify_inclusion(leaf_hash(i.leaf), i.index, i.checkpoint.size, i.proof, i.checkpoint.root)
    assert len({i.checkpoint.size for i in inclusions}) < 320, "events that wait together share a batch"


def test_more_events_than_one_batch_holds_are_included(log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer.Sequencer.run, "__defaults__", ((), 10))
    ids = [log.append(failed()) for _ in range(35)]
    assert log.include(ids[-1]).index == 34
    assert log.include(ids[0]).index == 0


def test_more_events_than_a_socket_takes_at_once_are_recorded(
    log: AuditLog, service: Engine, ledger_key: LedgerKey, clock: Callable[[], datetime]
) -> None:
    large = [Event(None, Failed(stage="s", error="E", message="m" * 60_000)) for _ in range(100)]
    assert len(log.record_all(large)) == 100
    AuditLog(service, ledger_key, clock).record(failed())  # as another process: from now on the log is shared
    log.record(failed())
    assert log.record_all(large)[-1][1].index == 201


def test_events_that_are_appended_together_are_all_there_or_none(log: AuditLog) -> None:
    ids = log.append_all([failed(number) for number in range(3)])
    assert [log.include(event_id).index for event_id in ids] == [0, 1, 2]
    too_large = Event(None, Failed(stage="s", error="E", message="m" * 70_000))
    with pytest.raises(BodyTooLargeError):
        log.append_all([failed(), too_large])
    assert len(log.recent()) == 3
    assert log.append_all([]) == []


def test_an_event_can_share_the_fate_of_the_callers_transaction(log: AuditLog, service: Engine) -> None:
    with service.begin() as connection:
        kept = log.append(failed(1), connection)
    with service.connect() as connection, connection.begin() as transaction:
        lost = log.append(failed(2), connection)
        transaction.rollback()
    assert log.include(kept).index == 0
    with pytest.raises(UnknownEventError):
        log.include(lost)


def test_an_empty_log_has_a_checkpoint_of_nothing(log: AuditLog) -> None:
    checkpoint = log.checkpoint()
    assert (checkpoint.size, checkpoint.root) == (0, EMPTY_ROOT)


def test_a_checkpoint_on_demand_covers_all_that_waited(log: AuditLog) -> None:
    for _ in range(3):
        log.append(failed())
    checkpoint = log.checkpoint()
    assert checkpoint.size == 3
    assert log.checkpoint() == checkpoint == log.latest_checkpoint()


def test_a_body_too_large_leaves_nothing_in_the_log(log: AuditLog) -> None:
    with pytest.raises(BodyTooLargeError):
        log.append(Event(None, Failed(stage="s", error="E", message="m" * 70_000)))
    assert log.recent() == []


def test_a_clock_that_jumps_back_does_not_disturb_the_order(service: Engine, ledger_key: LedgerKey) -> None:
    moments = iter(datetime(2026, 11, 22, tzinfo=UTC) - timedelta(hours=n) for n in range(100))
    log = AuditLog(service, ledger_key, lambda: next(moments))
    ids = [log.record(failed(number))[0] for number in range(3)]
    events = [log.event(event_id) for event_id in ids]
    assert [event.index for event in events] == [0, 1, 2]
    assert events[0].time > events[1].time > events[2].time


def test_event_ids_are_version_7_uuids_in_the_order_of_time() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    ids = [time_ordered_id(now + timedelta(milliseconds=n)) for n in range(50)]
    assert ids == sorted(ids)
    assert all(event_id[14] == "7" and event_id[19] in "89ab" for event_id in ids)
    assert len({time_ordered_id(now) for _ in range(1000)}) == 1000


def test_a_database_that_is_away_is_a_typed_error_that_says_what_to_do(
    service_url: str, ledger_key: LedgerKey, clock: Callable[[], datetime]
) -> None:
    engine = create_engine(make_url(service_url).set(query={"host": "/nowhere"}))
    with pytest.raises(AuditUnavailableError, match="check that the database runs"):
        AuditLog(engine, ledger_key, clock).append(failed())
    engine.dispose()


def test_a_connection_lost_between_uses_is_a_typed_error_and_the_next_use_works(
    log: AuditLog, service: Engine, owner: Engine
) -> None:
    log.record(failed())
    with owner.begin() as connection:
        connection.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :user"),
            {"user": service.url.username},
        )
    with pytest.raises(AuditUnavailableError):
        log.record(failed())
    assert log.record(failed())[1].index == 1


def test_a_connection_lost_in_the_sequencers_transaction_loses_nothing(
    log: AuditLog, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    event_id = log.append(failed())
    original = writing.insert_leaves

    def lose(driver, *arguments):  # type: ignore[no-untyped-def]
        original(driver, *arguments)
        with owner.begin() as other:
            pid = driver.execute("SELECT pg_backend_pid()").fetchone()[0]
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    with monkeypatch.context() as patch:
        patch.setattr(writing, "insert_leaves", lose)
        with pytest.raises(AuditUnavailableError):
            log.include(event_id)
    assert log.event(event_id).index is None
    assert log.include(event_id).index == 0


def test_a_full_disk_is_a_typed_error(log: AuditLog, owner: Engine) -> None:
    """The database's own error of that name, raised where it would be: while the row is written."""
    with owner.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                "RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'No space left on device'; END $$"
            )
        )
        connection.execute(text("CREATE TRIGGER no_space BEFORE INSERT ON audit_events EXECUTE FUNCTION no_space()"))
    try:
        with pytest.raises(StorageFullError, match="free space"):
            log.append(failed())
    finally:
        with owner.begin() as connection:
            connection.execute(text("DROP FUNCTION no_space CASCADE"))
    assert log.recent() == []


def test_a_lock_that_another_holds_too_long_is_a_typed_error(
    log: AuditLog, owner: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequencer, "LOCK_TIMEOUT_SECONDS", 1)
    event_id = log.append(failed())
    with owner.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": sequencer.LOCK_KEY})
        started = time.monotonic()
        with pytest.raises(AuditBusyError):
            log.include(event_id)
        assert time.monotonic() - started < 10
    assert log.include(event_id).index == 0


def test_a_refusal_of_the_database_is_an_audit_error(log: AuditLog, owner: Engine) -> None:
    as_superuser(owner, "ALTER TABLE ledger_queue RENAME TO elsewhere")
    try:
        with pytest.raises(AuditError, match="the database refused"):
            log.append(failed())
    finally:
        as_superuser(owner, "ALTER TABLE elsewhere RENAME TO ledger_queue")


@pytest.mark.parametrize(("setting", "effective"), [("off", "on"), ("on", "on"), ("remote_write", "remote_write")])
def test_events_are_durable_even_where_the_database_commits_asynchronously(
    service_url: str, ledger_key: LedgerKey, clock: Callable[[], datetime], owner: Engine, setting: str, effective: str
) -> None:
    """A trigger notes the setting that is in force when the event is written."""
    as_superuser(owner, "CREATE TABLE seen (setting text)", "GRANT INSERT ON seen TO PUBLIC")
    as_superuser(
        owner,
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$",
        "CREATE TRIGGER see AFTER INSERT ON audit_events EXECUTE FUNCTION see()",
        "CREATE TRIGGER see AFTER INSERT ON ledger_leaves EXECUTE FUNCTION see()",
    )
    engine = create_engine(service_url, connect_args={"options": f"-c synchronous_commit={setting}"})
    try:
        AuditLog(engine, ledger_key, clock).record(failed())
        with owner.connect() as connection:
            seen = connection.scalars(text("SELECT setting FROM seen")).all()
    finally:
        engine.dispose()
        as_superuser(owner, "DROP FUNCTION see CASCADE", "DROP TABLE seen")
    assert list(seen) == [effective, effective]
