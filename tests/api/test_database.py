"""Roles, migrations and failures of the database, on real servers."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import NullPool

from api.database import Database, open_database, process_id, unavailable_when_away
from api.errors import ConfigurationError, UnavailableError
from api.migrations import NEWEST
from api.settings import Settings

APPEND_ONLY = ("audit_events", "ledger_leaves", "ledger_checkpoints")


def _settings(url: str, tmp_path: Path, **more: object) -> Settings:
    return Settings(**{"database_url": url, "data_dir": tmp_path} | more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def database(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = open_database(_settings(database_url, tmp_path_factory.mktemp("data")))
    yield database
    database.close()


def _superuser(url: str, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture
def fresh_url(postgres_url: str) -> Iterator[str]:
    """An empty database in which nothing was prepared, not even the extension."""
    name = f"fresh_{process_id().partition('-')[2]}"
    _superuser(postgres_url, f"CREATE DATABASE {name}")
    yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    _superuser(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def plain_role(postgres_url: str) -> Iterator[str]:
    """A role that may log in and nothing else."""
    name = f"plain_{process_id().partition('-')[2]}"
    _superuser(postgres_url, f"CREATE ROLE {name} LOGIN")
    yield name
    _superuser(postgres_url, f"DROP ROLE {name}")


def test_the_service_acts_as_its_role_on_every_connection(database: Database) -> None:
    connections = [database.engine.connect() for _ in range(3)]
    try:
        for connection in connections:
            assert connection.scalar(text("SELECT current_user")) == "imprimatur_service"
            connection.rollback()
            assert connection.scalar(text("SELECT current_user")) == "imprimatur_service"
    finally:
        for connection in connections:
            connection.close()
    assert not database.embedded


def test_the_service_role_has_no_power_over_the_server(database: Database) -> None:
    with database.engine.connect() as connection:
        role = connection.execute(
            text(
                "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls"
                " FROM pg_roles WHERE rolname = 'imprimatur_service'"
            )
        ).one()
        owned = connection.scalar(text("SELECT count(*) FROM pg_tables WHERE tableowner = 'imprimatur_service'"))
    assert not any(role)
    assert owned == 0


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET {column} = {column}",
        "DELETE FROM {table}",
        "TRUNCATE {table}",
        "TRUNCATE {table} CASCADE",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "ALTER TABLE {table} ADD COLUMN more integer",
        "ALTER TABLE {table} OWNER TO imprimatur_service",
        "DROP TRIGGER {table}_append_only ON {table}",
        "DROP TABLE {table} CASCADE",
        "GRANT ALL ON {table} TO imprimatur_service",
        "CREATE TRIGGER sneaky BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse_change()",
        "CREATE RULE sneaky AS ON INSERT TO {table} DO INSTEAD NOTHING",
    ],
)
def test_the_service_role_cannot_change_what_is_append_only(database: Database, table: str, statement: str) -> None:
    with database.engine.connect() as connection:
        column = connection.scalar(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = :t AND is_identity = 'NO' AND is_generated = 'NEVER' LIMIT 1"
            ),
            {"t": table},
        )
        assert column is not None
        connection.execute(text(f"SELECT count(*) FROM {table}"))  # it is there and may be read
        if statement.startswith("GRANT"):
            # PostgreSQL answers a grant without grant option with a warning: what counts is that nothing is granted.
            connection.execute(text(statement.format(table=table, column=column)))
            for right in ("UPDATE", "DELETE", "TRUNCATE", "TRIGGER"):
                assert not connection.scalar(
                    text("SELECT has_table_privilege('imprimatur_service', :t, :r)"), {"t": table, "r": right}
                )
            return
        with pytest.raises(ProgrammingError, match=r"permission denied|must be owner|refused") as refused:
            connection.execute(text(statement.format(table=table, column=column)))
        assert getattr(refused.value.orig, "sqlstate", None) == "42501"


@pytest.mark.parametrize("table", APPEND_ONLY)
@pytest.mark.parametrize(
    "statement", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table}"]
)
def test_the_triggers_bind_even_a_superuser(database: Database, database_url: str, table: str, statement: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.connect() as connection:
        column = connection.scalar(
            text(
                "SELECT column_name FROM information_schema.columns"
                " WHERE table_name = :t AND is_identity = 'NO' AND is_generated = 'NEVER' LIMIT 1"
            ),
            {"t": table},
        )
        with pytest.raises(ProgrammingError, match="append-only"):
            connection.execute(text(statement.format(table=table, column=column)))


@pytest.mark.parametrize(
    "statement",
    [
        "SET session_replication_role = replica",
        "CREATE TABLE mine (a integer)",
        "CREATE ROLE mine",
        "SET ROLE imprimatur_owner",
        "COPY records TO PROGRAM 'cat'",
        "UPDATE alembic_version SET version_num = '0'",
        "CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    ],
)
def test_the_service_role_has_no_way_around(fresh_url: str, tmp_path: Path, statement: str) -> None:
    open_database(_settings(fresh_url, tmp_path)).close()
    as_service = make_url(fresh_url).set(username="imprimatur_service")
    _superuser(fresh_url, "ALTER ROLE imprimatur_service LOGIN")
    engine = create_engine(as_service, poolclass=NullPool)
    try:
        with engine.connect() as connection, pytest.raises(ProgrammingError) as refused:
            connection.execute(text(statement))
        assert getattr(refused.value.orig, "sqlstate", None) == "42501"
    finally:
        _superuser(fresh_url, "ALTER ROLE imprimatur_service NOLOGIN")


def test_opening_again_changes_nothing(fresh_url: str, tmp_path: Path) -> None:
    def schema() -> list[tuple[object, ...]]:
        engine = create_engine(fresh_url, poolclass=NullPool)
        with engine.connect() as connection:
            objects = connection.execute(text("SELECT oid::bigint, relname, relacl::text FROM pg_class ORDER BY oid"))
            rows = [tuple(row) for row in objects]
            rows += [tuple(row) for row in connection.execute(text("SELECT version_num FROM alembic_version"))]
            return rows

    open_database(_settings(fresh_url, tmp_path)).close()
    first = schema()
    open_database(_settings(fresh_url, tmp_path)).close()

    assert schema() == first
    assert first[-1] == (NEWEST,)


def test_processes_that_start_at_once_on_a_fresh_database_migrate_it_once(fresh_url: str, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        opened = list(pool.map(lambda _: open_database(_settings(fresh_url, tmp_path)), range(4)))

    for database in opened:
        with database.engine.connect() as connection:
            assert connection.scalars(text("SELECT version_num FROM alembic_version")).all() == [NEWEST]
            assert connection.scalar(text("SELECT count(*) FROM records")) == 0
        database.close()


def test_a_migration_that_fails_leaves_nothing_behind(fresh_url: str, tmp_path: Path) -> None:
    _superuser(fresh_url, "CREATE TABLE public.records (in_the_way integer)")  # of another owner: grants on it fail
    with pytest.raises((ConfigurationError, UnavailableError)):
        open_database(_settings(fresh_url, tmp_path))
    engine = create_engine(fresh_url, poolclass=NullPool)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT to_regclass('alembic_version')")) is None
        assert connection.scalar(text("SELECT to_regclass('audit_events')")) is None
    _superuser(fresh_url, "DROP TABLE public.records")

    open_database(_settings(fresh_url, tmp_path)).close()


def test_a_server_that_is_not_there_is_named_within_the_time_limit(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    started = time.monotonic()

    with pytest.raises(UnavailableError, match=rf"database.*127\.0\.0\.1.*{port}"):
        open_database(_settings(f"postgresql://me:swordfish@127.0.0.1:{port}/x", tmp_path, database_timeout_s=3))
    assert time.monotonic() - started < 3.5


def test_a_server_that_never_answers_is_given_up_within_the_time_limit(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(UnavailableError, match="database") as away:
            open_database(_settings(f"postgresql://me:swordfish@127.0.0.1:{port}/x", tmp_path, database_timeout_s=2))
    assert 1.5 < time.monotonic() - started < 5
    assert "swordfish" not in str(away.value)


def test_a_database_that_does_not_exist_is_named(postgres_url: str, tmp_path: Path) -> None:
    url = make_url(postgres_url).set(database="missing_database").render_as_string(hide_password=False)

    with pytest.raises(UnavailableError, match="missing_database"):
        open_database(_settings(url, tmp_path))


def test_connections_that_the_server_ended_are_replaced(database: Database, database_url: str) -> None:
    with database.engine.connect() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
    _superuser(database_url, f"SELECT pg_terminate_backend({pid}, 5000)")

    with unavailable_when_away(), database.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_user")) == "imprimatur_service"


def test_a_connection_that_ends_during_a_query_is_a_typed_error(database: Database) -> None:
    connection = database.engine.connect()
    connection.exec_driver_sql("SET ROLE NONE")  # only the superuser may end connections

    with pytest.raises(UnavailableError, match="database"), unavailable_when_away():
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    connection.close()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///file.db", "mysql://me:swordfish@host/x", "nonsense", "", "postgresql",
        "postgresql://me:swordfish@host:port/x", "://me:swordfish@host/x",
    ],
)  # fmt: skip
def test_what_is_no_postgresql_url_is_a_configuration_error_without_the_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PostgreSQL|postgresql://") as wrong:
        open_database(_settings(url, tmp_path))
    assert "swordfish" not in str(wrong.value)
    assert wrong.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+psycopg2"])
def test_every_usual_scheme_of_postgresql_works(
    database: Database, database_url: str, scheme: str, tmp_path: Path
) -> None:
    url = scheme + "://" + database_url.partition("://")[2]
    opened = open_database(_settings(url, tmp_path))

    assert opened.engine.driver == "psycopg"
    with opened.engine.connect() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    opened.close()


def test_a_role_without_rights_is_told_what_to_grant(fresh_url: str, plain_role: str, tmp_path: Path) -> None:
    url = make_url(fresh_url).set(username=plain_role).render_as_string(hide_password=False)

    with pytest.raises(ConfigurationError) as lacking:
        open_database(_settings(url, tmp_path))
    assert "IMPRIMATUR_OWNER_DATABASE_URL" in str(lacking.value)
    assert "grant imprimatur_service to the role" in str(lacking.value)


def test_a_plain_role_serves_when_an_owner_migrates_and_the_service_role_is_granted(
    fresh_url: str, plain_role: str, tmp_path: Path
) -> None:
    url = make_url(fresh_url).set(username=plain_role).render_as_string(hide_password=False)
    settings = _settings(url, tmp_path, owner_database_url=fresh_url)
    not_granted = open_database(settings)
    with pytest.raises(ConfigurationError, match="grant imprimatur_service"), unavailable_when_away():
        not_granted.engine.connect()
    not_granted.close()

    _superuser(fresh_url, f"GRANT imprimatur_service TO {plain_role}")
    database = open_database(settings)
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT session_user")) == plain_role
        assert connection.scalar(text("SELECT current_user")) == "imprimatur_service"
        assert connection.scalar(text("SELECT count(*) FROM audit_events")) == 0
    database.close()
    open_database(_settings(url, tmp_path)).close()  # once migrated, no owner is needed


def test_an_owner_that_was_granted_the_roles_migrates_without_being_superuser(
    database: Database, fresh_url: str, plain_role: str, tmp_path: Path
) -> None:
    name = make_url(fresh_url).database
    _superuser(fresh_url, "CREATE EXTENSION vector")
    _superuser(fresh_url, f"ALTER DATABASE {name} OWNER TO {plain_role}")
    for role in ("imprimatur_owner", "imprimatur_service", "imprimatur_audit"):
        _superuser(fresh_url, f"GRANT {role} TO {plain_role}")
    url = make_url(fresh_url).set(username=plain_role).render_as_string(hide_password=False)
    try:
        opened = open_database(_settings(url, tmp_path))
        with opened.engine.connect() as connection:
            owners = set(connection.scalars(text("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'")))
        opened.close()
        assert owners == {"imprimatur_owner"}
    finally:
        _superuser(fresh_url, f"ALTER DATABASE {name} OWNER TO CURRENT_USER")


def test_process_ids_are_never_the_same() -> None:
    ids = {process_id() for _ in range(100)}

    assert len(ids) == 100
    assert max(map(len, ids)) <= 32  # the column's width


EMBEDDED = """
import sys
from pathlib import Path
from sqlalchemy import text
from api.database import open_database
from api.settings import Settings
database = open_database(Settings(data_dir=Path(sys.argv[1])))
with database.engine.connect() as connection:
    print(database.embedded, connection.scalar(text("SELECT session_user")),
          connection.scalar(text("SELECT current_user")),
          connection.scalar(text("SELECT rolsuper FROM pg_roles WHERE rolname = session_user")),
          connection.scalar(text("SELECT current_database()")), connection.scalar(text("SELECT count(*) FROM records")))
    connection.rollback()
    connection.exec_driver_sql("RESET ROLE")
    try:
        connection.exec_driver_sql("SET ROLE postgres")
    except Exception as error:
        print(error.orig.sqlstate)
database.close()
"""


def test_the_embedded_server_starts_for_processes_at_once_and_the_service_is_no_superuser() -> None:
    # Not below pytest's folder: a second test session closes that one to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="imprimatur-embedded-", ignore_cleanup_errors=True) as folder:
        children = [
            subprocess.Popen(
                [sys.executable, "-c", EMBEDDED, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(2)
        ]
        for child in children:
            out, err = child.communicate(timeout=120)
            assert child.returncode == 0, err
            assert out.split() == [
                "True", "imprimatur_service", "imprimatur_service", "False", "imprimatur", "0", "42501",
            ]  # fmt: skip


def test_an_embedded_server_that_cannot_start_is_named(tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("a file where the folder should be")

    with pytest.raises(UnavailableError, match="embedded PostgreSQL") as away:
        open_database(Settings(data_dir=tmp_path))
    assert str(tmp_path) in str(away.value)
