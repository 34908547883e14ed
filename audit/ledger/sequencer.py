"""The sequencer: gives durable events their place in the tree.

Any process may run it; an advisory lock lets one at a time do so. One transaction takes the waiting events,
stores their leaves, tiles that became full and a signed checkpoint: a process that dies leaves either all of a
batch or nothing, and the events of nothing wait for the next batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, Engine, text

from audit.database import database_errors
from audit.errors import CheckpointError, LedgerCorruptError, LedgerKeyMismatchError
from audit.ledger import storage
from audit.ledger.checkpoint import Checkpoint, sign, verify
from audit.ledger.keys import LedgerKey
from audit.ledger.leaf import Leaf
from audit.ledger.merkle import EMPTY_ROOT, NodeReader, inclusion_proof, leaf_hash
from audit.ledger.tiles import FullTile, RightEdge, node_reader

LOCK_KEY = 0x494D5052_4C454447  # "IMPRLEDG": one ledger per database
LOCK_TIMEOUT_SECONDS = 30
MAX_BATCH_EVENTS = 1024  # bounds a transaction's memory and time
MAX_CATCH_UP_LEAVES = 256  # up to one tile's worth is read leaf by leaf, more through the tiles

# Synchronous commit is what "durable" rests on; a database that turned it off is overruled, one that asks for
# more (remote_apply) is left alone.
SYNCHRONOUS_COMMIT = """set_config('synchronous_commit', CASE current_setting('synchronous_commit')
    WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, true)"""

# A target list is evaluated from left to right: the wait for the lock is already bounded.
_LOCK = text(f"SELECT set_config('lock_timeout', :timeout, true), {SYNCHRONOUS_COMMIT}, pg_advisory_xact_lock(:key)")


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


class Sequencer:
    """Puts waiting events into the tree and signs the outcome.

    Not for several threads at once: the caller holds a lock (`AuditLog` does).
    """

    def __init__(self, engine: Engine, key: LedgerKey, clock: Callable[[], datetime]) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._key = key
        self._clock = clock
        self._edge = RightEdge()
        self._root = EMPTY_ROOT

    def run(self, limit: int = MAX_BATCH_EVENTS) -> list[Batch]:
        """Sequences up to `limit` waiting events in one transaction.

        Gives what came into the tree since the last run: first, if it is little, what other processes put there,
        then this run's own batch, if anything waited.

        Raises:
            AuditBusyError: the lock was not had in 30 seconds.
            AuditUnavailableError, StorageFullError: as the database says.
            LedgerKeyMismatchError: the stored ledger was signed by another key.
            LedgerCorruptError: the stored tree does not give its newest checkpoint's root.
        """
        batches: list[Batch] = []
        with database_errors("sequence events"), self._engine.begin() as connection:
            # A statement of its own: the next one's snapshot must be younger than the lock.
            connection.execute(_LOCK, {"timeout": f"{LOCK_TIMEOUT_SECONDS}s", "key": LOCK_KEY})
            edge = self._edge.copy()
            newest = self._newest(connection)
            if newest is not None and (edge.size, self._root) != (newest.size, newest.root):
                others = self._catch_up(connection, edge, newest)
                if others is None:
                    edge = _read_edge(connection, newest)
                else:
                    batches.append(others)
            elif newest is None and edge.size:
                edge = RightEdge()
            waiting = storage.take_queue(connection, limit)
            if waiting:
                batches.append(self._extend(connection, edge, waiting))
        self._edge, self._root = edge, edge.root()
        return batches

    def sign_empty(self) -> Checkpoint:
        """Checkpoint of a ledger without leaves. It is not stored: the tree's first batch is."""
        return sign(0, EMPTY_ROOT, self._key)

    def _newest(self, connection: Connection) -> Checkpoint | None:
        newest = storage.newest_checkpoint(connection)
        if newest is None:
            return None
        size, root, note = newest
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

    def _catch_up(self, connection: Connection, edge: RightEdge, newest: Checkpoint) -> Batch | None:
        """Extends `edge` by what other processes put into the tree; None if that is much or does not fit."""
        if not 0 < newest.size - edge.size <= MAX_CATCH_UP_LEAVES:
            return None
        first_index = edge.size
        rows = storage.read_rows(connection, first_index, newest.size)
        leaves = tuple(leaf for _, leaf in rows)
        filled = [tile for leaf in leaves for tile in edge.append(leaf_hash(leaf))]
        if (edge.size, edge.root()) != (newest.size, newest.root):
            return None
        return Batch(first_index, leaves, tuple(id for id, _ in rows), newest, _batch_reader(edge.copy(), filled))

    def _extend(self, connection: Connection, edge: RightEdge, waiting: Sequence[Leaf]) -> Batch:
        first_index = edge.size
        leaves = tuple(leaf.encode() for leaf in waiting)
        event_ids = tuple(leaf.id for leaf in waiting)
        filled = [tile for leaf in leaves for tile in edge.append(leaf_hash(leaf))]
        read = _batch_reader(edge.copy(), filled)
        checkpoint = sign(edge.size, edge.root(), self._key)
        storage.insert_leaves(connection, first_index, event_ids, leaves)
        storage.insert_tiles(connection, filled)
        storage.insert_checkpoint(connection, checkpoint, self._clock())
        return Batch(first_index, leaves, event_ids, checkpoint, read)


def _read_edge(connection: Connection, newest: Checkpoint) -> RightEdge:
    edge = storage.read_right_edge(connection, newest.size)
    if edge.root() != newest.root:
        raise LedgerCorruptError(
            f"the stored tree of {newest.size} leaves has root {edge.root().hex()}, its checkpoint states "
            f"{newest.root.hex()}; nothing more is signed, run the log check"
        )
    return edge


def _batch_reader(edge: RightEdge, filled: Sequence[FullTile]) -> NodeReader:
    """Reader over the tiles at the right edge and those that just left it: all that the batch's proofs need."""
    full = {(tile.level, tile.index): tile.hashes for tile in filled}

    def read_tile(level: int, index: int) -> Sequence[bytes]:
        return full[level, index] if (level, index) in full else edge.read_tile(level, index)

    return node_reader(read_tile)
