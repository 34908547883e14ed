"""Erasure, retention and legal holds, with their events."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from audit import AuditLog, Eraser, LedgerKey, LegalHolds, ObjectStore, RetentionRule, Vault
from audit import receipt as receipts
from audit.errors import (
    ErasedError,
    LegalHoldError,
    RetentionRuleError,
    UnknownHoldError,
    UnknownSubjectError,
    VaultError,
)
from audit.events import EventId
from audit.fsck import fsck
from tests.audit.samples import IMAGE, released

PROMPT = b"a red apple on a tree"
START = datetime(2026, 1, 15, tzinfo=UTC)


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class House:
    """Log, vault, objects, holds and eraser over one database and one clock."""

    def __init__(self, service: Engine, key: LedgerKey, folder: Path) -> None:
        self.time = Time()
        self.folder = folder
        self.log = AuditLog(service, key, self.time)
        self.vault = Vault(service, folder / "keys", self.time)
        self.objects = ObjectStore(str(folder / "objects"), self.vault)
        self.holds = LegalHolds(service, self.vault, self.log, self.time)
        self.eraser = Eraser(service, self.log, self.vault, self.objects, self.holds)
        self.service = service

    def release(self, subject: str, record: str) -> EventId:
        """A release with prompt and pixels of `subject`."""
        prompt = self.vault.put(subject, "prompt", PROMPT)
        image = self.objects.put(IMAGE, subject)
        return self.log.record(released(record_id=record, prompt=prompt, objects=(image,)))[0]

    def prompt_key(self, event_id: EventId) -> str:
        """Id of the key that an event's prompt is under."""
        prompt: Any = self.log.event(event_id).fields()["prompt"]
        return str(prompt["subject_id"])

    def fields(self, kind: str) -> list[dict[str, Any]]:
        """Fields of all events of a kind, newest first."""
        return [event.fields() for event in self.log.recent() if event.kind == kind]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.log.recent()]

    def files(self) -> list[Path]:
        return [path for path in (self.folder / "objects").rglob("*") if path.is_file()]

    def is_whole(self) -> bool:
        return fsck(self.service, self.log, self.vault, self.objects).ok


@pytest.fixture
def house(service: Engine, ledger_key: LedgerKey, tmp_path: Path) -> House:
    return House(service, ledger_key, tmp_path)


def test_an_erasure_takes_prompts_and_pixels_and_leaves_every_proof(house: House) -> None:
    alice, bob = house.release("tenant/alice", "record-1"), house.release("tenant/bob", "record-2")
    before = receipts.build(house.log, alice)
    house.time.now += timedelta(days=40)  # alice has keys of two months
    house.vault.put("tenant/alice", "prompt", b"another")

    erasure, completed = house.eraser.erase("tenant/alice", ground="asked by the subject")

    assert sum(erasure.items.values()) == 2
    assert len(erasure.subject_ids) == 3
    assert (completed.epoch_keys, completed.objects) == ((erasure.epoch_key,), 1)
    (fields,) = house.fields("erased")
    assert fields["subject_ids"] == list(erasure.subject_ids)
    assert (fields["ground"], fields["items"]) == ("asked by the subject", 2)
    assert house.kinds()[:2] == ["key_destroyed", "erased"]
    with pytest.raises(ErasedError):
        house.vault.key_of(house.prompt_key(alice))
    assert len(house.files()) == 1
    assert receipts.check(receipts.build(house.log, bob), house.log.public_key)
    assert receipts.check_against_log(before, house.log).record_id == "record-1"
    assert receipts.check(receipts.build(house.log, alice), house.log.public_key)
    assert house.is_whole()


@pytest.mark.parametrize(("owner_of_act", "act"), [(Vault, "finish_erasure"), (ObjectStore, "erase")])
def test_an_erasure_that_died_after_its_commit_is_completed_at_the_next_start(
    house: House, monkeypatch: pytest.MonkeyPatch, owner_of_act: type, act: str
) -> None:
    house.release("tenant/alice", "record-1")
    (old_key,) = (house.folder / "keys").iterdir()

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(owner_of_act, act, die)
        with pytest.raises(KeyboardInterrupt):
            house.eraser.erase("tenant/alice", ground="asked")
    assert old_key.exists() == (owner_of_act is Vault)
    assert house.files() != []
    assert "key_destroyed" not in house.kinds()

    assert house.eraser.complete().objects == 1

    assert not old_key.exists()
    assert house.files() == []
    assert house.kinds().count("erased") == 1
    assert house.kinds()[0] == "key_destroyed"
    assert house.eraser.complete().epoch_keys == ()
    house.log.checkpoint()
    assert house.is_whole()


def test_an_erasure_whose_event_cannot_be_written_erases_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    event_id = house.release("tenant/alice", "record-1")

    def refuse(*arguments: object) -> None:
        raise RuntimeError("no event")

    with monkeypatch.context() as patch:
        patch.setattr(AuditLog, "append", refuse)
        with pytest.raises(RuntimeError):
            house.eraser.erase("tenant/alice", ground="asked")
    assert house.vault.key_of(house.prompt_key(event_id))
    assert house.is_whole()


def test_many_ids_are_recorded_in_several_events(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audit.erasure.MAX_IDS_IN_EVENT", 2)
    for number in range(5):
        house.vault.put("tenant/alice", f"kind-{number}", b"x")
    erasure, _ = house.eraser.erase("tenant/alice", ground="asked")
    recorded = house.fields("erased")
    assert len(recorded) == 3
    assert sorted(id for fields in recorded for id in fields["subject_ids"]) == sorted(erasure.subject_ids)
    assert sum(fields["items"] for fields in recorded) == 5


def test_retention_takes_what_its_rule_no_longer_keeps_and_nothing_else(house: House) -> None:
    house.release("acme/alice", "record-1")
    house.release("other/bob", "record-2")
    rules = [RetentionRule("prompt", 30), RetentionRule("image", 90), RetentionRule("prompt", 10, "acme")]

    def expired_on(moment: datetime) -> list[tuple[str, str]]:
        house.time.now = moment
        report = house.eraser.apply(rules, dry_run=True)
        return sorted((candidate.subject, candidate.id) for candidate in report.expired)

    assert expired_on(datetime(2026, 2, 10, tzinfo=UTC)) == []
    assert [subject for subject, _ in expired_on(datetime(2026, 2, 11, tzinfo=UTC))] == ["acme/alice"]
    assert [subject for subject, _ in expired_on(datetime(2026, 3, 3, tzinfo=UTC))] == ["acme/alice", "other/bob"]
    assert len(expired_on(datetime(2026, 5, 2, tzinfo=UTC))) == 4
    assert "erased" not in house.kinds(), "a dry run erases nothing"

    house.time.now = datetime(2026, 3, 3, tzinfo=UTC)
    report = house.eraser.apply(rules)
    assert report.erasure is not None
    assert (len(report.erasure.items), report.objects, report.withheld) == (2, 0, 0)
    assert house.kinds()[:3] == ["key_destroyed", "erased", "retention_run"]
    assert house.fields("retention_run")[0]["rules"][0] == {"kind": "prompt", "days": 30, "tenant": None}
    assert len(house.files()) == 2, "the pixels have a longer time"
    assert house.is_whole()

    again = house.eraser.apply(rules)
    assert (again.erasure, again.expired) == (None, ())
    assert house.kinds()[0] == "retention_run", "a run without effect is recorded too"


def test_a_hold_on_a_subject_blocks_erasure_and_retention_until_it_is_released(house: House) -> None:
    house.release("acme/alice", "record-1")
    house.release("acme/bob", "record-2")
    hold = house.holds.place(subject="acme/alice", reason="matter 7")
    assert house.holds.subject_of(hold) == "acme/alice"
    with pytest.raises(LegalHoldError, match=hold.id):
        house.eraser.erase("acme/alice", ground="asked")
    house.eraser.erase("acme/bob", ground="asked")  # under a new epoch key the hold is found all the same
    house.time.now += timedelta(days=400)
    report = house.eraser.apply([RetentionRule("prompt", 30), RetentionRule("image", 30)])
    assert (report.erasure, report.withheld) == (None, 2)

    house.holds.release(hold.id, reason="settled")
    assert house.holds.list() == []
    assert [one.id for one in house.holds.list(released=True)] == [hold.id]
    erasure, _ = house.eraser.erase("acme/alice", ground="asked")
    assert len(erasure.items) == 3  # prompt, image, and the hold's own copy of the name
    assert house.holds.subject_of(hold) is None
    assert [kind for kind in house.kinds() if kind.startswith("hold")] == ["hold_released", "hold_placed"]
    assert house.is_whole()


def test_a_hold_on_a_tenant_covers_all_its_subjects(house: House) -> None:
    house.release("acme/alice", "record-1")
    house.release("other/bob", "record-2")
    house.holds.place(tenant="acme", reason="matter 7")
    with pytest.raises(LegalHoldError):
        house.eraser.erase("acme/alice", ground="asked")
    house.eraser.erase("other/bob", ground="asked")


def test_a_hold_on_a_record_covers_the_data_in_its_events(house: House) -> None:
    house.release("acme/alice", "record-1")
    house.release("acme/bob", "record-2")
    house.time.now += timedelta(days=40)
    house.vault.put("acme/alice", "prompt", b"of another month and record")
    hold = house.holds.place(records=["record-1"], reason="matter 7")
    with pytest.raises(LegalHoldError):
        house.eraser.erase("acme/alice", ground="asked")
    house.time.now += timedelta(days=400)
    report = house.eraser.apply([RetentionRule("prompt", 30), RetentionRule("image", 30)])
    assert report.withheld == 2
    assert sorted(candidate.subject for candidate in report.expired) == ["acme/alice", "acme/bob", "acme/bob"]
    assert house.holds.list()[0] == hold


def test_a_hold_covers_one_thing_and_says_why(house: House) -> None:
    wrong: dict[str, Any]
    for wrong in ({}, {"subject": "a/b", "tenant": "a"}, {"tenant": "a", "records": ["r"]}):
        with pytest.raises(VaultError, match="one of the three"):
            house.holds.place(reason="matter 7", **wrong)
    with pytest.raises(VaultError, match="matter"):
        house.holds.place(tenant="acme", reason="  ")
    assert house.holds.list(released=True) == []
    assert house.kinds() == []


def test_a_hold_is_released_once(house: House) -> None:
    hold = house.holds.place(tenant="acme", reason="matter 7")
    house.holds.release(hold.id, reason="settled")
    for unknown in (hold.id, "3f2d9a52-9d4d-4f43-8b52-5a5b5f5e5d5c", "no uuid"):
        with pytest.raises(UnknownHoldError):
            house.holds.release(unknown, reason="settled")
    assert house.kinds().count("hold_released") == 1


@pytest.mark.parametrize(
    "rules",
    [
        [RetentionRule("prompt", 1), RetentionRule("prompt", 2)],
        [RetentionRule("hold", 1)],
        [RetentionRule("prompt", -1)],
        [RetentionRule("", 1)],
    ],
)
def test_rules_that_contradict_or_reach_too_far_are_refused(house: House, rules: list[RetentionRule]) -> None:
    with pytest.raises(RetentionRuleError):
        house.eraser.apply(rules)
    assert house.kinds() == []


def test_whoever_is_unknown_is_a_typed_error_and_no_event(house: House) -> None:
    with pytest.raises(UnknownSubjectError):
        house.eraser.erase("tenant/nobody", ground="asked")
    assert house.kinds() == []


def test_the_service_can_neither_remove_holds_nor_change_what_they_cover(house: House, service: Engine) -> None:
    house.holds.place(tenant="acme", reason="matter 7")
    for statement in ("DELETE FROM legal_holds", "UPDATE legal_holds SET tenant = 'x'", "TRUNCATE legal_holds"):
        with pytest.raises(Exception, match="permission denied"), service.begin() as connection:
            connection.execute(text(statement))


def test_events_of_holds_and_erasures_name_no_person(house: House, owner: Engine) -> None:
    house.release("acme/alice", "record-1")
    hold = house.holds.place(subject="acme/alice", reason="matter 7")
    house.holds.release(hold.id, reason="settled")
    house.eraser.erase("acme/alice", ground="asked")
    with owner.connect() as connection:
        bodies = connection.execute(text("SELECT body, private FROM audit_events")).all()
    assert not any(b"alice" in bytes(part) for row in bodies for part in row)
    assert all(json.loads(bytes(part)) for row in bodies for part in row)
