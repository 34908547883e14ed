"""A log, a vault and an object store on a real PostgreSQL, used through the roles that production uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from audit import AuditLog, LedgerKey, ObjectStore, Vault
from audit.ddl import append_only_statements, grant_statements
from audit.tables import metadata

SERVICE = "test_audit_service"
AUDITOR = "test_audit_auditor"
ORIGIN = "log.example/imprimatur"


@pytest.fixture(scope="module")
def owner(engine: Engine) -> Engine:
    """Engine of the tables' owner, a superuser, with tables, triggers and roles made."""
    metadata.create_all(engine)
    with engine.begin() as connection:
        for role in (SERVICE, AUDITOR):
            exists = connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role})
            if not exists:
                connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        for statement in (*append_only_statements(), *grant_statements(SERVICE, AUDITOR)):
            connection.execute(text(statement))
    return engine


@pytest.fixture
def empty_tables(owner: Engine) -> None:
    """Empties the tables, which only a superuser with triggers off can do."""
    with owner.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        names = ", ".join(table.name for table in metadata.sorted_tables)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY"))


@pytest.fixture
def service_url(owner: Engine, database_url: str, empty_tables: None) -> str:
    """URL of the database for the service's role."""
    return make_url(database_url).set(username=SERVICE).render_as_string(hide_password=False)


@pytest.fixture
def service(service_url: str) -> Iterator[Engine]:
    """Engine of the service's role, on empty tables."""
    engine = create_engine(service_url)
    yield engine
    engine.dispose()


@pytest.fixture
def auditor(owner: Engine, database_url: str) -> Iterator[Engine]:
    """Engine of the auditor's role."""
    engine = create_engine(make_url(database_url).set(username=AUDITOR))
    yield engine
    engine.dispose()


@pytest.fixture
def clock() -> Callable[[], datetime]:
    return lambda: datetime.now(UTC)


@pytest.fixture
def ledger_key() -> LedgerKey:
    return LedgerKey.generate(ORIGIN)


@pytest.fixture
def log(service: Engine, ledger_key: LedgerKey, clock: Callable[[], datetime]) -> AuditLog:
    return AuditLog(service, ledger_key, clock)


@pytest.fixture
def vault(service: Engine, tmp_path: Path, clock: Callable[[], datetime]) -> Vault:
    return Vault(service, tmp_path / "keys", clock)


@pytest.fixture
def objects(vault: Vault, tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "objects"), vault)
