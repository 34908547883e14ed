"""Records and their leases. A record is one attempt at one image; its state changes together with its event."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from api.database import unavailable_when_away
from api.errors import AttemptLostError, IdempotencyConflictError, InvalidInputError, NotFoundError, ServiceError
from api.tables import idempotency_keys, records

SHORT_ID_BITS = 56
_PREFIX = "rec_"
_RECORD_ID = re.compile(r"rec_[0-9a-f]{32}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")  # visible ASCII, 1 to 255
_FINISHED_WITH_RESULT = frozenset({"released", "held", "refused", "quarantined"})
_CAN_RUN_AGAIN = frozenset({"held", "abandoned", "failed"})
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """One attempt at one image.

    `record_id`: "rec_" and 32 hexadecimal digits, random. `short_id`: the first 56 bits of it, which the watermark
    carries. `parent_id`: the first record of the request (its own id there). `position`: 0 for the first image.
    """

    record_id: str
    parent_id: str
    position: int
    tenant: str
    state: str
    created_at: datetime
    image_sha256: str | None

    @property
    def short_id(self) -> int:
        """56-bit integer, the record's part of the watermark's payload."""
        return int(self.record_id[len(_PREFIX) :][: SHORT_ID_BITS // 4], 16)


def _record(row: Row[Any]) -> Record:
    return Record(row.record_id, row.parent_id, row.position, row.tenant, row.state, row.created_at, row.image_sha256)


class RecordStore:
    """Opens, keeps alive, closes and finds records. Leases use the database's clock, the same for all processes."""

    def __init__(self, engine: Engine, *, owner: str, lease_s: float) -> None:
        self._engine = engine
        self._owner = owner
        self._lease = timedelta(seconds=lease_s)

    def open(self, connection: Connection, *, tenant: str, count: int) -> list[Record]:
        """Open `count` records of one request under one parent, leased to this process."""
        ids = [_PREFIX + secrets.token_hex(16) for _ in range(count)]
        values = [
            {
                "record_id": record_id,
                "parent_id": ids[0],
                "position": position,
                "short_id": record_id[len(_PREFIX) :][: SHORT_ID_BITS // 4],
                "tenant": tenant,
                "state": "open",
                "lease_owner": self._owner,
                "lease_expires_at": func.clock_timestamp() + self._lease,
                "created_at": func.clock_timestamp(),
            }
            for position, record_id in enumerate(ids)
        ]
        rows = connection.execute(insert(records).values(values).returning(records)).all()
        return sorted((_record(row) for row in rows), key=lambda record: record.position)

    def claim(self, connection: Connection, *, tenant: str, key: str, request: bytes, parent_id: str) -> str | None:
        """Bind an idempotency key to a new request, or return the parent id of the finished request that had it.

        Raises:
            InvalidInputError: the key is empty, longer than 255 characters, or not plain ASCII.
            IdempotencyConflictError: the key stands for another request, or its request still runs.
        """
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise InvalidInputError(
                "an Idempotency-Key has 1 to 255 visible ASCII characters", parameter="Idempotency-Key"
            )
        digest = hashlib.sha256(request).hexdigest()
        new = {"tenant": tenant, "key": key, "request_sha256": digest, "parent_id": parent_id}
        statement = upsert(idempotency_keys).values(**new, created_at=func.clock_timestamp())
        # The no-op update locks the row, so that of two callers with one key the second waits and then reads.
        locked = statement.on_conflict_do_update(
            index_elements=["tenant", "key"], set_={"key": idempotency_keys.c.key}
        ).returning(idempotency_keys.c.request_sha256, idempotency_keys.c.parent_id)
        row = connection.execute(locked).one()
        if row.parent_id == parent_id:
            return None
        if row.request_sha256 != digest:
            raise IdempotencyConflictError(
                "this Idempotency-Key was used for a different request; use a new key", parameter="Idempotency-Key"
            )
        states = set(connection.scalars(select(records.c.state).where(records.c.parent_id == row.parent_id)))
        if "open" in states:
            raise IdempotencyConflictError(
                "the request with this Idempotency-Key still runs; try again when it has ended",
                parameter="Idempotency-Key",
            )
        if states <= _FINISHED_WITH_RESULT:
            return str(row.parent_id)
        connection.execute(
            update(idempotency_keys)
            .where(idempotency_keys.c.tenant == tenant, idempotency_keys.c.key == key)
            .values(parent_id=parent_id)
        )
        return None

    def close(
        self, connection: Connection, record_ids: Sequence[str], state: str, *, image_sha256: str | None = None
    ) -> None:
        """Move open records of this process to their final state, in the transaction that writes the event.

        Raises:
            AttemptLostError: the lease expired and another process has closed a record.
        """
        closed = connection.execute(
            update(records)
            .where(
                records.c.record_id.in_(record_ids),
                records.c.state == "open",
                records.c.lease_owner == self._owner,
            )
            .values(state=state, image_sha256=image_sha256)
        )
        if closed.rowcount != len(record_ids):
            raise AttemptLostError(
                "this attempt's lease expired and it was closed as abandoned; send the request again",
                record_id=record_ids[0],
            )

    def decide(
        self, connection: Connection, record_ids: Sequence[str], state: str, *, image_sha256: str | None = None
    ) -> None:
        """Move held records to their final state, in the transaction that writes the reviewer's event.

        Raises:
            AttemptLostError: a record is not held any more.
        """
        decided = connection.execute(
            update(records)
            .where(records.c.record_id.in_(record_ids), records.c.state == "held")
            .values(state=state, image_sha256=image_sha256)
        )
        if decided.rowcount != len(record_ids):
            raise AttemptLostError("this record is not held any more", record_id=record_ids[0])

    def reopen(self, connection: Connection, parent_id: str) -> list[Record]:
        """Open all records of a request for this process: one that is held, or that ended without a result.

        Raises:
            AttemptLostError: the request runs, or has a result.
        """
        before = list(connection.scalars(select(records.c.state).where(records.c.parent_id == parent_id)))
        rows = connection.execute(
            update(records)
            .where(records.c.parent_id == parent_id, records.c.state.in_(_CAN_RUN_AGAIN))
            .values(
                state="open",
                lease_owner=self._owner,
                lease_expires_at=func.clock_timestamp() + self._lease,
            )
            .returning(records)
        ).all()
        if len(rows) != len(before):
            raise AttemptLostError("this request runs already, or has ended", record_id=parent_id)
        return sorted((_record(row) for row in rows), key=lambda record: record.position)

    def expire(self, connection: Connection) -> list[Record]:
        """Close every open record whose lease has expired as abandoned; the caller writes the events."""
        rows = connection.execute(
            update(records)
            .where(records.c.state == "open", records.c.lease_expires_at < func.clock_timestamp())
            .values(state="abandoned")
            .returning(records)
        ).all()
        return [_record(row) for row in rows]

    def get(self, record_id: str) -> Record:
        """Find a record by its id.

        Raises:
            NotFoundError: there is none.
        """
        if not _RECORD_ID.fullmatch(record_id):  # also keeps out what PostgreSQL's text cannot hold
            raise NotFoundError("no such record")
        return self._one(records.c.record_id == record_id)

    def by_short_id(self, short_id: int) -> Record:
        """Find a record by the 56 bits that a watermark carries; raises `NotFoundError`."""
        return self._one(records.c.short_id == f"{short_id:0{SHORT_ID_BITS // 4}x}")

    def by_image(self, sha256: str) -> Record:
        """Find the record that released the file with this SHA-256; raises `NotFoundError`."""
        return self._one(records.c.image_sha256 == sha256, records.c.state == "released")

    def siblings(self, parent_id: str) -> list[Record]:
        """All records of one request, in order."""
        with unavailable_when_away(), self._engine.connect() as connection:
            rows = connection.execute(
                select(records).where(records.c.parent_id == parent_id).order_by(records.c.position)
            ).all()
        return [_record(row) for row in rows]

    def newest(self, *, tenant: str | None, limit: int) -> list[Record]:
        """The newest records, of one tenant or of all."""
        statement = select(records).order_by(records.c.created_at.desc(), records.c.position).limit(limit)
        if tenant is not None:
            statement = statement.where(records.c.tenant == tenant)
        with unavailable_when_away(), self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(statement)]

    def opened(
        self,
        *,
        until: datetime,
        since: datetime | None = None,
        tenant: str | None = None,
        states: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """Records opened from `since`, inclusive, to `until`, exclusive, oldest first."""
        statement = select(records).where(records.c.created_at < until)
        if since is not None:
            statement = statement.where(records.c.created_at >= since)
        if tenant is not None:
            statement = statement.where(records.c.tenant == tenant)
        if states is not None:
            statement = statement.where(records.c.state.in_(states))
        statement = statement.order_by(records.c.created_at, records.c.parent_id, records.c.position).limit(limit)
        with unavailable_when_away(), self._engine.connect() as connection:
            return [_record(row) for row in connection.execute(statement)]

    @contextlib.contextmanager
    def heartbeat(self, record_ids: Sequence[str]) -> Iterator[None]:
        """Extend the leases of open records from a thread, three times in each lease, while the block runs."""
        stop = threading.Event()
        interval_s = self._lease.total_seconds() / 3

        def beat() -> None:
            while not stop.wait(interval_s):
                try:
                    self._extend(record_ids)
                except ServiceError as error:
                    # The lease runs out if this goes on; `close` then refuses to release.
                    _LOGGER.warning("lease heartbeat failed: %s", error.message)

        thread = threading.Thread(target=beat, name="lease-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _extend(self, record_ids: Sequence[str]) -> None:
        with unavailable_when_away(), self._engine.begin() as connection:
            connection.execute(
                update(records)
                .where(
                    records.c.record_id.in_(record_ids),
                    records.c.state == "open",
                    records.c.lease_owner == self._owner,
                )
                .values(lease_expires_at=func.clock_timestamp() + self._lease)
            )

    def _one(self, *conditions: Any) -> Record:
        with unavailable_when_away(), self._engine.connect() as connection:
            row = connection.execute(select(records).where(*conditions).order_by(records.c.created_at).limit(1)).first()
        if row is None:
            raise NotFoundError("no such record")
        return _record(row)
