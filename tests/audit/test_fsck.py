from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from audit import AuditLog, Eraser, LegalHolds, ObjectReference, ObjectStore, Vault, VaultReference
from audit.fsck import FsckReport, fsck
from audit.stamping import Stamper, StampTrust
from tests.audit.samples import IMAGE, as_superuser, failed, released
from tests.timestamp_authority import TimestampAuthority

EVENTS = 600
RELEASED_AT = 300  # index of the release


class Case:
    """A healthy log with a release, a vault and objects, to be corrupted in one way."""

    def __init__(self, log: AuditLog, owner: Engine, service: Engine, vault: Vault, objects: ObjectStore) -> None:
        self.log, self.owner, self.service, self.vault, self.objects = log, owner, service, vault, objects
        self.prompt: VaultReference = vault.put("tenant/alice", "prompt", b"a red apple")
        self.image: ObjectReference = objects.put(IMAGE, "tenant/alice")
        log.append_all([failed(number) for number in range(RELEASED_AT)])
        self.released, _ = log.record(released(prompt=self.prompt, objects=(self.image,)))
        log.append_all([failed(number) for number in range(EVENTS - RELEASED_AT - 11)])
        log.checkpoint()
        for number in range(10):
            log.record(failed(number))

    def check(self) -> FsckReport:
        return fsck(self.service, self.log, self.vault, self.objects)

    def corrupt(self, *statements: str, **parameters: object) -> list[str]:
        assert self.check().ok
        changed = as_superuser(self.owner, *statements, **parameters)
        assert changed > 0, "the corruption has to take place"
        report = self.check()
        assert not report.ok
        return report.differences

    def id_at(self, index: int) -> str:
        from audit.ledger.leaf import Leaf

        return Leaf.parse(self.log.leaf(index)).id


@pytest.fixture
def case(log: AuditLog, owner: Engine, service: Engine, vault: Vault, objects: ObjectStore) -> Case:
    return Case(log, owner, service, vault, objects)


def test_a_healthy_log_has_no_difference(case: Case) -> None:
    seen: list[tuple[int, int]] = []
    report = fsck(case.service, case.log, case.vault, case.objects, lambda done, total: seen.append((done, total)))
    assert report == FsckReport(True, EVENTS, 0, [], [])
    assert seen[-1] == (EVENTS, EVENTS)


def test_events_that_wait_are_no_fault(case: Case) -> None:
    case.log.append(failed())
    report = case.check()
    assert (report.ok, report.events, report.waiting) == (True, EVENTS, 1)


def test_an_empty_log_is_healthy(log: AuditLog, service: Engine) -> None:
    assert fsck(service, log).ok


def test_a_changed_body_is_named(case: Case) -> None:
    event = case.id_at(7)
    differences = case.corrupt(
        "UPDATE audit_events SET body = replace(convert_from(body, 'UTF8'), 'record-7', 'record-8')::bytea"
        " WHERE id = CAST(:id AS uuid)",
        id=event,
    )
    assert differences == [f"event {event} (leaf 7): its body or salt is not what it commits to"]


def test_a_changed_private_part_is_named(case: Case) -> None:
    event = case.id_at(7)
    differences = case.corrupt(
        "UPDATE audit_events SET private = replace(convert_from(private, 'UTF8'), 'number 7', 'number 8')::bytea"
        " WHERE id = CAST(:id AS uuid)",
        id=event,
    )
    assert differences == [f"event {event} (leaf 7): its private part is not what its body commits to"]


@pytest.mark.parametrize(
    "change", ["kind = 'released'", "record_id = 'other'", "record_id = NULL", "time = time + interval '1 microsecond'"]
)
def test_a_row_that_says_something_else_than_its_body_or_leaf_is_named(case: Case, change: str) -> None:
    event = case.id_at(7)
    differences = case.corrupt(f"UPDATE audit_events SET {change} WHERE id = CAST(:id AS uuid)", id=event)
    assert any(f"event {event} (leaf 7)" in difference for difference in differences)


def test_a_body_changed_with_its_commitment_is_named_by_its_leaf(case: Case) -> None:
    event = case.id_at(7)
    differences = case.corrupt(
        "UPDATE audit_events SET body = body || ' ', commitment = sha256(salt || body || ' ')"
        " WHERE id = CAST(:id AS uuid)",
        id=event,
    )
    assert f"event {event} (leaf 7): its id, time or commitment differs from its leaf" in differences


def test_a_deleted_event_is_named(case: Case) -> None:
    event = case.id_at(7)
    differences = case.corrupt("DELETE FROM audit_events WHERE id = CAST(:id AS uuid)", id=event)
    assert differences == [f"event {event} (leaf 7) is missing"]


def test_a_deleted_leaf_is_named(case: Case) -> None:
    event = case.id_at(7)
    differences = case.corrupt("DELETE FROM ledger_leaves WHERE index = 7")
    assert "leaf 7 is missing" in differences
    assert f"event {event} is neither in the ledger nor waiting for it" in differences


def test_the_last_leaves_deleted_are_named(case: Case) -> None:
    differences = case.corrupt("DELETE FROM ledger_leaves WHERE index >= 598")
    assert "checkpoint 600 states more leaves than the ledger has (598)" in differences


def test_an_event_and_its_leaf_deleted_are_named(case: Case) -> None:
    event = case.id_at(EVENTS - 1)
    differences = case.corrupt(
        "DELETE FROM audit_events WHERE id = CAST(:id AS uuid)",
        "DELETE FROM ledger_leaves WHERE event_id = CAST(:id AS uuid)",
        id=event,
    )
    assert differences == ["checkpoint 600 states more leaves than the ledger has (599)"]


def test_a_changed_order_is_named(case: Case) -> None:
    differences = case.corrupt(
        "UPDATE ledger_leaves SET index = -1 WHERE index = 7".replace("-1", "1000000"),
        "UPDATE ledger_leaves SET index = 7 WHERE index = 8",
        "UPDATE ledger_leaves SET index = 8 WHERE index = 1000000",
    )
    assert any("tile/0/000: hash 7 differs from leaf 7" in difference for difference in differences)
    assert any("tile/0/000: hash 8 differs from leaf 8" in difference for difference in differences)
    assert any("leaves give another root" in difference for difference in differences)


def test_a_changed_order_at_the_right_edge_is_named_by_its_checkpoint(case: Case) -> None:
    differences = case.corrupt(
        "UPDATE ledger_leaves SET index = 1000000 WHERE index = 595",
        "UPDATE ledger_leaves SET index = 595 WHERE index = 596",
        "UPDATE ledger_leaves SET index = 596 WHERE index = 1000000",
    )
    assert differences == [
        "checkpoint 596: the leaves give another root; the first change is at one of leaves 595 to 595, "
        "later checkpoints are not compared"
    ]


def test_a_changed_leaf_is_named(case: Case) -> None:
    differences = case.corrupt("UPDATE ledger_leaves SET leaf = leaf || ' ' WHERE index = 7")
    assert any("(leaf 7): its id, time or commitment differs from its leaf" in d for d in differences)
    assert any("hash 7 differs from leaf 7" in d for d in differences)


def test_a_changed_tile_is_named(case: Case) -> None:
    differences = case.corrupt(
        "UPDATE ledger_tiles SET hashes = set_byte(hashes, 320, get_byte(hashes, 320) # 1) WHERE index = 1"
    )
    assert "tile/0/001: hash 10 differs from leaf 266" in differences


def test_a_changed_root_of_a_tile_is_named(case: Case) -> None:
    differences = case.corrupt("UPDATE ledger_tiles SET root = sha256(root) WHERE index = 0")
    assert "tile/0/000: its root differs from the leaves'" in differences


def test_a_missing_tile_and_one_too_many_are_named(case: Case) -> None:
    assert "tile/0/001 is missing" in case.corrupt("DELETE FROM ledger_tiles WHERE index = 1")


def test_a_tile_beyond_the_ledger_is_named(case: Case) -> None:
    assert case.corrupt("INSERT INTO ledger_tiles SELECT level, 2, root, hashes FROM ledger_tiles LIMIT 1") == [
        "tile/0/002 lies beyond the ledger"
    ]


def test_a_changed_checkpoint_is_named(case: Case) -> None:
    assert case.corrupt("UPDATE ledger_checkpoints SET root = sha256(root) WHERE size = 600") == [
        "checkpoint 600: its row differs from its signed note"
    ]


def test_a_checkpoint_with_a_changed_note_is_named(case: Case) -> None:
    differences = case.corrupt("UPDATE ledger_checkpoints SET note = replace(note, '600', '601') WHERE size = 600")
    assert len(differences) == 1
    assert differences[0].startswith("checkpoint 600: the signature")


def test_all_checkpoints_deleted_are_named(case: Case) -> None:
    assert "leaves 0 to 599 are covered by no checkpoint" in case.corrupt("DELETE FROM ledger_checkpoints")


def test_an_event_put_in_behind_the_ledgers_back_is_named(case: Case) -> None:
    differences = case.corrupt(
        "INSERT INTO audit_events (id, record_id, kind, time, salt, body, private_salt, private, commitment) "
        "SELECT gen_random_uuid(), record_id, kind, time, salt, body, private_salt, private, commitment "
        "FROM audit_events LIMIT 1"
    )
    assert len(differences) == 1
    assert "neither in the ledger nor waiting" in differences[0]


def test_a_queue_entry_without_event_is_named(case: Case) -> None:
    assert case.corrupt("INSERT INTO ledger_queue VALUES (999999)") == ["queue entry 999999 has no event"]


def test_a_changed_object_is_named(case: Case, tmp_path: Path) -> None:
    path = tmp_path / "objects" / case.image.subject_id / case.image.sha256[:2] / case.image.sha256
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    (difference,) = case.check().differences
    assert difference.startswith(f"object {case.image.sha256} (event {case.released}): ")


def test_a_missing_object_is_named(case: Case) -> None:
    case.objects.erase(case.image.subject_id)
    (difference,) = case.check().differences
    assert f"object {case.image.sha256}" in difference


def test_a_changed_vault_item_is_named(case: Case) -> None:
    differences = case.corrupt("UPDATE vault_items SET ciphertext = ciphertext || 'x'")
    assert len(differences) == 1
    assert differences[0].startswith(f"vault item {case.prompt.id} (event {case.released}): ")


def test_a_vault_item_that_is_gone_without_an_erasure_is_named(case: Case) -> None:
    assert case.corrupt("DELETE FROM vault_items") == [
        f"vault item {case.prompt.id} (event {case.released}) is missing, and no erasure of its subject is recorded"
    ]


def test_a_missing_epoch_key_is_named(case: Case, tmp_path: Path) -> None:
    for path in (tmp_path / "keys").iterdir():
        path.unlink()
    report = fsck(case.service, case.log, Vault(case.service, tmp_path / "keys", case.vault._clock))
    assert any("epoch" in difference for difference in report.differences)


def test_an_erasure_without_its_event_is_named(case: Case) -> None:
    case.vault.erase("tenant/alice")
    assert any("no erasure of its subject is recorded" in difference for difference in case.check().differences)


def test_an_erasure_that_is_recorded_is_no_fault(case: Case, clock: Callable[[], datetime]) -> None:
    holds = LegalHolds(case.service, case.vault, case.log, clock)
    Eraser(case.service, case.log, case.vault, case.objects, holds).erase("tenant/alice", ground="asked")
    assert case.check().ok


def test_time_stamps_are_verified_where_roots_are_given(case: Case, timestamp_authority: TimestampAuthority) -> None:
    trust = StampTrust.load(timestamp_authority.root)
    Stamper(case.service, timestamp_authority.url, trust).stamp(case.log.checkpoint())
    assert fsck(case.service, case.log, stamps=trust).ok
    without = fsck(case.service, case.log)
    assert without.ok
    assert "time stamps: no root certificates of authorities were given" in without.not_checked
    as_superuser(case.owner, "UPDATE ledger_stamps SET response = set_byte(response, 900, get_byte(response, 900) # 1)")
    (difference,) = fsck(case.service, case.log, stamps=trust).differences
    assert difference.startswith(f"time stamp on checkpoint {EVENTS} by ")
    as_superuser(case.owner, "UPDATE ledger_stamps SET size = 999")
    (difference,) = fsck(case.service, case.log, stamps=trust).differences
    assert "there is no such checkpoint" in difference


def test_without_vault_and_objects_the_report_says_what_was_not_checked(case: Case) -> None:
    report = fsck(case.service, case.log)
    assert report.ok
    assert report.not_checked == ["vault references: no access was given", "objects: no access was given"]


def test_a_flood_of_differences_is_counted_not_listed(case: Case) -> None:
    differences = case.corrupt("UPDATE audit_events SET salt = sha256(salt)")
    assert len(differences) == 201
    assert differences[-1].startswith("... and 4")
