"""The migrations end where the packages' tables are."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, text

import api.tables
import audit.ddl
import audit.tables
import provenance.tables
import safety.tables
from api.database import open_database
from api.migrations import NEWEST
from api.settings import Settings


def _migrated(database_url: str, folder: Path) -> None:
    open_database(Settings(data_dir=folder, database_url=database_url)).close()


def test_the_schema_is_the_packages_tables_and_nothing_else(database_url: str, engine: Engine, tmp_path: Path) -> None:
    _migrated(database_url, tmp_path)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": lambda _o, name, kind, *_: not (kind == "table" and name == "alembic_version")},
        )
        differences = compare_metadata(
            context,
            [audit.tables.metadata, provenance.tables.metadata, safety.tables.metadata, api.tables.metadata],  # type: ignore[arg-type]
        )
    assert differences == []


def test_the_newest_version_is_the_last_file(database_url: str, engine: Engine, tmp_path: Path) -> None:
    _migrated(database_url, tmp_path)
    versions = sorted((Path(api.tables.__file__).parent / "migrations" / "versions").glob("*.py"))
    assert versions[-1].name.startswith(NEWEST)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == NEWEST


def test_triggers_and_grants_of_the_log_are_those_that_its_package_asks_for(
    database_url: str, engine: Engine, tmp_path: Path
) -> None:
    _migrated(database_url, tmp_path)
    rights = text(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants WHERE grantee = :role"
        " UNION SELECT table_name || '.' || column_name, privilege_type"
        " FROM information_schema.role_column_grants WHERE grantee = :role AND privilege_type = 'UPDATE'"
        " ORDER BY 1, 2"
    )
    triggers = text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1")
    with engine.connect() as connection:
        before = connection.execute(rights, {"role": "imprimatur_service"}).all()
        made = connection.scalars(triggers).all()
        for statement in [*audit.ddl.drop_append_only_statements(), *audit.ddl.append_only_statements()]:
            connection.execute(text(statement))
        for statement in audit.ddl.grant_statements():
            connection.execute(text(statement))
        assert connection.execute(rights, {"role": "imprimatur_service"}).all() == before
        assert connection.scalars(triggers).all() == made
        connection.rollback()
