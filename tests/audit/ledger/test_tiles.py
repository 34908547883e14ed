from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.errors import LedgerError
from audit.ledger.merkle import inclusion_proof, leaf_hash, memory_reader, root, subtree_root
from audit.ledger.tiles import (
    TILE_WIDTH,
    RightEdge,
    entry_bundle,
    join_hashes,
    node_reader,
    parse_tile_path,
    split_hashes,
    tile_path,
    tile_width,
)

HASHES = [leaf_hash(b"%d" % number) for number in range(66_000)]
LEVEL_1 = [subtree_root(HASHES[start : start + 256]) for start in range(0, 65_792, 256)]
LEVEL_2 = [subtree_root(LEVEL_1[:256])]
MEMORY = memory_reader(HASHES)

sizes = st.integers(1, 1100) | st.integers(65_500, 66_000)


def read_tile_at(size: int, level: int, index: int) -> Sequence[bytes]:
    start = index * TILE_WIDTH
    return [HASHES, LEVEL_1, LEVEL_2][level][start : start + tile_width(level, index, size)]


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_proofs_from_tiles_equal_proofs_from_memory(size: int, data: st.DataObject) -> None:
    read = node_reader(lambda level, index: read_tile_at(size, level, index))
    index = data.draw(st.integers(0, size - 1))
    assert root(size, read) == root(size, MEMORY)
    assert inclusion_proof(index, size, read) == inclusion_proof(index, size, MEMORY)


def test_an_edge_that_grows_has_the_right_root_and_tiles_all_along() -> None:
    edge = RightEdge()
    for size, leaf in enumerate(HASHES, 1):
        filled = edge.append(leaf)
        if size % 256 == 0:
            number = size // 256 - 1
            assert (filled[0].level, filled[0].index) == (0, number)
            assert list(filled[0].hashes) == HASHES[size - 256 : size]
            assert filled[0].root == LEVEL_1[number]
        assert len(filled) == (2 if size == 65_536 else 1 if size % 256 == 0 else 0)
        if size < 1100 or size > 65_500 or size % 997 == 0:
            assert edge.root() == root(size, MEMORY)
            assert edge.size == size


@settings(max_examples=40, deadline=None)
@given(sizes, st.integers(1, 400))
def test_an_edge_taken_up_from_partial_tiles_goes_on_as_the_first_would(size: int, more: int) -> None:
    more = min(more, len(HASHES) - size)
    levels = []
    for level in range(3):
        nodes = size >> (8 * level)
        levels.append(read_tile_at(size, level, nodes // 256) if nodes else [])
    edge = RightEdge(levels)
    assert (edge.size, edge.root()) == (size, root(size, MEMORY))
    twin = edge.copy()
    for leaf in HASHES[size : size + more]:
        edge.append(leaf)
    assert edge.root() == root(size + more, MEMORY)
    assert twin.root() == root(size, MEMORY)


def test_widths_are_those_of_the_specifications_example() -> None:
    size = 70_000
    assert [tile_width(0, index, size) for index in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tile_width(1, index, size) for index in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(2, index, size) for index in (0, 1)] == [1, 0]


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (1, 1234067, 256, "tile/1/x001/x234/067"),
        (0, 273, 112, "tile/0/273.p/112"),
        ("entries", 1000, 1, "tile/entries/x001/000.p/1"),
    ],
)
def test_paths_are_those_of_the_specification(level: int | str, index: int, width: int, path: str) -> None:
    assert tile_path(level, index, width) == path
    assert parse_tile_path(path) == (None if level == "entries" else level, index, width)


@given(st.integers(0, 63), st.integers(0, 10**18), st.integers(1, 256))
def test_every_path_reads_back(level: int, index: int, width: int) -> None:
    assert parse_tile_path(tile_path(level, index, width)) == (level, index, width)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/00/000",
        "tile/64/000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000/",
        "tile/-1/000",
        "../tile/0/000",
        "tile/0/٠٠٠",
        "tile/0/000\n",
    ],
)
def test_other_paths_are_refused(path: str) -> None:
    with pytest.raises(LedgerError):
        parse_tile_path(path)


def test_bundles_have_each_leaf_after_its_length() -> None:
    assert entry_bundle([b"", b"ab", b"x" * 300]) == b"\0\0" + b"\0\x02ab" + b"\x01\x2c" + b"x" * 300


def test_stored_tiles_read_back_and_odd_lengths_are_refused() -> None:
    assert list(split_hashes(join_hashes(HASHES[:256]))) == HASHES[:256]
    with pytest.raises(LedgerError):
        split_hashes(b"x" * 33)


def test_a_tile_that_is_too_short_is_named() -> None:
    read = node_reader(lambda level, index: HASHES[:3])
    with pytest.raises(LedgerError, match="tile/0/000 has 3 hashes"):
        read(0, 7)


@settings(max_examples=60, deadline=None)
@given(sizes, st.data())
def test_an_edge_gives_the_nodes_below_its_partial_tiles_and_no_others(size: int, data: st.DataObject) -> None:
    tiles = [read_tile_at(size, level, (size >> 8 * level) // 256) for level in range(3)]
    edge = RightEdge([tile[: len(tile) % 256] for tile in tiles])
    level = data.draw(st.integers(0, size.bit_length() - 1))
    newest = (size >> level) - 1
    height = level % 8
    is_at_the_edge = (newest << height) // 256 == (size >> 8 * (level // 8)) // 256
    if is_at_the_edge:
        assert edge.node(level, newest) == MEMORY(level, newest)
    for beyond in (-1, newest + 1):
        with pytest.raises(LedgerError, match="not at the right edge"):
            edge.node(level, beyond)


def test_a_full_tile_is_no_partial_one() -> None:
    with pytest.raises(ValueError, match="fewer than 256"):
        RightEdge([HASHES[:256]])
