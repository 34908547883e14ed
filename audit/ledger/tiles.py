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
    """A tile of 256 hashes, and the nodes above them: `nodes[h]` has the 256 >> h nodes of height h."""

    level: int
    index: int
    nodes: Sequence[Sequence[bytes]]

    @property
    def hashes(self) -> Sequence[bytes]:
        """The tile as it is stored."""
        return self.nodes[0]

    @property
    def root(self) -> bytes:
        """Root over the tile: a hash of the tile above."""
        return self.nodes[TILE_HEIGHT][0]


def tile_width(level: int, index: int, size: int) -> int:
    """Hashes that the tile has in a tree of `size` leaves: 0 (no such tile) to 256."""
    complete_nodes = size >> (TILE_HEIGHT * level)
    return max(0, min(TILE_WIDTH, complete_nodes - index * TILE_WIDTH))


def node_reader(read_tile: TileReader) -> NodeReader:
    """Reader of nodes over a reader of tiles; remembers tiles, so make one per tree size."""
    tiles: dict[tuple[int, int], Sequence[bytes]] = {}

    def read(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        tile_index, offset = divmod(index << height, TILE_WIDTH)
        name = tile_level, tile_index
        if name not in tiles:
            tiles[name] = read_tile(tile_level, tile_index)
        hashes = tiles[name][offset : offset + (1 << height)]
        if len(hashes) != 1 << height:
            raise LedgerError(
                f"tile {tile_path(tile_level, tile_index, TILE_WIDTH)} has {len(tiles[name])} hashes, "
                f"hash {offset + (1 << height) - 1} is needed; run the log check"
            )
        return subtree_root(hashes)

    return read


class RightEdge:
    """The partial tiles of a growing tree: all that is needed to append to it, compute its root and prove in it."""

    def __init__(self, partial_tiles: Sequence[Sequence[bytes]] = ()) -> None:
        """Takes the partial tile of each level, from level 0 upwards; empty for the empty tree."""
        if any(len(tile) >= TILE_WIDTH for tile in partial_tiles):
            raise ValueError(f"a partial tile has fewer than {TILE_WIDTH} hashes")
        self._size = sum(len(tile) << (TILE_HEIGHT * level) for level, tile in enumerate(partial_tiles))
        # [tile level][height within the tile]: the complete nodes of that height so far.
        self._levels = [_empty_tile() for _ in partial_tiles]
        for nodes, tile in zip(self._levels, partial_tiles, strict=True):
            for entry in tile:
                _add(nodes, entry)

    @property
    def size(self) -> int:
        """Leaves in the tree."""
        return self._size

    def append(self, leaf: bytes) -> list[FullTile]:
        """Adds a leaf hash; gives the tiles that it filled, lowest first."""
        filled: list[FullTile] = []
        carry, level, position = leaf, 0, self._size
        self._size += 1
        while True:
            if level == len(self._levels):
                self._levels.append(_empty_tile())
            nodes = self._levels[level]
            _add(nodes, carry)
            if not nodes[TILE_HEIGHT]:
                return filled
            position >>= TILE_HEIGHT
            carry = nodes[TILE_HEIGHT][0]
            filled.append(FullTile(level, position, nodes))
            self._levels[level] = _empty_tile()
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """A complete node below a partial tile, by (level, index) as `merkle.NodeReader`.

        Raises:
            LedgerError: the node does not lie at the right edge.
        """
        tile_level, height = divmod(level, TILE_HEIGHT)
        first = (self._size >> (TILE_HEIGHT * (tile_level + 1))) << (TILE_HEIGHT - height)
        nodes = self._levels[tile_level][height] if tile_level < len(self._levels) else []
        if not 0 <= index - first < len(nodes):
            raise LedgerError(f"node {level}/{index} is not at the right edge of {self._size} leaves")
        return nodes[index - first]

    def root(self) -> bytes:
        """Root of the tree (RFC 6962): its complete subtrees, one per 1 in the size's binary, joined from the right."""
        running: bytes | None = None
        for nodes in self._levels:
            for height in range(TILE_HEIGHT):
                if len(nodes[height]) & 1:
                    peak = nodes[height][-1]
                    running = peak if running is None else node_hash(peak, running)
        return EMPTY_ROOT if running is None else running

    def copy(self) -> RightEdge:
        """An edge that grows on its own."""
        twin = RightEdge()
        twin._levels = [[list(nodes) for nodes in tile] for tile in self._levels]
        twin._size = self._size
        return twin


def _empty_tile() -> list[list[bytes]]:
    return [[] for _ in range(TILE_HEIGHT + 1)]


def _add(nodes: list[list[bytes]], entry: bytes) -> None:
    """Adds a hash to a tile, and the nodes that it completes."""
    row = nodes[0]
    row.append(entry)
    height = 0
    while not len(row) & 1 and height < TILE_HEIGHT:
        above = node_hash(row[-2], row[-1])
        height += 1
        row = nodes[height]
        row.append(above)


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
