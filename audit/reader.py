"""Reading the log: events, proofs and checkpoints. Needs no private key and no right to write."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, Select, select

from audit.canonical import JsonValue, parse_canonical
from audit.database import database_errors
from audit.errors import BodyValueError, LedgerCorruptError, UnknownEventError
from audit.events import EventId
from audit.ledger import storage
from audit.ledger.checkpoint import Checkpoint, verify
from audit.ledger.keys import LedgerPublicKey
from audit.ledger.merkle import EMPTY_ROOT, consistency_proof, inclusion_proof, root
from audit.ledger.tiles import TILE_WIDTH, entry_bundle, join_hashes, parse_tile_path, tile_width
from audit.tables import audit_events, ledger_leaves


@dataclass(frozen=True)
class Inclusion:
    """Where an event stands in the ledger, with the proof.

    Args:
        index: place in the tree, from 0.
        leaf: the exact bytes that the tree hashes.
        proof: inclusion proof for `checkpoint`, from the leaf's sibling upwards.
        checkpoint: signed state of the tree.
    """

    index: int
    leaf: bytes
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint


@dataclass(frozen=True)
class StoredEvent:
    """An event as the database has it.

    Args:
        body: the exact bytes that the ledger commits to.
        private: the exact bytes of the private part.
        index: place in the ledger; None while it is not sequenced.
    """

    id: EventId
    record_id: str | None
    kind: str
    time: datetime
    body: bytes
    salt: bytes
    private: bytes
    private_salt: bytes
    index: int | None

    def fields(self) -> dict[str, JsonValue]:
        """Public and private fields together.

        Raises:
            LedgerCorruptError: the stored bytes are no event's.
        """
        try:
            match parse_canonical(self.body), parse_canonical(self.private):
                case {"public": dict(public)}, dict(private):
                    return {**public, **private}
        except BodyValueError as error:
            raise LedgerCorruptError(f"event {self.id} does not read: {error}; run the log check") from error
        raise LedgerCorruptError(f"event {self.id} has no event's body; run the log check")


class AuditReader:
    """Reads a log.

    Args:
        engine: of a role with SELECT.
        public_key: the log's, had out of band.
    """

    def __init__(self, engine: Engine, public_key: LedgerPublicKey) -> None:
        self._engine = engine
        self.public_key = public_key

    def event(self, event_id: str) -> StoredEvent:
        """One event.

        Raises:
            UnknownEventError: there is none of that id.
        """
        wanted = _canonical_id(event_id)
        found = self._select(_EVENTS.where(audit_events.c.id == wanted))
        if not found:
            raise UnknownEventError(f"the log has no event {wanted}")
        return found[0]

    def events(self, record_id: str) -> list[StoredEvent]:
        """All events of a record, oldest first."""
        return self._select(_EVENTS.where(audit_events.c.record_id == record_id).order_by(audit_events.c.position))

    def recent(self, limit: int = 50, kind: str | None = None, skip: int = 0) -> list[StoredEvent]:
        """Events, newest first.

        Args:
            limit: at most so many.
            kind: only of that kind.
            skip: leave out the newest so many.
        """
        query = _EVENTS.order_by(audit_events.c.position.desc()).limit(limit).offset(skip)
        return self._select(query if kind is None else query.where(audit_events.c.kind == kind))

    def latest_checkpoint(self) -> Checkpoint | None:
        """The newest stored checkpoint, its signature verified; None for a log without leaves.

        Raises:
            CheckpointError: it is not signed by the log's key.
        """
        with database_errors("read the newest checkpoint"), self._engine.connect() as connection:
            return self._newest(connection)

    def leaf(self, index: int) -> bytes:
        """Exact bytes of the leaf at `index`.

        Raises:
            UnknownEventError: there is none.
        """
        with database_errors("read a leaf"), self._engine.connect() as connection:
            return storage.read_leaf(connection, index)

    def root(self, size: int) -> bytes:
        """Root of the tree of the first `size` leaves.

        Raises:
            UnknownEventError: the log is shorter.
        """
        with database_errors("compute a root"), self._engine.connect() as connection:
            self._require_size(connection, size)
            return storage.with_nodes(connection, size, lambda read: root(size, read)) if size else EMPTY_ROOT

    def prove(self, event_id: str) -> Inclusion:
        """Inclusion of an event in the newest checkpoint.

        Raises:
            UnknownEventError: no such event, or it is not sequenced yet.
        """
        wanted = _canonical_id(event_id)
        with database_errors("prove inclusion"), self._engine.connect() as connection:
            # The leaf first: a checkpoint that is read later covers it.
            found = storage.find_leaf(connection, wanted)
            checkpoint = self._newest(connection)
            if found is None or checkpoint is None:
                raise UnknownEventError(f"event {event_id} is not in the ledger")
            index, leaf = found
            proof = self._inclusion_proof(connection, index, checkpoint.size)
            return Inclusion(index, leaf, proof, checkpoint)

    def prove_leaf(self, index: int, size: int) -> tuple[bytes, tuple[bytes, ...]]:
        """The leaf at `index`, and the proof that the tree of the first `size` leaves has it there.

        Raises:
            ProofError: that tree has no such leaf.
            UnknownEventError: the log is shorter.
        """
        with database_errors("prove inclusion"), self._engine.connect() as connection:
            self._require_size(connection, size)
            proof = self._inclusion_proof(connection, index, size)
            return storage.read_leaf(connection, index), proof

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Proof that the tree of `new_size` leaves extends the one of `old_size`.

        Raises:
            ProofError: the sizes are not in order.
            UnknownEventError: the log is shorter.
        """
        with database_errors("prove consistency"), self._engine.connect() as connection:
            self._require_size(connection, new_size)
            return storage.with_nodes(connection, new_size, lambda read: consistency_proof(old_size, new_size, read))

    def tile(self, path: str) -> bytes:
        """A tile or an entry bundle as C2SP tlog-tiles serves it, by its path below the log's prefix.

        Raises:
            LedgerError: `path` is no tile path.
            UnknownEventError: the log has no such tile (yet).
        """
        level, index, width = parse_tile_path(path)
        with database_errors("read a tile"), self._engine.connect() as connection:
            newest = storage.newest_checkpoint(connection)
            if width > tile_width(level or 0, index, newest[0] if newest else 0):
                raise UnknownEventError(f"the log has no {path}")
            if level is None:
                start = index * TILE_WIDTH
                return entry_bundle(storage.read_leaves(connection, start, start + width))
            return join_hashes(storage.read_tile(connection, level, index, width))

    def _inclusion_proof(self, connection: Connection, index: int, size: int) -> tuple[bytes, ...]:
        return storage.with_nodes(connection, size, lambda read: inclusion_proof(index, size, read))

    def _newest(self, connection: Connection) -> Checkpoint | None:
        newest = storage.newest_checkpoint(connection)
        return None if newest is None else verify(newest[2], self.public_key)

    def _require_size(self, connection: Connection, size: int) -> None:
        newest = storage.newest_checkpoint(connection)
        if size > (newest[0] if newest else 0):
            raise UnknownEventError(f"the log has no tree of {size} leaves; it has {newest[0] if newest else 0}")

    def _select(self, query: Select[Any]) -> list[StoredEvent]:
        with database_errors("read events"), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            StoredEvent(
                EventId(id),
                record_id,
                kind,
                time.astimezone(UTC),
                bytes(body),
                bytes(salt),
                bytes(private),
                bytes(private_salt),
                index,
            )
            for id, record_id, kind, time, body, salt, private, private_salt, index in rows
        ]


def _canonical_id(event_id: str) -> str:
    try:
        return str(uuid.UUID(event_id))
    except ValueError as error:
        raise UnknownEventError(f"{event_id[:80]!r} is no event id; expected a UUID") from error


_EVENTS = select(
    audit_events.c.id,
    audit_events.c.record_id,
    audit_events.c.kind,
    audit_events.c.time,
    audit_events.c.body,
    audit_events.c.salt,
    audit_events.c.private,
    audit_events.c.private_salt,
    ledger_leaves.c.index,
).select_from(audit_events.outerjoin(ledger_leaves, ledger_leaves.c.event_id == audit_events.c.id))
