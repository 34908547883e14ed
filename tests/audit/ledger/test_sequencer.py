import multiprocessing
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from audit import AuditLog, LedgerKey
from audit.errors import LedgerCorruptError, LedgerKeyMismatchError
from audit.fsck import fsck
from audit.ledger.merkle import leaf_hash, verify_consistency, verify_inclusion
from audit.ledger.sequencer import LOCK_KEY, Sequencer
from tests.audit import appending
from tests.audit.conftest import ORIGIN
from tests.audit.samples import as_superuser, failed

PROCESSES = 4
EVENTS_EACH = 60


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.key"
    LedgerKey.load_or_create(path, ORIGIN)
    return path


@pytest.fixture
def log_of_file(service: Engine, key_file: Path) -> AuditLog:
    """A log of this process, with the key that the other processes load."""
    return AuditLog(service, LedgerKey.load_or_create(key_file, ORIGIN), now)


def now() -> datetime:
    return datetime.now(UTC)


def test_four_processes_give_one_order_without_gap_or_fork(
    service_url: str, service: Engine, key_file: Path, log_of_file: AuditLog
) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    arguments = (service_url, key_file, EVENTS_EACH, start, results)
    processes = [context.Process(target=appending.record_many, args=arguments) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    start.set()
    seen = [results.get(timeout=120) for _ in range(PROCESSES * EVENTS_EACH)]
    for process in processes:
        process.join()
    assert sorted(index for index, _, _ in seen) == list(range(PROCESSES * EVENTS_EACH))
    roots: dict[int, set[bytes]] = {}
    for _, size, root in seen:
        roots.setdefault(size, set()).add(root)
    assert all(len(of_size) == 1 for of_size in roots.values())
    log = log_of_file
    newest = log.latest_checkpoint()
    assert newest is not None
    for size, (root,) in roots.items():
        verify_consistency(size, newest.size, log.consistency(size, newest.size), root, newest.root)
    assert fsck(service, log).ok


@pytest.mark.parametrize("statement", ["take", "insert_leaves", "insert_tiles"])
def test_a_process_killed_while_sequencing_leaves_nothing_half_done(
    service_url: str, service: Engine, key_file: Path, log_of_file: AuditLog, statement: str
) -> None:
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=appending.kill_in_transaction, args=(service_url, key_file, statement))
    process.start()
    process.join(60)
    assert process.exitcode == -9
    log = log_of_file
    report = fsck(service, log)
    assert (report.ok, report.events, report.waiting) == (True, 0, 1)
    event_id, inclusion = log.record(failed())
    assert inclusion.index == 1
    assert fsck(service, log).events == 2
    assert log.event(event_id).index == 1


def test_processes_killed_at_random_moments_lose_no_acknowledged_event(
    service_url: str, service: Engine, key_file: Path, log_of_file: AuditLog, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    generator = random.Random(7)
    files = [tmp_path / f"acknowledged-{number}" for number in range(2)]
    for _ in range(3):
        processes = [
            context.Process(target=appending.record_for_ever, args=(service_url, key_file, file)) for file in files
        ]
        written = [file.stat().st_size if file.exists() else 0 for file in files]
        for process in processes:
            process.start()
        deadline = time.monotonic() + 60
        while any(not f.exists() or f.stat().st_size <= w for f, w in zip(files, written, strict=True)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(generator.uniform(0, 0.3))
        for process in processes:
            process.kill()
            process.join()
    log = log_of_file
    acknowledged = [line.split() for f in files for line in f.read_text().splitlines() if line.count(" ") == 1]
    assert len(acknowledged) > 6
    for event_id, index in acknowledged:
        assert log.event(event_id).index == int(index)
    log.checkpoint()
    report = fsck(service, log)
    assert (report.ok, report.waiting) == (True, 0), report.differences


def test_a_batch_takes_all_that_wait_and_proves_each(log: AuditLog, service: Engine, ledger_key: LedgerKey) -> None:
    log.append_all([failed(number) for number in range(300)])
    sequencer = Sequencer(service, ledger_key, now)
    (first,) = (run := sequencer.run(limit=200)).batches
    assert run.more_wait
    (second,) = (run := sequencer.run(limit=200)).batches
    assert not run.more_wait
    assert (first.first_index, first.checkpoint.size) == (0, 200)
    assert (second.first_index, second.checkpoint.size) == (200, 300)
    for batch in (first, second):
        for offset, leaf in enumerate(batch.leaves):
            index = batch.first_index + offset
            verify_inclusion(leaf_hash(leaf), index, batch.checkpoint.size, batch.proof(index), batch.checkpoint.root)
    assert sequencer.run().batches == ()


def test_events_are_sequenced_in_the_order_of_their_positions(log: AuditLog) -> None:
    ids = [log.append(failed(number)) for number in range(20)]
    log.checkpoint()
    assert [log.event(event_id).index for event_id in ids] == list(range(20))


def test_a_sequencer_takes_up_where_another_left(log: AuditLog, service: Engine, ledger_key: LedgerKey) -> None:
    """Sizes around a tile's end, where an edge read back has an empty partial tile."""
    sequencers = [Sequencer(service, ledger_key, now) for _ in range(2)]
    for number, count in enumerate([255, 1, 1, 254, 1, 2]):
        log.append_all([failed()] * count)
        batch = sequencers[number % 2].run().batches[-1]
        assert log.root(batch.checkpoint.size) == batch.checkpoint.root
    assert fsck(service, log).ok


def test_what_other_processes_sequenced_can_be_proved_without_reading_tiles(
    log: AuditLog, service: Engine, ledger_key: LedgerKey
) -> None:
    busy, idle = (Sequencer(service, ledger_key, now) for _ in range(2))
    for count in (3, 250, 10):  # across a tile's end
        log.append_all([failed()] * count)
        (own,) = busy.run().batches
        (others,) = idle.run().batches
        assert (others.first_index, others.leaves, others.event_ids) == (own.first_index, own.leaves, own.event_ids)
        assert others.checkpoint == own.checkpoint
        for index in range(others.first_index, others.checkpoint.size):
            assert others.proof(index) == own.proof(index)
    assert idle.run().batches == ()


def test_another_key_signs_nothing_in_a_log_that_is_not_its_own(
    log: AuditLog, service: Engine, clock: Callable[[], datetime]
) -> None:
    log.record(failed())
    stranger = AuditLog(service, LedgerKey.generate(ORIGIN), clock)
    event_id = stranger.append(failed())
    with pytest.raises(LedgerKeyMismatchError):
        stranger.include(event_id)
    assert log.include(event_id).index == 1


def test_a_changed_tree_is_not_signed_over(
    log: AuditLog, owner: Engine, service: Engine, ledger_key: LedgerKey
) -> None:
    for _ in range(3):
        log.record(failed())
    as_superuser(owner, "UPDATE ledger_leaves SET leaf = leaf || ' ' WHERE index = 1")
    log.append(failed())
    with pytest.raises(LedgerCorruptError, match="nothing more is signed"):
        Sequencer(service, ledger_key, now).run()


def test_a_checkpoint_row_that_differs_from_its_note_stops_signing(
    log: AuditLog, owner: Engine, service: Engine, ledger_key: LedgerKey
) -> None:
    log.record(failed())
    as_superuser(owner, "UPDATE ledger_checkpoints SET root = sha256(root)")
    log.append(failed())
    with pytest.raises(LedgerCorruptError, match="differs from its note"):
        Sequencer(service, ledger_key, now).run()


def test_the_database_refuses_a_second_root_for_a_size(log: AuditLog, owner: Engine) -> None:
    log.record(failed())
    with pytest.raises(Exception, match="duplicate key"), owner.begin() as connection:
        connection.execute(
            text("INSERT INTO ledger_checkpoints SELECT size, sha256(root), time, note FROM ledger_checkpoints")
        )


def test_the_lock_is_one_for_the_database(log: AuditLog, owner: Engine) -> None:
    """What makes several processes one sequencer: nobody else can hold the lock while a batch is written."""
    with owner.begin() as connection:
        assert connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        with owner.begin() as other:
            assert not other.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
