"""Events in bulk, with their proofs against one signed state of the ledger each."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, func, literal, or_, select

from audit.database import database_errors
from audit.errors import LedgerCorruptError
from audit.events import EventId
from audit.ledger import storage
from audit.ledger.checkpoint import Checkpoint, verify
from audit.ledger.keys import LedgerPublicKey
from audit.ledger.merkle import consistency_proof, inclusion_proof
from audit.reader import StoredEvent
from audit.stamping import Stamp
from audit.tables import audit_events, ledger_checkpoints, ledger_leaves, ledger_stamps

EVENT_FORMAT = "imprimatur-event/1"
CONSISTENCY_FORMAT = "imprimatur-consistency/1"
ROWS_PER_FETCH = 2000
IDS_PER_QUERY = 5000


@dataclass(frozen=True)
class ProvedEvent:
    """An event with the proof that it is in the ledger.

    Args:
        leaf: exact bytes of the leaf; None while the event has no place yet.
        checkpoint: state that `proof` leads to: the stamped one where that covers the event, else the newest.
        is_stamped: whether that is the stamped one.
        withhold_private: the private part goes into no bundle.
    """

    event: StoredEvent
    leaf: bytes | None
    proof: tuple[bytes, ...]
    checkpoint: Checkpoint | None
    is_stamped: bool
    withhold_private: bool = False

    def to_json(self, *, with_private: bool, checkpoint_path: str | None) -> bytes:
        """The event as a file of the bundle; the verifier recomputes everything from it."""
        with_private = with_private and not self.withhold_private
        document = {
            "format": EVENT_FORMAT,
            "id": self.event.id,
            "index": self.event.index,
            "leaf": None if self.leaf is None else self.leaf.decode(),
            "proof": [base64.b64encode(entry).decode() for entry in self.proof],
            "checkpoint": checkpoint_path,
            "salt": self.event.salt.hex(),
            "body": self.event.body.decode(),
            "private_salt": self.event.private_salt.hex() if with_private else None,
            "private": self.event.private.decode() if with_private else None,
        }
        return (json.dumps(document, ensure_ascii=False) + "\n").encode()


class EvidenceReader:
    """Reads the log for reports. Needs no private key and no right to write.

    Args:
        engine: of a role with SELECT.
        public_key: the log's.
    """

    def __init__(self, engine: Engine, public_key: LedgerPublicKey) -> None:
        self._engine = engine
        self.public_key = public_key

    def of_records(self, record_ids: Sequence[str]) -> list[StoredEvent]:
        """All events of these records, in the order in which they were stored."""
        return list(self._in_chunks(audit_events.c.record_id, record_ids))

    def by_ids(self, event_ids: Sequence[str]) -> list[StoredEvent]:
        """These events, in the order in which they were stored."""
        return list(self._in_chunks(audit_events.c.id, event_ids))

    def period(
        self,
        since: datetime,
        until: datetime,
        *,
        kinds: Sequence[str] | None = None,
        without_record: bool = False,
    ) -> Iterator[StoredEvent]:
        """Events with `since` <= time < `until`, in the order in which they were stored, as a stream.

        Args:
            kinds: only these.
            without_record: only events that belong to no record.
        """
        conditions = [audit_events.c.time >= since, audit_events.c.time < until]
        if kinds is not None:
            conditions.append(audit_events.c.kind.in_(kinds))
        if without_record:
            conditions.append(audit_events.c.record_id.is_(None))
        return self._stream(*conditions)

    def prove(self, events: Sequence[StoredEvent], stamp: Stamp | None) -> list[ProvedEvent]:
        """Proofs of all events, read from one state of the database.

        Raises:
            CheckpointError: the newest checkpoint is not signed by the log's key.
            LedgerError: the stored tree is broken.
        """
        with database_errors("prove events for a report"), self._snapshot() as connection:
            newest = _newest(connection, self.public_key)
            states = [state for state in (stamp.checkpoint if stamp else None, newest) if state is not None]
            readers = {state.size: storage.read_nodes(connection, state.size) for state in states}
            leaves = _leaves(connection, [event.index for event in events if event.index is not None])
            proved = []
            for event in events:
                index = event.index
                state = next((one for one in states if index is not None and index < one.size), None)
                if index is None or state is None:
                    proved.append(ProvedEvent(event, None, (), None, False))
                    continue
                proof = inclusion_proof(index, state.size, readers[state.size])
                is_stamped = stamp is not None and state is stamp.checkpoint
                proved.append(ProvedEvent(event, leaves[index], proof, state, is_stamped))
        return proved

    def newest(self) -> Checkpoint | None:
        """The newest stored checkpoint, its signature verified."""
        with database_errors("read the newest checkpoint"), self._snapshot() as connection:
            return _newest(connection, self.public_key)

    def newest_stamp(self) -> Stamp | None:
        """The time stamp on the newest checkpoint that a third party stamped; it was verified when it was kept.

        Raises:
            CheckpointError: that checkpoint is not signed by the log's key.
        """
        query = (
            select(ledger_checkpoints.c.note, ledger_stamps.c.response, ledger_stamps.c.time, ledger_stamps.c.authority)
            .join_from(ledger_stamps, ledger_checkpoints, ledger_stamps.c.size == ledger_checkpoints.c.size)
            .order_by(ledger_stamps.c.size.desc(), ledger_stamps.c.time)
            .limit(1)
        )
        with database_errors("read the newest time stamp"), self._snapshot() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        note, response, time, authority = row
        return Stamp(verify(note, self.public_key), time.astimezone(UTC), authority, bytes(response))

    def mentioning(self, texts: Sequence[str], since: datetime) -> list[StoredEvent]:
        """Events that belong to no record and whose private part holds one of `texts` (ids), since a time."""
        if not texts:
            return []
        holds = [func.position(literal(text.encode()).op("IN")(audit_events.c.private)) > 0 for text in texts]
        return list(self._stream(audit_events.c.record_id.is_(None), audit_events.c.time >= since, or_(*holds)))

    def consistency(self, old: Checkpoint, new: Checkpoint) -> bytes:
        """Proof that `new` extends `old`, as a file of the bundle."""
        with database_errors("prove consistency"), self._snapshot() as connection:
            proof = consistency_proof(old.size, new.size, storage.read_nodes(connection, new.size))
        document = {
            "format": CONSISTENCY_FORMAT,
            "old_size": old.size,
            "new_size": new.size,
            "proof": [base64.b64encode(entry).decode() for entry in proof],
        }
        return (json.dumps(document) + "\n").encode()

    def _snapshot(self) -> Connection:
        return self._engine.connect().execution_options(isolation_level="REPEATABLE READ")

    def _in_chunks(self, column: ColumnElement[Any], values: Sequence[str]) -> Iterator[StoredEvent]:
        for start in range(0, len(values), IDS_PER_QUERY):
            yield from self._stream(column.in_(values[start : start + IDS_PER_QUERY]))

    def _stream(self, *conditions: ColumnElement[bool]) -> Iterator[StoredEvent]:
        query = _EVENTS.where(*conditions).order_by(audit_events.c.position)
        with database_errors("read events for a report"), self._snapshot() as connection:
            rows = connection.execution_options(yield_per=ROWS_PER_FETCH).execute(query)
            for row in rows:
                yield _stored(row)


def fields_of(event: StoredEvent) -> dict[str, Any]:
    """Public and private fields together, without the comparison with the canonical form that `StoredEvent` makes: a
    report states the bytes themselves beside its words, and the verifier hashes them.

    Raises:
        LedgerCorruptError: the stored bytes are no event's.
    """
    try:
        return {**json.loads(event.body)["public"], **json.loads(event.private)}
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerCorruptError(f"event {event.id} does not read: {error}; run the log check") from error


def _newest(connection: Connection, public_key: LedgerPublicKey) -> Checkpoint | None:
    newest = storage.newest_checkpoint(connection)
    return None if newest is None else verify(newest[2], public_key)


def _leaves(connection: Connection, indices: Sequence[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for start in range(0, len(indices), IDS_PER_QUERY):
        rows = connection.execute(
            select(ledger_leaves.c.index, ledger_leaves.c.leaf).where(
                ledger_leaves.c.index.in_(indices[start : start + IDS_PER_QUERY])
            )
        )
        found.update((int(index), bytes(leaf)) for index, leaf in rows)
    return found


def _stored(row: Row[Any, *tuple[Any, ...]]) -> StoredEvent:
    id, record_id, kind, time, body, salt, private, private_salt, index = tuple(row)
    return StoredEvent(
        EventId(id), record_id, kind, time.astimezone(UTC), bytes(body), bytes(salt), bytes(private),
        bytes(private_salt), index,
    )  # fmt: skip


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
