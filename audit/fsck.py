"""Checks the whole log: rebuilds commitments, leaves, tree and checkpoints from the events and compares.

What it cannot see: events and leaves cut off at the end together with their checkpoints, by someone who may
change the tables. Receipts and stamped checkpoints that have left the house show that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, Engine, Row, func, select, text

from audit import receipt
from audit.database import database_errors
from audit.errors import (
    AuditError,
    CheckpointError,
    ErasedError,
    KeyFileError,
    ObjectError,
)
from audit.events import Erased, EventId, Released, commitment
from audit.ledger import checkpoint
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import leaf_hash
from audit.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, FullTile, RightEdge, split_hashes, tile_path
from audit.objects import ObjectStore
from audit.reader import AuditReader
from audit.records import ObjectReference, VaultReference
from audit.tables import audit_events, ledger_checkpoints, ledger_leaves, ledger_queue, ledger_tiles
from audit.vault import Vault

_Row: TypeAlias = "Row[*tuple[Any, ...]]"

BATCH_EVENTS = 1000
MAX_DIFFERENCES = 200


@dataclass(frozen=True)
class FsckReport:
    """What the check found.

    Args:
        ok: no difference at all.
        events: events in the ledger that were checked.
        waiting: events that are durable and not sequenced yet; no fault.
        differences: each names the thing that differs; in the order found, the first 200.
        not_checked: what could not be looked at, and why.
    """

    ok: bool
    events: int
    waiting: int
    differences: list[str]
    not_checked: list[str]


@dataclass
class _Findings:
    differences: list[str] = field(default_factory=list)
    more: int = 0

    def add(self, difference: str) -> None:
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(difference)
        else:
            self.more += 1


def fsck(
    engine: Engine,
    log: AuditReader,
    vault: Vault | None = None,
    objects: ObjectStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FsckReport:
    """Checks everything in the log against everything else.

    Reads one snapshot of the database, so a running service does not disturb it.

    Args:
        engine: of a role with SELECT.
        log: on the same database, with the public key to check signatures with.
        vault: to open what events refer to; without it vault references are not checked.
        objects: likewise for objects.
        progress: called with (events done, events in all).

    Raises:
        AuditUnavailableError: the database is away.
    """
    findings = _Findings()
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    with database_errors("check the log"), snapshot.begin() as connection:
        total = connection.scalar(select(func.count()).select_from(ledger_leaves)) or 0
        tree = _Tree(connection, log, findings)
        contents = _Contents(_erased_subjects(connection), vault, objects, findings)
        done, releases = 0, list[EventId]()
        for rows in _leaves(connection):
            events = _events_of(connection, rows)
            for row in rows:
                tree.add(row.place, bytes(row.leaf))
                event = events.get(row.event_id)
                if event is None:
                    findings.add(f"event {row.event_id} (leaf {row.place}) is missing")
                    continue
                _check_event(event, row.place, bytes(row.leaf), contents, findings)
            contents.check_batch()
            releases.extend(_one_release(rows, events))
            done += len(rows)
            if progress is not None:
                progress(done, total)
        tree.finish()
        if tree.is_sound:
            _check_receipts(log, releases, findings)
        waiting = _check_queue(connection, findings)
    if findings.more:
        findings.differences.append(f"... and {findings.more} more differences")
    skipped = [name for name, store in (("vault references", vault), ("objects", objects)) if store is None]
    not_checked = [f"{name}: no access was given" for name in skipped]
    return FsckReport(not findings.differences, done, waiting, findings.differences, not_checked)


class _Tree:
    """Rebuilds the tree leaf by leaf beside the stored tiles and checkpoints."""

    def __init__(self, connection: Connection, log: AuditReader, findings: _Findings) -> None:
        self._connection = connection
        self._log = log
        self._findings = findings
        self._edge = RightEdge()
        self._expected_index = 0
        self._is_broken = False
        self._last_good_size = 0
        self._last_seen_size = 0
        self.is_sound = True
        self._checkpoints = _checkpoints(connection)
        self._next: _Row | None = next(self._checkpoints, None)

    def add(self, index: int, leaf: bytes) -> None:
        if index != self._expected_index:
            missing = f"{self._expected_index}" + ("" if index == self._expected_index + 1 else f" to {index - 1}")
            self._report(f"leaf {missing} is missing")
            self._is_broken = True  # nothing after a gap can be compared
        self._expected_index = index + 1
        if self._is_broken:
            return
        for tile in self._edge.append(leaf_hash(leaf)):
            self._compare_tile(tile)
        while self._next is not None and self._next.size <= self._edge.size:
            self._compare_checkpoint(self._next)
            self._next = next(self._checkpoints, None)

    def finish(self) -> None:
        while self._next is not None:
            if self._is_broken:
                self._check_note(self._next)
            else:
                self._report(f"checkpoint {self._next.size} states more leaves than the ledger has ({self._edge.size})")
            self._next = next(self._checkpoints, None)
        if self._is_broken:
            return
        if self._edge.size > self._last_seen_size:
            self._report(f"leaves {self._last_seen_size} to {self._edge.size - 1} are covered by no checkpoint")
        for level, index in self._connection.execute(
            select(ledger_tiles.c.level, ledger_tiles.c.index).where(
                ledger_tiles.c.index >= text(f"{self._edge.size}::bigint >> ({TILE_HEIGHT} * (level + 1))")
            )
        ):
            self._report(f"{tile_path(level, index, TILE_WIDTH)} lies beyond the ledger")

    def _report(self, difference: str) -> None:
        self._findings.add(difference)
        self.is_sound = False

    def _compare_tile(self, tile: FullTile) -> None:
        name = tile_path(tile.level, tile.index, TILE_WIDTH)
        row = self._connection.execute(
            select(ledger_tiles.c.hashes, ledger_tiles.c.root).where(
                ledger_tiles.c.level == tile.level, ledger_tiles.c.index == tile.index
            )
        ).one_or_none()
        if row is None:
            self._report(f"{name} is missing")
            return
        if bytes(row.root) != tile.root:
            self._report(f"{name}: its root differs from the leaves'")
        stored = split_hashes(bytes(row.hashes))
        for offset, (expected, found) in enumerate(zip(tile.hashes, stored, strict=False)):
            if expected != found:
                below = "leaf" if tile.level == 0 else f"root of the tile of level {tile.level - 1}, index"
                self._report(f"{name}: hash {offset} differs from {below} {tile.index * TILE_WIDTH + offset}")

    def _compare_checkpoint(self, row: _Row) -> None:
        if not self._check_note(row):
            return
        if bytes(row.root) == self._edge.root() and row.size == self._edge.size:
            self._last_good_size = row.size
            return
        self._report(
            f"checkpoint {row.size}: the leaves give another root; the first change is at one of leaves "
            f"{self._last_good_size} to {row.size - 1}, later checkpoints are not compared"
        )
        self._is_broken = True

    def _check_note(self, row: _Row) -> bool:
        self._last_seen_size = row.size
        try:
            signed = checkpoint.verify(row.note, self._log.public_key)
        except CheckpointError as error:
            self._report(f"checkpoint {row.size}: {error}")
            return False
        if (signed.size, signed.root) != (row.size, bytes(row.root)):
            self._report(f"checkpoint {row.size}: its row differs from its signed note")
            return False
        return True


class _Contents:
    """Opens what the events refer to, a batch at a time."""

    def __init__(self, erased: set[str], vault: Vault | None, objects: ObjectStore | None, findings: _Findings) -> None:
        self._erased = erased
        self._vault = vault
        self._objects = objects
        self._findings = findings
        self._vault_references: dict[VaultReference, str] = {}
        self._object_references: dict[ObjectReference, str] = {}

    def collect(self, event_id: str, value: Any) -> None:
        """Finds references in a part of an event."""
        match value:
            case {"id": str(id), "commitment": str(hex), "subject_id": str(subject)} if len(value) == 3:
                self._vault_references[VaultReference(id, hex, subject)] = event_id
            case {"sha256": str(digest), "subject_id": str(subject), "size": int(size), "role": str(role)}:
                self._object_references[ObjectReference(digest, subject, size, role)] = event_id
            case dict():
                for entry in value.values():
                    self.collect(event_id, entry)
            case list():
                for entry in value:
                    self.collect(event_id, entry)

    def check_batch(self) -> None:
        if self._vault is not None and self._vault_references:
            try:
                failures = self._vault.check(list(self._vault_references))
            except KeyFileError as error:
                self._findings.add(f"vault: {error}")
                self._vault = None
            else:
                for reference, failure in failures.items():
                    self._judge(
                        f"vault item {reference.id} (event {self._vault_references[reference]})",
                        reference.subject_id,
                        failure,
                    )
        if self._objects is not None:
            for stored, event_id in self._object_references.items():
                try:
                    self._objects.get(stored)
                except (ObjectError, ErasedError, KeyFileError) as error:
                    self._judge(f"object {stored.sha256} (event {event_id})", stored.subject_id, error)
        self._vault_references.clear()
        self._object_references.clear()

    def _judge(self, name: str, subject_id: str, error: AuditError) -> None:
        if isinstance(error, ErasedError):
            if subject_id in self._erased:
                return
            self._findings.add(f"{name} is missing, and no erasure of its subject is recorded")
        else:
            self._findings.add(f"{name}: {error}")


def _check_event(event: _Row, index: int, leaf: bytes, contents: _Contents, findings: _Findings) -> None:
    name = f"event {event.id} (leaf {index})"
    body, private = bytes(event.body), bytes(event.private)
    if leaf != Leaf(event.id, event.time, bytes(event.commitment)).encode():
        findings.add(f"{name}: its id, time or commitment differs from its leaf")
    if commitment(bytes(event.salt), body) != bytes(event.commitment):
        findings.add(f"{name}: its body or salt is not what it commits to")
        return
    try:
        fields = json.loads(body)
        private_fields = json.loads(private)
        if commitment(bytes(event.private_salt), private).hex() != fields["private"]:
            findings.add(f"{name}: its private part is not what its body commits to")
            return
        if (fields["kind"], fields["record"]) != (event.kind, event.record_id):
            findings.add(f"{name}: its row names another kind or record than its body")
        contents.collect(event.id, private_fields)
        contents.collect(event.id, fields["public"])
    except (ValueError, KeyError, TypeError) as error:
        findings.add(f"{name}: its body does not read ({error!r})")


def _one_release(rows: Sequence[_Row], events: dict[str, _Row]) -> list[EventId]:
    """The batch's first release: one receipt is tried per batch, the tree's own check covers the others."""
    for row in rows:
        event = events.get(row.event_id)
        if event is not None and event.kind == Released.kind:
            return [EventId(event.id)]
    return []


def _check_receipts(log: AuditReader, releases: Sequence[EventId], findings: _Findings) -> None:
    for event_id in releases:
        try:
            made = receipt.build(log, event_id)
            receipt.check(receipt.parse(made.to_json()), log.public_key)
        except (AuditError, KeyError) as error:
            findings.add(f"receipt of event {event_id}: {error}")


def _check_queue(connection: Connection, findings: _Findings) -> int:
    unsequenced = (
        select(audit_events.c.id, ledger_queue.c.position)
        .select_from(audit_events.outerjoin(ledger_queue, ledger_queue.c.position == audit_events.c.position))
        .where(~select(ledger_leaves.c.event_id).where(ledger_leaves.c.event_id == audit_events.c.id).exists())
        .order_by(audit_events.c.position)
    )
    waiting = 0
    for event_id, position in connection.execute(unsequenced):
        if position is None:
            findings.add(f"event {event_id} is neither in the ledger nor waiting for it")
        else:
            waiting += 1
    dangling = select(ledger_queue.c.position).where(
        ~select(audit_events.c.id).where(audit_events.c.position == ledger_queue.c.position).exists()
    )
    for (position,) in connection.execute(dangling):
        findings.add(f"queue entry {position} has no event")
    return waiting


def _erased_subjects(connection: Connection) -> set[str]:
    erased: set[str] = set()
    for (private,) in connection.execute(select(audit_events.c.private).where(audit_events.c.kind == Erased.kind)):
        try:
            fields = json.loads(bytes(private))
            erased.update(fields["subject_ids"] if "subject_ids" in fields else [fields["subject_id"]])  # schema 1
        except (ValueError, KeyError, TypeError):
            continue  # the event itself is reported where it is checked
    return erased


def _leaves(connection: Connection) -> Iterator[Sequence[_Row]]:
    last = -1
    while True:
        rows = connection.execute(
            select(ledger_leaves.c.index.label("place"), ledger_leaves.c.event_id, ledger_leaves.c.leaf)
            .where(ledger_leaves.c.index > last)
            .order_by(ledger_leaves.c.index)
            .limit(BATCH_EVENTS)
        ).all()
        if not rows:
            return
        last = rows[-1].place
        yield rows


def _events_of(connection: Connection, rows: Sequence[_Row]) -> dict[str, _Row]:
    ids = [row.event_id for row in rows]
    found = connection.execute(select(audit_events).where(audit_events.c.id.in_(ids)))
    return {row.id: row for row in found}


def _checkpoints(connection: Connection) -> Iterator[_Row]:
    last = -1
    while True:
        rows = connection.execute(
            select(ledger_checkpoints)
            .where(ledger_checkpoints.c.size > last)
            .order_by(ledger_checkpoints.c.size)
            .limit(BATCH_EVENTS)
        ).all()
        if not rows:
            return
        last = rows[-1].size
        yield from rows
