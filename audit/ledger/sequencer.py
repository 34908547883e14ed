"""The sequencer: stores events and gives durable events their place in the tree.

Any process may run it; an advisory lock lets one at a time do so. One transaction stores new events, takes those that
wait, and stores leaves, tiles that became full and a signed checkpoint: a process that dies leaves either all of a
batch or nothing, and the events of nothing wait for the next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from sqlalchemy import Connection, Engine

from audit.database import database_errors
from audit.errors import AuditUnavailableError, CheckpointError, LedgerCorruptError, LedgerKeyMismatchError
from audit.ledger import storage, writing
from audit.ledger.checkpoint import Checkpoint, sign, verify
from audit.ledger.keys import LedgerKey
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import EMPTY_ROOT, NodeReader, leaf_hash
from audit.ledger.tiles import TILE_HEIGHT, TILE_WIDTH, FullTile, RightEdge
from audit.ledger.writing import Batch, Driver, EventRow, Situation

LOCK_KEY = 0x494D5052_4C454447  # "IMPRLEDG": one ledger per database
LOCK_TIMEOUT_SECONDS = 30
MAX_BATCH_EVENTS = 1024  # bounds a transaction's memory and time
MAX_CATCH_UP_LEAVES = 256  # up to one tile's worth is read leaf by leaf, more through the tiles


@dataclass(frozen=True)
class Run:
    """What one run of the sequencer did.

    Args:
        batches: what came into the tree since the last run: first, if it is little, what other processes put
            there, then this run's own batch, if there was anything to put.
        more_wait: whether the queue held more than one run takes.
    """

    batches: tuple[Batch, ...]
    more_wait: bool


class Sequencer:
    """Puts events into the tree and signs the outcome.

    Not for several threads at once: the caller sees to that (`audit.committing`).
    """

    def __init__(self, engine: Engine, key: LedgerKey, clock: Callable[[], datetime]) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._key = key
        self._clock = clock
        self._edge = RightEdge()
        self._root = EMPTY_ROOT
        self._is_shared = False  # whether other processes wrote to the log since the last run

    def run(self, rows: Sequence[EventRow] = (), limit: int = MAX_BATCH_EVENTS) -> Run:
        """Stores `rows` and puts them into the tree behind up to `limit` waiting events.

        That is one transaction, unless other processes were seen to write as well: then the rows are committed to the
        queue first, so that whoever has the lock takes the events of all, and one fsync serves all of them.

        Raises:
            AuditBusyError: the lock was not had in 30 seconds; the rows may wait in the queue.
            AuditUnavailableError, StorageFullError: as the database says.
            LedgerKeyMismatchError: the stored ledger was signed by another key.
            LedgerCorruptError: the stored tree does not give its newest checkpoint's root.
        """
        batches: list[Batch] = []
        enqueued, direct = (rows, ()) if self._is_shared else ((), rows)
        with database_errors("record events"), self._engine.connect() as connection:
            driver = _driver(connection)
            if enqueued:
                writing.enqueue(driver, enqueued)
            with driver.pipeline():
                situation = writing.take(
                    driver,
                    lock_key=LOCK_KEY,
                    lock_timeout_s=LOCK_TIMEOUT_SECONDS,
                    known_size=self._edge.size,
                    max_others=MAX_CATCH_UP_LEAVES,
                    max_queue=limit,
                )
            edge = self._edge.copy()
            newest = self._newest(situation)
            if newest is not None and (edge.size, self._root) != (newest.size, newest.root):
                others = _catch_up(edge, newest, situation)
                if others is None:
                    edge = _read_edge(connection, newest)
                else:
                    batches.append(others)
            elif newest is None and edge.size:
                edge = RightEdge()
            leaves = [*situation.queue, *(row.leaf() for row in direct)]
            if leaves:
                with driver.pipeline():
                    batches.append(self._extend(driver, edge, leaves, direct))
        self._edge, self._root = edge, edge.root()
        self._is_shared = bool(situation.others)
        return Run(tuple(batches), len(situation.queue) == limit)

    def sign_empty(self) -> Checkpoint:
        """Checkpoint of a ledger without leaves. It is not stored: the tree's first batch is."""
        return sign(0, EMPTY_ROOT, self._key)

    def _newest(self, situation: Situation) -> Checkpoint | None:
        if situation.newest is None:
            return None
        size, root, note = situation.newest
        if (size, root) == (self._edge.size, self._root):
            return Checkpoint(self._key.origin, size, root, note)  # as it was when it was verified or signed
        try:
            signed = verify(note, self._key.public)
        except CheckpointError as error:
            raise LedgerKeyMismatchError(
                f"the ledger's newest checkpoint (size {size}) is not signed by the configured key "
                f"{self._key.public}: {error}"
            ) from error
        if (signed.size, signed.root) != (size, root):
            raise LedgerCorruptError(f"checkpoint {size}: its row differs from its note; run the log check")
        return signed

    def _extend(self, driver: Driver, edge: RightEdge, added: Sequence[Leaf], rows: Sequence[EventRow]) -> Batch:
        first_index = edge.size
        leaves = tuple(leaf.encode() for leaf in added)
        event_ids = tuple(leaf.id for leaf in added)
        filled = [tile for leaf in leaves for tile in edge.append(leaf_hash(leaf))]
        checkpoint = sign(edge.size, edge.root(), self._key)
        batch = Batch(first_index, leaves, event_ids, checkpoint, _batch_reader(edge.copy(), filled))
        if rows:
            writing.insert_events(driver, rows)
        writing.insert_leaves(driver, batch, self._clock())
        writing.insert_tiles(driver, filled)
        writing.commit(driver)
        return batch


def _driver(connection: Connection) -> Driver:
    """The driver's own connection; what was not committed on it the pool rolls back."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        raise AuditUnavailableError("the connection to the database was lost; try again")
    return driver


def _catch_up(edge: RightEdge, newest: Checkpoint, situation: Situation) -> Batch | None:
    """Extends `edge` by what other processes put into the tree; None if that is much or does not fit."""
    if newest.size - edge.size != len(situation.others):
        return None
    first_index = edge.size
    leaves = tuple(leaf for _, leaf in situation.others)
    filled = [tile for leaf in leaves for tile in edge.append(leaf_hash(leaf))]
    if (edge.size, edge.root()) != (newest.size, newest.root):
        return None
    event_ids = tuple(id for id, _ in situation.others)
    return Batch(first_index, leaves, event_ids, newest, _batch_reader(edge.copy(), filled))


def _read_edge(connection: Connection, newest: Checkpoint) -> RightEdge:
    edge = storage.read_right_edge(connection, newest.size)
    if edge.root() != newest.root:
        raise LedgerCorruptError(
            f"the stored tree of {newest.size} leaves has root {edge.root().hex()}, its checkpoint states "
            f"{newest.root.hex()}; nothing more is signed, run the log check"
        )
    return edge


def _batch_reader(edge: RightEdge, filled: Sequence[FullTile]) -> NodeReader:
    """Reader of the nodes at the right edge and in the tiles that just left it: all that the batch's proofs need."""
    full = {(tile.level, tile.index): tile.nodes for tile in filled}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index, TILE_WIDTH >> height)
        nodes = full.get((tile_level, tile_index))
        return edge.node(level, index) if nodes is None else nodes[height][offset]

    return read
