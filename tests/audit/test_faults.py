"""Faults under load: processes and the database killed at random moments, a full disk, a failover.

`IMPRIMATUR_FAULT_ROUNDS` sets the rounds of killing: 5 by default, 50 at night.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from audit import AuditLog, LedgerKey, ObjectStore, Vault
from audit.ddl import append_only_statements, grant_statements
from audit.errors import AuditUnavailableError, StorageFullError, UnknownEventError
from audit.fsck import fsck
from audit.ledger.merkle import verify_consistency
from audit.tables import metadata
from tests.audit import appending
from tests.audit.conftest import ORIGIN
from tests.audit.samples import failed
from tests.postgres_server import PostgresServer, packaged_binaries

ROUNDS = int(os.environ.get("IMPRIMATUR_FAULT_ROUNDS", "5"))
WRITERS = 2
SERVICE_PASSWORD = "of the service"


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(packaged_binaries(), tls=False) as server:
        _make_tables(server)
        yield server


def _make_tables(server: PostgresServer) -> None:
    owner = create_engine(server.url())
    metadata.create_all(owner)
    with owner.begin() as connection:
        connection.execute(text(f"CREATE ROLE test_service LOGIN PASSWORD '{SERVICE_PASSWORD}'"))
        connection.execute(text("CREATE ROLE test_auditor"))
        for statement in (*append_only_statements(), *grant_statements("test_service", "test_auditor")):
            connection.execute(text(statement))
    owner.dispose()


@pytest.fixture
def service(server: PostgresServer) -> Iterator[Engine]:
    engine = create_engine(server.url("test_service", SERVICE_PASSWORD), pool_pre_ping=True)
    yield engine
    engine.dispose()


def test_services_and_database_killed_at_random_moments_lose_nothing_and_fork_nothing(
    server: PostgresServer, service: Engine, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    generator = random.Random(20261122)
    key_file = tmp_path / "ledger.key"
    log = AuditLog(service, LedgerKey.load_or_create(key_file, ORIGIN), now)
    url = server.url("test_service", SERVICE_PASSWORD).render_as_string(hide_password=False)
    files = [tmp_path / f"acknowledged-{number}" for number in range(WRITERS)]

    def start(number: int) -> Any:
        process = context.Process(target=appending.record_through_faults, args=(url, key_file, files[number]))
        process.start()
        return process

    def wait_until_all_wrote() -> None:
        sizes = [_size(file) for file in files]
        _wait_until(lambda: all(_size(file) > size for file, size in zip(files, sizes, strict=True)))

    writers = [start(number) for number in range(WRITERS)]
    for _ in range(ROUNDS):
        wait_until_all_wrote()
        time.sleep(generator.uniform(0, 0.2))
        victims = generator.choice([["service"], ["database"], ["service", "database"]])
        if "service" in victims:
            number = generator.randrange(WRITERS)
            writers[number].kill()
            writers[number].join()
            writers[number] = start(number)
        if "database" in victims:
            server.kill()
            time.sleep(generator.uniform(0, 0.1))
            server.start()
    wait_until_all_wrote()
    for writer in writers:
        assert writer.is_alive(), "a writer met an error that was not typed"
        writer.kill()
        writer.join()

    log.checkpoint()
    report = fsck(service, log)
    assert (report.ok, report.waiting) == (True, 0), report.differences
    acknowledged = [line.split() for file in files for line in file.read_text().splitlines() if line.count(" ") == 3]
    assert len(acknowledged) > ROUNDS
    newest = log.latest_checkpoint()
    assert newest is not None
    for event_id, index, size, root in acknowledged[:: max(1, len(acknowledged) // 500)]:
        assert log.event(event_id).index == int(index), "what was acknowledged is in its place"
        proof = log.consistency(int(size), newest.size)
        verify_consistency(int(size), newest.size, proof, bytes.fromhex(root), newest.root)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the writers stand still"
        time.sleep(0.01)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 MiB."""
    folder = Path(tempfile.mkdtemp(prefix="imprimatur-small-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


def test_a_disk_that_is_full_is_a_typed_error_and_nothing_recorded_is_lost(
    small_disk: Path, server: PostgresServer, service: Engine, ledger_key: LedgerKey
) -> None:
    """The events' table on a small disk, filled to the last block."""
    folder = small_disk / "tablespace"
    folder.mkdir()
    small_disk.chmod(0o755)
    stat = server.data.stat()
    os.chown(folder, stat.st_uid, stat.st_gid)
    owner = create_engine(server.url(), isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        connection.execute(text(f"CREATE TABLESPACE small LOCATION '{folder}'"))
        connection.execute(text("ALTER TABLE audit_events SET TABLESPACE small"))
    log = AuditLog(service, ledger_key, now)
    recorded = [log.record(failed(number))[0] for number in range(5)]
    ballast = small_disk / "ballast"
    with pytest.raises(StorageFullError, match="free space"):
        _fill_and_record(log, ballast, recorded)
    with pytest.raises(StorageFullError):
        log.append_all([failed()] * 2000)
    ballast.unlink()
    recorded.append(log.record(failed())[0])
    assert [log.event(event_id).index for event_id in recorded] == list(range(len(recorded)))
    report = fsck(service, log)
    assert (report.ok, report.waiting, report.events) == (True, 0, len(recorded))
    with owner.connect() as connection:
        connection.execute(text("ALTER TABLE audit_events SET TABLESPACE pg_default"))
        connection.execute(text("DROP TABLESPACE small"))
    owner.dispose()


def _fill_and_record(log: AuditLog, ballast: Path, recorded: list[Any]) -> None:
    free = shutil.disk_usage(ballast.parent).free
    ballast.write_bytes(bytes(free))
    for number in range(2000):  # what is left of the table's last pages is filled first
        recorded.append(log.record(failed(number))[0])


def test_a_full_object_store_is_a_typed_error_and_leaves_nothing_behind(
    small_disk: Path, service: Engine, tmp_path: Path, server: PostgresServer
) -> None:
    objects = ObjectStore(str(small_disk / "objects"), Vault(service, tmp_path / "keys", now))
    kept = objects.put(b"kept", "acme/alice")
    with pytest.raises(StorageFullError, match="free space"):
        objects.put(bytes(80 * 1024 * 1024), "acme/alice")
    assert objects.get(kept) == b"kept"
    assert len([path for path in small_disk.rglob("*") if path.is_file()]) == 1


def test_a_failover_in_the_middle_of_a_callers_transaction_loses_it_whole(
    server: PostgresServer, service: Engine, ledger_key: LedgerKey
) -> None:
    log = AuditLog(service, ledger_key, now)
    log.record(failed(1))
    connection = service.connect()
    lost = log.append(failed(2), connection)
    server.kill()
    server.start()
    with pytest.raises(AuditUnavailableError, match="whether a commit under way"):
        log.append(failed(2), connection)
    connection.close()
    with pytest.raises(UnknownEventError):
        log.include(lost)
    assert log.record(failed(3))[1].index == 1
    report = fsck(service, log)
    assert (report.ok, report.events, report.waiting) == (True, 2, 0)
