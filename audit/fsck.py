"""Checks the whole log: rebuilds commitments, leaves, tree and checkpoints from the events and compares.

What it cannot see: events and leaves cut off at the end together with their checkpoints, by someone who may
change the tables. Receipts and stamped checkpoints that have left the house show that.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

import psycopg
from sqlalchemy import Connection, Engine, Row, func, select, text

from audit import receipt
from audit.database import database_errors
from audit.errors import (
    AuditError,
    AuditUnavailableError,
    CheckpointError,
    ErasedError,
    KeyFileError,
    ObjectError,
    StampError,
)
from audit.events import Erased, EventId, Released, commitment
from audit.ledger import checkpoint
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import leaf_hash
from audit.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, FullTile, RightEdge, split_hashes, tile_path
from audit.objects import ObjectStore
from audit.reader import AuditReader
from audit.records import ObjectReference, VaultReference
from audit.stamping import StampTrust
from audit.tables import (
    audit_events,
    ledger_checkpoints,
    ledger_leaves,
    ledger_queue,
    ledger_stamps,
    ledger_tiles,
)
from audit.vault import Vault

_Row: TypeAlias = "Row[*tuple[Any, ...]]"

BATCH_EVENTS = 1000
MAX_DIFFERENCES = 200

# Bodies are canonical JSON, so what is looked for stands there in one form. Reading it out of the bytes takes a tenth
# of the time that parsing takes; quotes inside of texts are escaped, so no text looks like this.
_BODY = re.compile(
    rb'\{"kind":"([a-z_]+)","private":"([0-9a-f]{64})","public":\{.*\},"record":(?:"([^"]*)"|null),"schema":\d+\}', re.S
)
_VAULT_REFERENCE = re.compile(rb'\{"commitment":"([0-9a-f]+)","id":"([^"]+)","subject_id":"([^"]+)"\}')
_OBJECT_REFERENCE = re.compile(
    rb'\{"role":("(?:[^"\\]|\\.)*"),"sha256":"([^"]+)","size":(\d+),"subject_id":"([^"]+)"\}', re.S
)


class _Stored(NamedTuple):
    """A leaf with its event's row; the event's part is None where the event is missing."""

    place: int
    event_id: str
    leaf: bytes
    id: str | None
    record_id: str | None
    kind: str
    time: datetime
    salt: bytes
    body: bytes
    private_salt: bytes
    private: bytes
    commitment: bytes


_STORED = """
    SELECT l.index, l.event_id::text, l.leaf, e.id::text, e.record_id, e.kind, e.time, e.salt, e.body, e.private_salt,
           e.private, e.commitment
    FROM (SELECT * FROM ledger_leaves WHERE index > %s ORDER BY index LIMIT %s) l
    LEFT JOIN audit_events e ON e.id = l.event_id
    ORDER BY l.index
"""


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
    stamps: StampTrust | None = None,
) -> FsckReport:
    """Checks everything in the log against everything else.

    Reads one snapshot of the database, so a running service does not disturb it.

    Args:
        engine: of a role with SELECT.
        log: on the same database, with the public key to check signatures with.
        vault: to open what events refer to; without it vault references are not checked.
        objects: likewise for objects.
        progress: called with (events done, events in all).
        stamps: to verify time stamps with; without it they are not checked.

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
        for rows in _stored(connection):
            for row in rows:
                tree.add(row.place, row.leaf)
                if row.id is None:
                    findings.add(f"event {row.event_id} (leaf {row.place}) is missing")
                else:
                    _check_event(row, contents, findings)
            contents.check_batch()
            releases.extend(_one_release(rows))
            done += len(rows)
            if progress is not None:
                progress(done, total)
        tree.finish()
        if tree.is_sound:
            _check_receipts(log, releases, findings)
        waiting = _check_queue(connection, findings)
        are_stamps_checked = _check_stamps(connection, log, stamps, findings)
    if findings.more:
        findings.differences.append(f"... and {findings.more} more differences")
    skipped = [name for name, store in (("vault references", vault), ("objects", objects)) if store is None]
    not_checked = [f"{name}: no access was given" for name in skipped]
    if not are_stamps_checked:
        not_checked.append("time stamps: no root certificates of authorities were given")
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

    def collect(self, event_id: str, part: bytes) -> None:
        """Finds references in a part of an event."""
        if b'"subject_id"' not in part:
            return
        for commitment_hex, id, subject in _VAULT_REFERENCE.findall(part):
            reference = VaultReference(id.decode(), commitment_hex.decode(), subject.decode())
            self._vault_references[reference] = event_id
        for role, digest, size, subject in _OBJECT_REFERENCE.findall(part):
            stored = ObjectReference(digest.decode(), subject.decode(), int(size), json.loads(role))
            self._object_references[stored] = event_id

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


def _check_event(row: _Stored, contents: _Contents, findings: _Findings) -> None:
    name = f"event {row.event_id} (leaf {row.place})"
    if row.leaf != Leaf(row.event_id, row.time, row.commitment).encode():
        findings.add(f"{name}: its id, time or commitment differs from its leaf")
    if commitment(row.salt, row.body) != row.commitment:
        findings.add(f"{name}: its body or salt is not what it commits to")
        return
    body = _BODY.fullmatch(row.body)
    if body is None:
        findings.add(f"{name}: its body does not read")
        return
    kind, private_commitment, record_id = body.groups()
    if commitment(row.private_salt, row.private).hex().encode() != private_commitment:
        findings.add(f"{name}: its private part is not what its body commits to")
        return
    if (kind.decode(), None if record_id is None else record_id.decode()) != (row.kind, row.record_id):
        findings.add(f"{name}: its row names another kind or record than its body")
    contents.collect(row.event_id, row.private)
    contents.collect(row.event_id, row.body)


def _one_release(rows: Sequence[_Stored]) -> list[EventId]:
    """The batch's first release: one receipt is tried per batch, the tree's own check covers the others."""
    return [EventId(row.id) for row in rows if row.id is not None and row.kind == Released.kind][:1]


def _check_receipts(log: AuditReader, releases: Sequence[EventId], findings: _Findings) -> None:
    for event_id in releases:
        try:
            made = receipt.build(log, event_id)
            receipt.check(receipt.parse(made.to_json()), log.public_key)
        except (AuditError, KeyError) as error:
            findings.add(f"receipt of event {event_id}: {error}")


def _check_stamps(connection: Connection, log: AuditReader, stamps: StampTrust | None, findings: _Findings) -> bool:
    """Verifies the stored time stamps; gives False if there are some and nothing to verify them with."""
    rows = connection.execute(
        select(ledger_stamps.c.size, ledger_stamps.c.authority, ledger_stamps.c.response, ledger_checkpoints.c.note)
        .select_from(ledger_stamps.outerjoin(ledger_checkpoints, ledger_checkpoints.c.size == ledger_stamps.c.size))
        .order_by(ledger_stamps.c.size, ledger_stamps.c.authority)
    )
    are_checked = True
    for row in rows:
        name = f"time stamp on checkpoint {row.size} by {row.authority}"
        if row.note is None:
            findings.add(f"{name}: there is no such checkpoint")
        elif stamps is None:
            are_checked = False
        else:
            try:
                stamps.verify(bytes(row.response), checkpoint.verify(row.note, log.public_key))
            except (StampError, CheckpointError) as error:
                findings.add(f"{name}: {error}")
    return are_checked


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


def _stored(connection: Connection) -> Iterator[Sequence[_Stored]]:
    """Leaves in their order, each with its event; binary, from the driver itself, for there are many."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise AuditUnavailableError("the connection to the database was lost; try again")
    last = -1
    with driver.cursor(binary=True) as cursor:
        while True:
            cursor.execute(_STORED, [last, BATCH_EVENTS], prepare=True)
            rows = [_Stored(*row) for row in cursor.fetchall()]
            if not rows:
                return
            last = rows[-1].place
            yield rows


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
