"""Tiles: the tree in pieces of 256 hashes (C2SP tlog-tiles).

The tile (level, index) holds the nodes (8 · level, 256 · index + i) for i from 0 to 255. A partial tile holds a
prefix of that. Nodes between the tiles' levels are hashed from the tile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from audit.errors import LedgerError
from audit.ledger.merkle import EMPTY_ROOT, HASH_BYTES, NodeReader, leaf_hash, node_hash, subtree_root

TILE_WIDTH = 256
TILE_HEIGHT = 8
MAX_LEVEL = 63

TileReader: TypeAlias = Callable[[int, int], Sequence[bytes]]
"""(level, index) → the hashes of the tile, as many as the tree's size gives."""


@dataclass(frozen=True)
class FullTile:
    """A tile of 256 hashes and the root over them."""

    level: int
    index: int
    hashes: tuple[bytes, ...]
    root: bytes


def tile_width(level: int, index: int, size: int) -> int:
    """Hashes that the tile has in a tree of `size` leaves: 0 (no such tile) to 256."""
    complete_nodes = size >> (TILE_HEIGHT * level)
    return max(0, min(TILE_WIDTH, complete_nodes - index * TILE_WIDTH))


def node_reader(read_tile: TileReader) -> NodeReader:
    """Reader of nodes over a reader of tiles; remembers tiles and nodes, so make one per tree size."""
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}
    nodes: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        if height:
            if (level, index) not in nodes:
                nodes[level, index] = node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))
            return nodes[level, index]
        tile_index, offset = divmod(index, TILE_WIDTH)
        name = tile_level, tile_index
        if name not in tiles:
            tiles[name] = read_tile(tile_level, tile_index)
        if offset >= len(tiles[name]):
            raise LedgerError(
                f"tile {tile_path(tile_level, tile_index, TILE_WIDTH)} has {len(tiles[name])} hashes, "
                f"hash {offset} is needed; run the log check"
            )
        return tiles[name][offset]

    return read


class RightEdge:
    """The partial tiles of a growing tree: all that is needed to append to it and to compute its root."""

    def __init__(self, partial_tiles: Sequence[Sequence[bytes]] = ()) -> None:
        """Takes the partial tile of each level, from level 0 upwards; empty for the empty tree."""
        if any(len(tile) >= TILE_WIDTH for tile in partial_tiles):
            raise ValueError(f"a partial tile has fewer than {TILE_WIDTH} hashes")
        self._levels = [list(tile) for tile in partial_tiles]
        self._size = sum(len(tile) << (TILE_HEIGHT * level) for level, tile in enumerate(partial_tiles))
        # Roots of the complete subtrees that the tree falls into, largest first: one per 1 in the size's binary.
        self._peaks = [peak for tile in reversed(self._levels) for peak in _peaks(tile)]

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._size

    def append(self, leaf: bytes) -> list[FullTile]:
        """Adds a leaf hash; gives the tiles that it filled, lowest first."""
        filled: list[FullTile] = []
        carry, level, position = leaf, 0, self._size
        self._peaks.append(leaf)
        ones = position
        while ones & 1:
            right = self._peaks.pop()
            self._peaks[-1] = node_hash(self._peaks[-1], right)
            ones >>= 1
        self._size += 1
        while True:
            if level == len(self._levels):
                self._levels.append([])
            tile = self._levels[level]
            tile.append(carry)
            if len(tile) < TILE_WIDTH:
                return filled
            position >>= TILE_HEIGHT
            carry = subtree_root(tile)
            filled.append(FullTile(level, position, tuple(tile), carry))
            tile.clear()
            level += 1

    def read_tile(self, level: int, index: int) -> Sequence[bytes]:
        """The partial tile (level, index).

        Raises:
            LedgerError: that tile is not at the right edge.
        """
        if level >= len(self._levels) or index != self._size >> (TILE_HEIGHT * (level + 1)):
            raise LedgerError(f"tile {level}/{index} is not at the right edge of {self._size} leaves")
        return tuple(self._levels[level])

    def root(self) -> bytes:
        """Root of the tree (RFC 6962)."""
        if not self._peaks:
            return EMPTY_ROOT
        running = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            running = node_hash(peak, running)
        return running

    def copy(self) -> RightEdge:
        """An edge that grows on its own."""
        twin = RightEdge()
        twin._levels = [list(tile) for tile in self._levels]
        twin._size, twin._peaks = self._size, list(self._peaks)
        return twin


def _peaks(tile: Sequence[bytes]) -> list[bytes]:
    """Roots of the complete subtrees over a partial tile, largest first."""
    peaks, start = [], 0
    for height in reversed(range(TILE_HEIGHT)):
        if len(tile) & (1 << height):
            peaks.append(subtree_root(tile[start : start + (1 << height)]))
            start += 1 << height
    return peaks


def join_hashes(hashes: Sequence[bytes]) -> bytes:
    """A tile as it is stored and served."""
    return b"".join(hashes)


def split_hashes(data: bytes) -> tuple[bytes, ...]:
    """The hashes of a stored tile.

    Raises:
        LedgerError: the length is no multiple of 32.
    """
    if len(data) % HASH_BYTES:
        raise LedgerError(f"a tile has {len(data)} bytes; expected a multiple of {HASH_BYTES}")
    return tuple(data[start : start + HASH_BYTES] for start in range(0, len(data), HASH_BYTES))


def tile_path(level: int | str, index: int, width: int) -> str:
    """Path below the log's prefix, `tile/0/x001/234.p/56`; level `entries` for entry bundles."""
    name = f"{index % 1000:03d}"
    rest = index // 1000
    while rest:
        name = f"x{rest % 1000:03d}/{name}"
        rest //= 1000
    return f"tile/{level}/{name}" + ("" if width == TILE_WIDTH else f".p/{width}")


_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def parse_tile_path(path: str) -> tuple[int | None, int, int]:
    """(level, index, width) of a tile's path; level None for entry bundles.

    Raises:
        LedgerError: the path is not in the one form that the specification allows.
    """
    match = _PATH.fullmatch(path)
    if match is not None:
        level = None if match[1] == "entries" else int(match[1])
        index = int(match[2].replace("/", "").replace("x", ""))
        width = int(match[3]) if match[3] else TILE_WIDTH
        is_width_given_once = not (match[3] and width >= TILE_WIDTH)
        name = "entries" if level is None else level
        if is_width_given_once and (level or 0) <= MAX_LEVEL and tile_path(name, index, width) == path:
            return level, index, width
    raise LedgerError(f"{path[:100]!r} is no tile path; expected tile/<level>/<index>[.p/<width>]")


def entry_bundle(leaves: Sequence[bytes]) -> bytes:
    """Leaves, each after its length as big-endian uint16 (C2SP tlog-tiles, log entries)."""
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def hash_leaves(leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """Leaf hashes, the content of a level 0 tile."""
    return tuple(leaf_hash(leaf) for leaf in leaves)
