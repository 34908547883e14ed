"""The audit log on a server of Debian's, over TLS with passwords, an owner, a service and an auditor apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from audit import AuditLog, AuditReader, Eraser, LedgerKey, LegalHolds, ObjectStore, Vault
from audit import receipt as receipts
from audit.ddl import append_only_statements, grant_statements
from audit.errors import AuditUnavailableError
from audit.fsck import fsck
from audit.tables import APPEND_ONLY, metadata
from tests.audit.conftest import ORIGIN
from tests.audit.samples import IMAGE, failed, released
from tests.postgres_server import PostgresServer, debian_binaries

SERVICE_PASSWORD = "of the service: /@%"
AUDITOR_PASSWORD = "of the auditor"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    binaries = debian_binaries()
    if binaries is None:
        pytest.skip("needs Debian's PostgreSQL server (package postgresql)")
    with PostgresServer(binaries, tls=True) as server:
        owner = create_engine(server.url())
        metadata.create_all(owner)
        with owner.begin() as connection:
            connection.execute(
                text(f"CREATE ROLE test_service LOGIN PASSWORD '{SERVICE_PASSWORD.replace(chr(39), 2 * chr(39))}'")
            )
            connection.execute(
                text(f"CREATE ROLE test_auditor LOGIN PASSWORD '{AUDITOR_PASSWORD.replace(chr(39), 2 * chr(39))}'")
            )
            for statement in (*append_only_statements(), *grant_statements("test_service", "test_auditor")):
                connection.execute(text(statement))
        owner.dispose()
        yield server


@pytest.fixture(scope="module")
def owner(server: PostgresServer) -> Iterator[Engine]:
    engine = create_engine(server.url())
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def service(server: PostgresServer) -> Iterator[Engine]:
    engine = create_engine(server.url("test_service", SERVICE_PASSWORD))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def auditor(server: PostgresServer) -> Iterator[Engine]:
    engine = create_engine(server.url("test_auditor", AUDITOR_PASSWORD))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def key() -> LedgerKey:
    return LedgerKey.generate(ORIGIN)


@pytest.fixture
def log(service: Engine, key: LedgerKey, clock: Callable[[], datetime]) -> AuditLog:
    return AuditLog(service, key, clock)


def test_connections_are_encrypted_and_named(service: Engine) -> None:
    with service.connect() as connection:
        row = connection.execute(
            text("SELECT ssl, version, current_user FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        ).one()
    assert (row.ssl, row.current_user) == (True, "test_service")
    assert row.version >= "TLSv1.2"


@pytest.mark.parametrize(
    ("user", "password", "query"),
    [
        ("test_service", "wrong", {}),
        ("test_service", SERVICE_PASSWORD, {"sslmode": "disable"}),
        ("test_service", SERVICE_PASSWORD, {"sslmode": "verify-full", "sslrootcert": "system"}),
        ("nobody", SERVICE_PASSWORD, {}),
    ],
)
def test_a_wrong_password_no_encryption_or_an_unknown_server_is_a_typed_error(
    server: PostgresServer,
    key: LedgerKey,
    clock: Callable[[], datetime],
    user: str,
    password: str,
    query: dict[str, str],
) -> None:
    engine = create_engine(server.url(user, password, **query))
    with pytest.raises(AuditUnavailableError) as caught:
        AuditLog(engine, key, clock).record(failed())
    assert password not in str(caught.value)
    with pytest.raises(OperationalError):
        engine.connect()
    engine.dispose()


def test_log_vault_objects_erasure_and_check_work_as_on_the_embedded_server(
    log: AuditLog, service: Engine, auditor: Engine, clock: Callable[[], datetime], tmp_path: Path
) -> None:
    vault = Vault(service, tmp_path / "keys", clock)
    objects = ObjectStore(str(tmp_path / "objects"), vault)
    eraser = Eraser(service, log, vault, objects, LegalHolds(service, vault, log, clock))
    log.record_all([failed(number) for number in range(300)])
    prompt, image = vault.put("acme/alice", "prompt", b"a red apple"), objects.put(IMAGE, "acme/alice")
    event_id, inclusion = log.record(released(prompt=prompt, objects=(image,)))
    receipt = receipts.build(log, event_id, inclusion)
    eraser.erase("acme/alice", ground="asked")
    reader = AuditReader(auditor, log.public_key)
    assert receipts.check_against_log(receipt, reader).record_id == "record-1"
    assert fsck(service, log, vault, objects).ok
    assert fsck(auditor, reader).ok


@pytest.mark.parametrize("table", [table.name for table in APPEND_ONLY])
@pytest.mark.parametrize("change", ["UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_neither_service_nor_owner_can_change_what_is_append_only(
    log: AuditLog, service: Engine, owner: Engine, table: str, change: str
) -> None:
    log.record(failed())
    column = metadata.tables[table].columns.keys()[-1]
    statement = change.format(table, column=column)
    with pytest.raises(ProgrammingError, match="permission denied"), service.begin() as connection:
        connection.execute(text(statement))
    with pytest.raises(ProgrammingError, match="append-only"), owner.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit_events DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_events_append_only ON audit_events",
        "DROP TABLE audit_events",
        "ALTER TABLE audit_events ADD COLUMN x int",
        "CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "SET session_replication_role = replica",
        "SET ROLE owner",
    ],
)
def test_the_service_cannot_get_round_the_triggers(service: Engine, statement: str) -> None:
    with pytest.raises(ProgrammingError, match=r"permission denied|must be owner"), service.begin() as connection:
        connection.execute(text(statement))


def test_the_auditor_reads_everything_and_writes_nothing(log: AuditLog, auditor: Engine) -> None:
    log.record(failed())
    for table in metadata.sorted_tables:
        with auditor.connect() as connection:
            connection.execute(text(f'SELECT count(*) FROM "{table.name}"'))
        for statement in (f"INSERT INTO {table.name} DEFAULT VALUES", f"DELETE FROM {table.name}"):
            with pytest.raises(ProgrammingError, match="permission denied"), auditor.begin() as connection:
                connection.execute(text(statement))
