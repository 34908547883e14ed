"""The audit log: appends events durably and includes them in the ledger."""

from __future__ import annotations

import dataclasses
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from audit.committing import GroupCommitter, Place
from audit.database import database_errors
from audit.events import Event, EventId, encode
from audit.ledger.checkpoint import Checkpoint
from audit.ledger.keys import LedgerKey
from audit.ledger.sequencer import Sequencer
from audit.ledger.writing import SYNCHRONOUS_COMMIT, EventRow
from audit.reader import AuditReader, Inclusion

SALT_BYTES = 32

_APPEND = text(
    f"""
    WITH appended AS (
        INSERT INTO audit_events
            (id, record_id, kind, time, salt, body, private_salt, private, commitment)
        SELECT CAST(:id AS uuid), :record_id, :kind, :time, :salt, :body, :private_salt, :private, :commitment
        FROM {SYNCHRONOUS_COMMIT}
        RETURNING position
    )
    INSERT INTO ledger_queue (position) SELECT position FROM appended
    """  # noqa: S608 -- the inserted text is this package's own constant
)


class AuditLog(AuditReader):
    """Writes and reads a log. For any number of threads and processes at once.

    Args:
        engine: of the service role; the log does not close it.
        ledger_key: signs checkpoints.
        clock: gives the time of events, with a time zone.
    """

    def __init__(self, engine: Engine, ledger_key: LedgerKey, clock: Callable[[], datetime]) -> None:
        super().__init__(engine, ledger_key.public)
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._sequencer = Sequencer(engine, ledger_key, clock)
        self._committer = GroupCommitter(self._sequencer)

    def append(self, event: Event, connection: Connection | None = None) -> EventId:
        """Stores an event; when this returns it is durable, and waits for its place in the ledger.

        Args:
            connection: the caller's transaction, so that a change of state and its event are committed together;
                then the event is durable when the caller has committed.

        Raises:
            EventError: the event cannot be recorded as it is (a float, too large).
            AuditUnavailableError: the database is away; whether the event was stored may be unknown.
            StorageFullError: its disk is full.
        """
        row = self._row(event)
        self._committer.expect(row.id)
        parameters = _parameters(row)
        with database_errors(f"record the event {event.kind!r}"):
            if connection is not None:
                connection.execute(_APPEND, parameters)
            else:
                with self._autocommit.connect() as own:
                    own.execute(_APPEND, parameters)
        return EventId(row.id)

    def append_all(self, events: Sequence[Event]) -> list[EventId]:
        """Stores several events in one transaction: all of them or none.

        Raises:
            As `append`.
        """
        rows = [self._row(event) for event in events]
        if rows:
            with database_errors(f"record {len(rows)} events"), self._engine.begin() as connection:
                connection.execute(_APPEND, [_parameters(row) for row in rows])
        return [EventId(row.id) for row in rows]

    def include(self, event_id: EventId) -> Inclusion:
        """Sees to it that an appended event is in the ledger; gives its place and proof.

        Raises:
            UnknownEventError: there is no such event.
            AuditError: as `Sequencer.run`.
        """
        return self.include_all([event_id])[0]

    def include_all(self, event_ids: Sequence[EventId]) -> list[Inclusion]:
        """As `include`, for several events at once; the inclusions in the same order.

        Raises:
            As `include`.
        """
        found = self._committer.include(event_ids)
        return [self._inclusion(event_id, found) for event_id in event_ids]

    def record(self, event: Event) -> tuple[EventId, Inclusion]:
        """Appends and includes: when this returns, the event is durable and in a signed checkpoint.

        Raises:
            AuditError: as `append` and `include`.
        """
        return self.record_all([event])[0]

    def record_all(self, events: Sequence[Event]) -> list[tuple[EventId, Inclusion]]:
        """As `record`, for several events in one transaction.

        Raises:
            As `record`.
        """
        rows = [self._row(event) for event in events]
        found = self._committer.record(rows) if rows else {}
        return [(EventId(row.id), self._inclusion(EventId(row.id), found)) for row in rows]

    def checkpoint(self) -> Checkpoint:
        """Sequences all that waits and gives the newest checkpoint.

        Raises:
            AuditError: as `Sequencer.run`.
        """
        self._committer.drain()
        return self.latest_checkpoint() or self._sequencer.sign_empty()

    def _inclusion(self, event_id: EventId, found: Mapping[str, Place]) -> Inclusion:
        if event_id not in found:
            return self.prove(event_id)  # included long ago, or by another process without this one's knowledge
        index, batch = found[event_id]
        return Inclusion(index, batch.leaves[index - batch.first_index], batch.proof(index), batch.checkpoint)

    def _row(self, event: Event) -> EventRow:
        now = self._clock()
        encoded = encode(event, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(SALT_BYTES))
        return EventRow(
            id=time_ordered_id(now),
            record_id=event.record_id,
            kind=event.kind,
            time=now,
            salt=encoded.salt,
            body=encoded.body,
            private_salt=encoded.private_salt,
            private=encoded.private,
            commitment=encoded.commitment,
        )


def _parameters(row: EventRow) -> dict[str, object]:
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row)}


def time_ordered_id(now: datetime) -> EventId:
    """A version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return EventId(str(uuid.UUID(int=value)))
