import multiprocessing
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from audit import Vault, VaultReference
from audit.errors import (
    AuditUnavailableError,
    ErasedError,
    KeyFileError,
    UnknownSubjectError,
    VaultCorruptError,
    VaultError,
)
from audit.vault import LOCK_KEY
from tests.audit import appending
from tests.audit.samples import as_superuser

PROMPT = b"a red apple on a tree"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_what_was_put_comes_back(vault: Vault) -> None:
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    assert vault.get(reference) == PROMPT
    assert vault.get(vault.put("tenant/alice", "actor", b"")) == b""


def test_the_same_text_twice_has_different_commitments(vault: Vault) -> None:
    first, second = (vault.put("tenant/alice", "prompt", PROMPT) for _ in range(2))
    assert first.commitment != second.commitment
    assert first.subject_id == second.subject_id


def test_another_instance_reads_what_one_wrote(
    vault: Vault, service: Engine, keys: Path, clock: Callable[[], datetime]
) -> None:
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    assert Vault(service, keys, clock).get(reference) == PROMPT


def test_nothing_readable_is_in_the_database(vault: Vault, owner: Engine) -> None:
    vault.put("tenant/alice", "prompt", PROMPT)
    with owner.connect() as connection:
        dump = str(connection.execute(text("SELECT * FROM vault_items")).all())
        dump += str(connection.execute(text("SELECT * FROM vault_subjects")).all())
    assert "apple" not in dump
    assert "alice" not in dump


def test_erasing_a_subject_leaves_others_readable(vault: Vault) -> None:
    alice = [vault.put("tenant/alice", "prompt", PROMPT) for _ in range(3)]
    bob = vault.put("tenant/bob", "prompt", b"a blue boat")
    erasure = vault.erase("tenant/alice")
    assert erasure.items == {alice[0].subject_id: 3}
    assert erasure.epoch_after == erasure.epoch_before + 1
    for reference in alice:
        with pytest.raises(ErasedError):
            vault.get(reference)
    assert vault.get(bob) == b"a blue boat"
    assert vault.put("tenant/bob", "prompt", b"x").subject_id == bob.subject_id


def test_an_erased_subject_who_returns_is_a_new_one(vault: Vault) -> None:
    before = vault.put("tenant/alice", "prompt", PROMPT)
    vault.erase("tenant/alice")
    after = vault.put("tenant/alice", "prompt", PROMPT)
    assert after.subject_id != before.subject_id
    assert vault.get(after) == PROMPT


def test_rows_from_a_backup_cannot_be_opened_after_the_erasure(vault: Vault, owner: Engine, keys: Path) -> None:
    """The copy of the disk: rows as they were, and all keys that exist now."""
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    vault.put("tenant/bob", "prompt", b"a blue boat")
    as_superuser(
        owner,
        "CREATE TABLE backup_subjects AS SELECT * FROM vault_subjects",
        "CREATE TABLE backup_items AS SELECT * FROM vault_items",
    )
    old_keys = {path.name: path.read_bytes() for path in keys.iterdir()}
    vault.erase("tenant/alice")
    assert not old_keys.keys() & {path.name for path in keys.iterdir()}
    as_superuser(
        owner,
        "DELETE FROM vault_items",
        "DELETE FROM vault_subjects",
        "INSERT INTO vault_subjects SELECT * FROM backup_subjects",
        "INSERT INTO vault_items SELECT * FROM backup_items",
        "DROP TABLE backup_subjects, backup_items",
    )
    fresh = Vault(vault._engine, keys, vault._clock)
    with pytest.raises(KeyFileError):
        fresh.get(reference)
    as_superuser(owner, "UPDATE vault_subjects SET epoch = 2")
    with pytest.raises(VaultCorruptError):
        fresh.get(reference)


def test_the_old_epoch_key_is_gone_after_an_erasure(vault: Vault, keys: Path) -> None:
    vault.put("tenant/alice", "prompt", PROMPT)
    (before,) = keys.glob("*.key")
    vault.erase("tenant/alice")
    (after,) = keys.glob("*.key")
    assert before != after


def test_erasing_whom_the_vault_does_not_know_changes_nothing(vault: Vault, keys: Path) -> None:
    with pytest.raises(UnknownSubjectError):
        vault.erase("tenant/nobody")
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    before = list(keys.iterdir())
    with pytest.raises(UnknownSubjectError):
        vault.erase("tenant/nobody")
    assert list(keys.iterdir()) == before
    assert vault.get(reference) == PROMPT


def test_a_process_that_holds_the_old_key_goes_on_after_anothers_erasure(
    vault: Vault, service: Engine, keys: Path, clock: Callable[[], datetime]
) -> None:
    other = Vault(service, keys, clock)
    bob = other.put("tenant/bob", "prompt", b"a blue boat")
    alice = other.put("tenant/alice", "prompt", PROMPT)
    vault.erase("tenant/alice")
    assert other.get(bob) == b"a blue boat"
    assert other.get(other.put("tenant/carol", "prompt", b"new")) == b"new"
    with pytest.raises(ErasedError):
        other.get(alice)


@pytest.mark.parametrize("dies_at", ["rewrap", "destroy"])
def test_an_erasure_that_died_can_be_finished(
    vault: Vault, keys: Path, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    alice = vault.put("tenant/alice", "prompt", PROMPT)
    bob = vault.put("tenant/bob", "prompt", b"a blue boat")

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Vault, "_rewrap" if dies_at == "rewrap" else "finish_erasure", die)
        with pytest.raises(KeyboardInterrupt):
            vault.erase("tenant/alice")
    again = Vault(vault._engine, keys, vault._clock)
    assert again.get(bob) == b"a blue boat"
    if dies_at == "rewrap":  # nothing was committed: the erasure has to be asked for again
        assert again.get(alice) == PROMPT
        assert again.finish_erasure() == 0
        again.erase("tenant/alice")
    else:
        assert again.finish_erasure() == 1
    with pytest.raises(ErasedError):
        again.get(alice)
    assert again.get(bob) == b"a blue boat"


def test_finishing_touches_no_key_of_another_vault(vault: Vault, keys: Path) -> None:
    vault.put("tenant/alice", "prompt", PROMPT)
    stranger = keys / "epoch-3f2d9a52-9d4d-4f43-8b52-5a5b5f5e5d5c.key"
    stranger.write_bytes(b"k" * 32)
    vault.erase("tenant/alice")
    assert vault.finish_erasure() == 0
    assert stranger.read_bytes() == b"k" * 32


def test_many_survivors_are_rewrapped(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.vault.REWRAP_BATCH", 7)
    references = {n: vault.put(f"tenant/{n}", "prompt", b"%d" % n) for n in range(20)}
    vault.erase("tenant/3")
    for number, reference in references.items():
        if number != 3:
            assert vault.get(reference) == b"%d" % number


def test_a_missing_epoch_key_is_a_typed_error(vault: Vault, keys: Path, clock: Callable[[], datetime]) -> None:
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    (key,) = keys.glob("*.key")
    key.unlink()
    with pytest.raises(KeyFileError, match="cannot read"):
        Vault(vault._engine, keys, clock).get(reference)
    with pytest.raises(KeyFileError, match="restore it from its backup"):
        vault.finish_erasure()


def test_an_item_moved_to_another_row_or_subject_does_not_open(vault: Vault, owner: Engine) -> None:
    alice = vault.put("tenant/alice", "prompt", PROMPT)
    bob = vault.put("tenant/bob", "prompt", b"a blue boat")
    as_superuser(
        owner,
        "UPDATE vault_items SET ciphertext = (SELECT ciphertext FROM vault_items WHERE id = CAST(:a AS uuid))"
        " WHERE id = CAST(:b AS uuid)",
        a=alice.id,
        b=bob.id,
    )
    with pytest.raises(VaultCorruptError):
        vault.get(bob)
    as_superuser(
        owner,
        "UPDATE vault_items SET subject_id = CAST(:s AS uuid) WHERE id = CAST(:a AS uuid)",
        s=bob.subject_id,
        a=alice.id,
    )
    with pytest.raises(VaultCorruptError):
        vault.get(alice)


def test_a_reference_with_another_commitment_is_refused(vault: Vault) -> None:
    reference = vault.put("tenant/alice", "prompt", PROMPT)
    with pytest.raises(VaultCorruptError, match="not the data that was committed to"):
        vault.get(VaultReference(reference.id, "00" * 32, reference.subject_id))


def test_a_batch_check_names_what_get_would_refuse(vault: Vault, owner: Engine) -> None:
    good, gone, spoilt = (vault.put("tenant/alice", "prompt", b"%d" % n) for n in range(3))
    as_superuser(owner, "DELETE FROM vault_items WHERE id = CAST(:id AS uuid)", id=gone.id)
    as_superuser(
        owner, "UPDATE vault_items SET ciphertext = ciphertext || 'x' WHERE id = CAST(:id AS uuid)", id=spoilt.id
    )
    failures = vault.check([good, gone, spoilt])
    assert {reference: type(error) for reference, error in failures.items()} == {
        gone: ErasedError,
        spoilt: VaultCorruptError,
    }


@pytest.mark.parametrize("subject", ["", "x" * 1025])
def test_subjects_have_a_sensible_length(vault: Vault, subject: str) -> None:
    with pytest.raises(VaultError, match="1 to 1024"):
        vault.put(subject, "prompt", PROMPT)


def test_processes_that_start_a_vault_at_once_agree_on_one_key(service_url: str, vault: Vault, keys: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    subjects = ["tenant/alice", "tenant/alice", "tenant/bob"]
    processes = [
        context.Process(target=appending.put_once, args=(service_url, keys, subject, start, results))
        for subject in subjects
    ]
    for process in processes:
        process.start()
    start.set()
    references = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join()
    assert sorted(vault.get(reference) for reference in references) == sorted(s.encode() for s in subjects)
    assert len({reference.subject_id for reference in references}) == 2
    assert len(list(keys.iterdir())) == 1


def test_writers_and_erasures_at_once_lose_nothing(vault: Vault) -> None:
    kept: list[VaultReference] = []
    errors: list[Exception] = []

    def write(name: str) -> None:
        try:
            kept.extend(vault.put(name, "prompt", name.encode()) for _ in range(15))
        except Exception as error:  # noqa: BLE001 -- handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=write, args=(f"tenant/{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for number in range(5):
        vault.put(f"victim/{number}", "prompt", PROMPT)
        vault.erase(f"victim/{number}")
    for thread in threads:
        thread.join()
    assert not errors
    assert len(kept) == 45
    assert vault.check(kept) == {}


def test_the_database_away_is_a_typed_error(tmp_path: Path, clock: Callable[[], datetime]) -> None:
    engine = create_engine("postgresql+psycopg://nobody@/none?host=/nowhere")
    with pytest.raises(AuditUnavailableError):
        Vault(engine, tmp_path, clock).put("tenant/alice", "prompt", PROMPT)
    engine.dispose()


def test_writing_waits_for_an_erasure_under_way(vault: Vault, owner: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.vault.LOCK_TIMEOUT_SECONDS", 1)
    with owner.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        with pytest.raises(AuditUnavailableError, match="holds the lock"):
            vault.put("tenant/alice", "prompt", PROMPT)
