"""Reads the ledger's rows: leaves, full tiles and checkpoints.

Functions take the connection of a transaction that their caller opened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection, select, tuple_

from audit.errors import LedgerCorruptError, UnknownEventError
from audit.ledger.merkle import HASH_BYTES, NodeReader
from audit.ledger.tiles import (
    TILE_HEIGHT,
    TILE_WIDTH,
    RightEdge,
    hash_leaves,
    node_reader,
    split_hashes,
    tile_width,
)
from audit.tables import ledger_checkpoints, ledger_leaves, ledger_tiles

_Result = TypeVar("_Result")


def newest_checkpoint(connection: Connection) -> tuple[int, bytes, str] | None:
    """(size, root, note) of the newest checkpoint."""
    row = connection.execute(
        select(ledger_checkpoints.c.size, ledger_checkpoints.c.root, ledger_checkpoints.c.note)
        .order_by(ledger_checkpoints.c.size.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else (int(row[0]), bytes(row[1]), str(row[2]))


def read_leaf(connection: Connection, index: int) -> bytes:
    """Bytes of the leaf at `index`.

    Raises:
        UnknownEventError: the ledger has no such leaf.
    """
    leaf = connection.scalar(select(ledger_leaves.c.leaf).where(ledger_leaves.c.index == index))
    if leaf is None:
        raise UnknownEventError(f"the ledger has no leaf {index}")
    return bytes(leaf)


def read_leaves(connection: Connection, start: int, end: int) -> list[bytes]:
    """Leaves with indices from `start` up to, but without, `end`; fewer if the ledger is shorter."""
    rows = connection.execute(
        select(ledger_leaves.c.leaf)
        .where(ledger_leaves.c.index >= start, ledger_leaves.c.index < end)
        .order_by(ledger_leaves.c.index)
    )
    return [bytes(row[0]) for row in rows]


def find_leaf(connection: Connection, event_id: str) -> tuple[int, bytes] | None:
    """(index, leaf) of an event; None while it is not sequenced."""
    row = connection.execute(
        select(ledger_leaves.c.index, ledger_leaves.c.leaf).where(ledger_leaves.c.event_id == event_id)
    ).one_or_none()
    return None if row is None else (int(row[0]), bytes(row[1]))


def read_tile(connection: Connection, level: int, index: int, width: int) -> tuple[bytes, ...]:
    """The first `width` hashes of a tile; a partial one comes from the leaves or from the roots below.

    Raises:
        LedgerCorruptError: the rows that should give them are not all there.
    """
    full = None
    if width == TILE_WIDTH:
        full = connection.scalar(
            select(ledger_tiles.c.hashes).where(ledger_tiles.c.level == level, ledger_tiles.c.index == index)
        )
    if full is not None:
        hashes = split_hashes(bytes(full))
    else:
        start = index * TILE_WIDTH
        hashes = (
            hash_leaves(read_leaves(connection, start, start + width))
            if level == 0
            else _tile_roots(connection, level - 1, start, start + width)
        )
    if len(hashes) != width:
        raise LedgerCorruptError(
            f"tile {level}/{index} has {len(hashes)} of {width} hashes: rows of the ledger are missing; "
            "run the log check"
        )
    return hashes


def read_nodes(connection: Connection, size: int) -> NodeReader:
    """Reader of the nodes of the tree of the first `size` leaves; reads tile by tile."""
    return node_reader(lambda level, index: read_tile(connection, level, index, tile_width(level, index, size)))


def with_nodes(connection: Connection, size: int, compute: Callable[[NodeReader], _Result]) -> _Result:
    """What `compute` makes of the nodes of the tree of the first `size` leaves, which are read in few statements.

    `compute` is called twice: to learn which nodes it reads, which must not depend on their content, and to use them.

    Raises:
        LedgerCorruptError: the rows that should give them are not all there.
    """
    wanted: set[tuple[int, int]] = set()

    def note(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        wanted.add((tile_level, (index << height) // TILE_WIDTH))
        return bytes(HASH_BYTES)

    compute(note)
    tiles = _read_tiles(connection, size, wanted)
    return compute(node_reader(lambda level, index: tiles[level, index]))


def _read_tiles(
    connection: Connection, size: int, wanted: set[tuple[int, int]]
) -> dict[tuple[int, int], Sequence[bytes]]:
    widths = {name: tile_width(*name, size) for name in wanted}
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}
    full = [name for name, width in widths.items() if width == TILE_WIDTH]
    if full:
        name = tuple_(ledger_tiles.c.level, ledger_tiles.c.index)
        rows = connection.execute(
            select(ledger_tiles.c.level, ledger_tiles.c.index, ledger_tiles.c.hashes).where(name.in_(full))
        )
        tiles = {(level, index): split_hashes(bytes(hashes)) for level, index, hashes in rows}
    for (level, index), width in widths.items():
        if (level, index) not in tiles:  # partial, or missing: then `read_tile` says so
            tiles[level, index] = read_tile(connection, level, index, width)
    return tiles


def read_right_edge(connection: Connection, size: int) -> RightEdge:
    """The partial tiles of the tree of the first `size` leaves."""
    partial_tiles = []
    level, nodes = 0, size
    while nodes:
        width = nodes % TILE_WIDTH
        tile = read_tile(connection, level, nodes // TILE_WIDTH, width) if width else ()
        partial_tiles.append(tile)
        level, nodes = level + 1, nodes >> TILE_HEIGHT
    return RightEdge(partial_tiles)


def _tile_roots(connection: Connection, level: int, start: int, end: int) -> tuple[bytes, ...]:
    rows = connection.execute(
        select(ledger_tiles.c.root)
        .where(ledger_tiles.c.level == level, ledger_tiles.c.index >= start, ledger_tiles.c.index < end)
        .order_by(ledger_tiles.c.index)
    )
    return tuple(bytes(row[0]) for row in rows)
