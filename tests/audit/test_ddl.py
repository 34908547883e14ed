from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError

from audit import AuditLog, AuditReader, ObjectStore, Vault
from audit.ddl import append_only_statements, drop_append_only_statements
from audit.fsck import fsck
from audit.tables import APPEND_ONLY, metadata
from tests.audit.samples import failed, released

APPEND_ONLY_NAMES = [table.name for table in APPEND_ONLY]
ALL_NAMES = [table.name for table in metadata.sorted_tables]

CHANGES: list[Callable[[str], str]] = [
    lambda table: f"UPDATE {table} SET {first_column(table)} = {first_column(table)}",
    lambda table: f"DELETE FROM {table}",
    lambda table: f"TRUNCATE {table} CASCADE",
]


def first_column(table: str) -> str:
    """A column that every role could name in an UPDATE; not an identity, which none can set."""
    return next(f'"{column.name}"' for column in metadata.tables[table].columns if column.identity is None)


def attempt(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.fixture
def filled(log: AuditLog, vault: Vault) -> None:
    reference = vault.put("tenant/alice", "prompt", b"a red apple")
    log.record(released(prompt=reference))
    log.append(failed())


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", APPEND_ONLY_NAMES)
def test_the_service_cannot_change_or_delete_what_is_append_only(
    filled: None, service: Engine, table: str, change: Callable[[str], str]
) -> None:
    with pytest.raises(ProgrammingError, match="permission denied"):
        attempt(service, change(table))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("table", APPEND_ONLY_NAMES)
def test_the_triggers_stop_even_the_owner(
    filled: None, owner: Engine, table: str, change: Callable[[str], str]
) -> None:
    with pytest.raises(ProgrammingError, match="append-only"):
        attempt(owner, change(table))


@pytest.mark.parametrize("table", ALL_NAMES)
def test_the_service_can_neither_drop_nor_alter_nor_disarm(filled: None, service: Engine, table: str) -> None:
    for statement in (
        f"DROP TABLE {table} CASCADE",
        f"ALTER TABLE {table} DISABLE TRIGGER ALL",
        f"ALTER TABLE {table} ADD COLUMN x int",
        "SET session_replication_role = replica",
    ):
        with pytest.raises(ProgrammingError, match=r"must be owner|permission denied"):
            attempt(service, statement)


@pytest.mark.parametrize("table", ALL_NAMES)
def test_the_auditor_reads_everything_and_writes_nothing(filled: None, auditor: Engine, table: str) -> None:
    attempt(auditor, f"SELECT * FROM {table}")
    column = first_column(table)
    for statement in (
        f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM {table}",
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            attempt(auditor, statement)


def test_the_service_cannot_move_an_item_to_another_subject(filled: None, service: Engine) -> None:
    for statement in (
        "UPDATE vault_items SET subject_id = subject_id",
        "UPDATE vault_items SET ciphertext = ciphertext",
        "UPDATE vault_subjects SET id = id",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            attempt(service, statement)


def test_the_whole_product_path_works_with_the_services_rights(
    log: AuditLog, service: Engine, vault: Vault, objects: ObjectStore
) -> None:
    prompt = vault.put("tenant/alice", "prompt", b"a red apple")
    image = objects.put(b"image", "tenant/alice")
    log.record(released(prompt=prompt, objects=(image,)))
    assert vault.get(prompt) == b"a red apple"
    vault.erase("tenant/alice")


def test_an_auditor_can_check_the_whole_log(filled: None, log: AuditLog, auditor: Engine) -> None:
    report = fsck(auditor, AuditReader(auditor, log.public_key))
    assert (report.ok, report.events) == (True, 1)
    assert report.not_checked == ["vault references: no access was given", "objects: no access was given"]


def test_the_way_back_removes_the_triggers(owner: Engine) -> None:
    with owner.connect() as connection:
        transaction = connection.begin()
        for statement in drop_append_only_statements():
            connection.execute(text(statement))
        remaining = connection.scalar(text("SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%_append_only'"))
        for statement in append_only_statements():
            connection.execute(text(statement))
        transaction.rollback()
    assert remaining == 0
