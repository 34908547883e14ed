"""The audit log: appends events durably and includes them in the ledger."""

from __future__ import annotations

import secrets
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from audit.database import database_errors
from audit.errors import AuditBusyError
from audit.events import Event, EventId, encode
from audit.ledger.checkpoint import Checkpoint
from audit.ledger.keys import LedgerKey
from audit.ledger.sequencer import LOCK_TIMEOUT_SECONDS, SYNCHRONOUS_COMMIT, Batch, Sequencer
from audit.reader import AuditReader, Inclusion

SALT_BYTES = 32
MAX_AWAITED = 4096  # events whose appender has not asked for their place yet; later ones are proved from the database

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
        self._sequencing = threading.Lock()
        self._included: OrderedDict[str, tuple[int, Batch]] = OrderedDict()  # guarded by _sequencing
        self._bookkeeping = threading.Lock()
        self._awaited: OrderedDict[str, bool] = OrderedDict()  # guarded by _bookkeeping

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
        parameters = self._row(event)
        with database_errors(f"record the event {event.kind!r}"):
            if connection is not None:
                connection.execute(_APPEND, parameters)
            else:
                with self._autocommit.connect() as own:
                    own.execute(_APPEND, parameters)
        return EventId(parameters["id"])

    def append_all(self, events: Sequence[Event]) -> list[EventId]:
        """Stores several events in one transaction: all of them or none.

        Raises:
            As `append`.
        """
        rows = [self._row(event) for event in events]
        if rows:
            with database_errors(f"record {len(rows)} events"), self._engine.begin() as connection:
                connection.execute(_APPEND, rows)
        return [EventId(row["id"]) for row in rows]

    def include(self, event_id: EventId) -> Inclusion:
        """Sees to it that an appended event is in the ledger; gives its place and proof.

        Whoever comes first sequences all that wait; the others find their event included.

        Raises:
            UnknownEventError: there is no such event.
            AuditError: as `Sequencer.run`.
        """
        if not self._sequencing.acquire(timeout=LOCK_TIMEOUT_SECONDS):
            raise AuditBusyError("another thread is sequencing events for too long; try again")
        try:
            found = self._included.pop(event_id, None)
            while found is None and (batches := self._sequencer.run()):
                self._remember(batches)
                found = self._included.pop(event_id, None)
        finally:
            self._sequencing.release()
        if found is None:
            return self.prove(event_id)  # included long ago, or by another process without this one's knowledge
        index, batch = found
        return Inclusion(index, batch.leaves[index - batch.first_index], batch.proof(index), batch.checkpoint)

    def record(self, event: Event) -> tuple[EventId, Inclusion]:
        """Appends and includes: when this returns, the event is durable and in a signed checkpoint.

        Raises:
            AuditError: as `append` and `include`.
        """
        event_id = self.append(event)
        return event_id, self.include(event_id)

    def checkpoint(self) -> Checkpoint:
        """Sequences all that waits and gives the newest checkpoint.

        Raises:
            AuditError: as `Sequencer.run`.
        """
        with self._sequencing:
            while batches := self._sequencer.run():
                self._remember(batches)
        return self.latest_checkpoint() or self._sequencer.sign_empty()

    def _row(self, event: Event) -> dict[str, Any]:
        now = self._clock()
        encoded = encode(event, secrets.token_bytes(SALT_BYTES), secrets.token_bytes(SALT_BYTES))
        event_id = time_ordered_id(now)
        self._await(event_id)
        return {
            "id": event_id,
            "record_id": event.record_id,
            "kind": event.kind,
            "time": now,
            "salt": encoded.salt,
            "body": encoded.body,
            "private_salt": encoded.private_salt,
            "private": encoded.private,
            "commitment": encoded.commitment,
        }

    def _await(self, event_id: EventId) -> None:
        with self._bookkeeping:
            self._awaited[event_id] = True
            while len(self._awaited) > MAX_AWAITED:
                self._awaited.popitem(last=False)

    def _remember(self, batches: Sequence[Batch]) -> None:
        """Keeps the places of this process's own events until their appenders ask."""
        for batch in batches:
            for index, event_id in enumerate(batch.event_ids, batch.first_index):
                with self._bookkeeping:
                    is_own = self._awaited.pop(event_id, False)
                if is_own:
                    self._included[event_id] = index, batch
        while len(self._included) > MAX_AWAITED:
            self._included.popitem(last=False)


def time_ordered_id(now: datetime) -> EventId:
    """A version 7 UUID (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random bits."""
    milliseconds = int(now.timestamp() * 1000) & ((1 << 48) - 1)
    random = secrets.randbits(74)
    value = milliseconds << 80 | 0x7 << 76 | (random >> 62) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return EventId(str(uuid.UUID(int=value)))
