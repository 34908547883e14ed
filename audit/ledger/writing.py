"""The statements of the sequencing transaction, as the driver takes them.

They go to the server in two round trips (pipeline mode): one waits for the lock and reads what is there, the other
stores and commits. The driver is spoken to directly because here the product's throughput is decided
(`benchmarks/audit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import psycopg

from audit.ledger.checkpoint import Checkpoint
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import NodeReader, inclusion_proof
from audit.ledger.tiles import FullTile, join_hashes

Driver: TypeAlias = "psycopg.Connection[Any]"


@dataclass(frozen=True)
class EventRow:
    """A row of `audit_events`."""

    id: str
    record_id: str | None
    kind: str
    time: datetime
    salt: bytes
    body: bytes
    private_salt: bytes
    private: bytes
    commitment: bytes

    def leaf(self) -> Leaf:
        """What the ledger shows of it."""
        return Leaf(self.id, self.time, self.commitment)


@dataclass(frozen=True)
class Batch:
    """Leaves that one transaction put into the tree, with all that their proofs need."""

    first_index: int
    leaves: tuple[bytes, ...]
    event_ids: tuple[str, ...]
    checkpoint: Checkpoint
    read: NodeReader = field(repr=False)

    def proof(self, index: int) -> tuple[bytes, ...]:
        """Inclusion proof of one of the batch's leaves in its checkpoint; reads no database."""
        return inclusion_proof(index, self.checkpoint.size, self.read)


@dataclass(frozen=True)
class Situation:
    """What the ledger holds at the moment in which the lock was had.

    Args:
        newest: (size, root, note) of the newest checkpoint.
        others: (event id, leaf) from the asked size on, as many as were asked for.
        queue: leaves of the oldest waiting events, in the order to be sequenced; removed from the queue.
    """

    newest: tuple[int, bytes, str] | None
    others: list[tuple[str, bytes]]
    queue: list[Leaf]


# Synchronous commit is what "durable" rests on; a database that turned it off is overruled, one that asks for
# more (remote_apply) is left alone.
SYNCHRONOUS_COMMIT = """set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"""

# A target list is evaluated from left to right: the wait for the lock is already bounded.
_LOCK = f"SELECT set_config('lock_timeout', %s, true), {SYNCHRONOUS_COMMIT}, pg_advisory_xact_lock(%s)"

# A statement of its own: its snapshot must be younger than the lock. Three answers in one round trip.
_SITUATION = """
    WITH newest AS (SELECT size, root, note FROM ledger_checkpoints ORDER BY size DESC LIMIT 1),
    others AS (SELECT index, event_id, leaf FROM ledger_leaves WHERE index >= %s ORDER BY index LIMIT %s),
    taken AS (
        DELETE FROM ledger_queue
        WHERE position IN (SELECT position FROM ledger_queue ORDER BY position LIMIT %s)
        RETURNING position
    )
    SELECT 1 AS part, size AS place, root AS bytes, note AS text, NULL::timestamptz AS time FROM newest
    UNION ALL SELECT 2, index, leaf, event_id::text, NULL FROM others
    UNION ALL SELECT 3, position, commitment, id::text, time FROM taken JOIN audit_events USING (position)
    ORDER BY part, place
"""

_COLUMNS = "id, record_id, kind, time, salt, body, private_salt, private, commitment"

_EVENTS = f"""
    INSERT INTO audit_events ({_COLUMNS})
    SELECT {_COLUMNS}
    FROM unnest(string_to_array(%s, ',')::uuid[], string_to_array(%s, ',', ''), string_to_array(%s, ','),
                string_to_array(%s, ',')::timestamptz[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bytea[],
                %s::bytea[])
        WITH ORDINALITY AS row ({_COLUMNS}, number)
    ORDER BY number
"""  # noqa: S608 - the inserted text is the constant above

_ENQUEUE = f"""
    WITH appended AS ({_EVENTS} RETURNING position)
    INSERT INTO ledger_queue (position) SELECT position FROM appended, {SYNCHRONOUS_COMMIT}
"""  # noqa: S608 - likewise

_LEAVES = """
    WITH stated AS (INSERT INTO ledger_checkpoints (size, root, time, note) VALUES (%s, %s, %s, %s))
    INSERT INTO ledger_leaves (index, event_id, leaf)
    SELECT %s + row.number - 1, row.event_id, row.leaf
    FROM unnest(string_to_array(%s, ',')::uuid[], %s::bytea[]) WITH ORDINALITY AS row (event_id, leaf, number)
"""

_TILE = "INSERT INTO ledger_tiles (level, index, root, hashes) VALUES (%s, %s, %s, %s)"


def enqueue(driver: Driver, rows: Sequence[EventRow]) -> None:
    """Stores events in the queue, and commits."""
    with driver.pipeline():
        driver.execute(_ENQUEUE, _arrays(rows))
        commit(driver)


def commit(driver: Driver) -> None:
    """Commits at the end of a pipeline, whose exit waits for the outcome and raises what went wrong.

    Not by `driver.commit()`: inside of a pipeline that waits for the answer before all that was queued is sent, which
    for more than the socket's buffer is for ever (psycopg 3.3).
    """
    driver.execute("COMMIT")


def take(
    driver: Driver, *, lock_key: int, lock_timeout_s: float, known_size: int, max_others: int, max_queue: int
) -> Situation:
    """Waits for the lock, then empties the queue and reads what is new in the ledger."""
    driver.execute(_LOCK, [f"{int(lock_timeout_s * 1000)}ms", lock_key])
    newest: tuple[int, bytes, str] | None = None
    others: list[tuple[str, bytes]] = []
    queue: list[Leaf] = []
    for part, place, data, text, time in driver.execute(_SITUATION, [known_size, max_others, max_queue]):
        if part == 1:
            newest = place, data, text
        elif part == 2:
            others.append((text, data))
        else:
            queue.append(Leaf(text, time, data))
    return Situation(newest, others, queue)


def insert_events(driver: Driver, rows: Sequence[EventRow]) -> None:
    """Stores events, without a place in the queue."""
    driver.execute(_EVENTS, _arrays(rows))


def insert_leaves(driver: Driver, batch: Batch, time: datetime) -> None:
    """Stores a batch's leaves and checkpoint; its size is a key, so the database refuses a second root for it."""
    signed = batch.checkpoint
    driver.execute(
        _LEAVES,
        [signed.size, signed.root, time, signed.note, batch.first_index, ",".join(batch.event_ids), list(batch.leaves)],
    )


def insert_tiles(driver: Driver, tiles: Sequence[FullTile]) -> None:
    """Stores tiles that became full."""
    for tile in tiles:
        driver.execute(_TILE, [tile.level, tile.index, tile.root, join_hashes(tile.hashes)])


def _arrays(rows: Sequence[EventRow]) -> list[Any]:
    # Joined text where no value has a comma (ids, kinds, times): the driver takes long over arrays of text.
    return [
        ",".join(row.id for row in rows),
        ",".join(row.record_id or "" for row in rows),
        ",".join(row.kind for row in rows),
        ",".join(row.time.isoformat() for row in rows),
        [row.salt for row in rows],
        [row.body for row in rows],
        [row.private_salt for row in rows],
        [row.private for row in rows],
        [row.commitment for row in rows],
    ]
