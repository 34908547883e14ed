"""The opened service for tests of the flows: the real parts, on a database of this test session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from api.composition import Imprimatur
from api.generate import Order
from api.keys import Caller
from api.settings import Settings
from generator.request import GenerationRequest


@pytest.fixture(scope="session")
def service_database_url(postgres_url: str) -> str:
    """A fresh database for the service of this test session; the service makes roles and tables itself."""
    name = f"service_{secrets.token_hex(6)}"
    server = create_engine(postgres_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    return make_url(postgres_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def settings(service_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of the session's service; `model_copy(update=...)` gives variants on the same database."""
    return Settings(
        data_dir=tmp_path_factory.mktemp("imprimatur"), database_url=service_database_url, lease_s=2.0, queue_length=4
    )


@pytest.fixture(scope="session")
def services(settings: Settings) -> Iterator[Imprimatur]:
    """The opened, warm service."""
    with Imprimatur(settings) as opened:
        opened.warm_up()
        yield opened


@pytest.fixture(scope="session")
def caller(services: Imprimatur) -> Caller:
    """The operator, with every role."""
    return services.local_caller()


@pytest.fixture
def order(caller: Caller) -> Order:
    """A harmless request that is quick to generate."""
    request = GenerationRequest(prompt="a red apple on a blue background", seed=11, steps=2, width=512, height=512)
    return Order(request, caller, "png")


@pytest.fixture
def command_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Environment in which `imprimatur` commands meet the session's service; returns the working folder."""
    assert settings.database_url is not None
    monkeypatch.setenv("IMPRIMATUR_DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("IMPRIMATUR_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("IMPRIMATUR_LEASE_S", str(settings.lease_s))
    monkeypatch.chdir(tmp_path)
    return tmp_path
