"""RFC 6962 Merkle trees as pure functions.

A *node* is named by (level, index): the hash of the complete subtree over leaves
[index · 2^level, (index + 1) · 2^level). Functions that build take a `NodeReader`, which gives the hash of any
complete node, so they work over a list in memory as over tiles in a database and read O(log n) nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import TypeAlias

from audit.errors import ProofError

HASH_BYTES = 32
MAX_PROOF_HASHES = 63  # a tree of 2^63 leaves

NodeReader: TypeAlias = Callable[[int, int], bytes]
"""(level, index) → hash of the complete subtree."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """SHA-256(0x00 ‖ leaf) (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right) (RFC 6962 section 2.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Root over 2^k hashes.

    Raises:
        ValueError: their number is no power of two.
    """
    if not hashes or len(hashes) & (len(hashes) - 1):
        raise ValueError(f"{len(hashes)} hashes form no complete subtree; expected a power of two")
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[i], level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


def memory_reader(leaf_hashes: Sequence[bytes]) -> NodeReader:
    """Reader over leaf hashes in memory, which remembers what it computed."""
    known: dict[tuple[int, int], bytes] = {}

    def read(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_hashes[index]
        if (level, index) not in known:
            known[level, index] = node_hash(read(level - 1, 2 * index), read(level - 1, 2 * index + 1))
        return known[level, index]

    return read


def root(size: int, read: NodeReader) -> bytes:
    """MTH(D[0:size]) (RFC 6962 section 2.1)."""
    if size < 0:
        raise ValueError(f"tree size {size} is negative")
    return EMPTY_ROOT if size == 0 else _range_hash(0, size, read)


def inclusion_proof(index: int, size: int, read: NodeReader) -> tuple[bytes, ...]:
    """PATH(index, D[0:size]), from the leaf's sibling upwards (RFC 6962 section 2.1.1).

    Raises:
        ProofError: the tree of `size` leaves has no leaf `index`.
    """
    if not 0 <= index < size:
        raise ProofError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_hash(middle, end, read))
            end = middle
        else:
            path.append(_range_hash(start, middle, read))
            start = middle
    path.reverse()
    return tuple(path)


def consistency_proof(old_size: int, new_size: int, read: NodeReader) -> tuple[bytes, ...]:
    """PROOF(old_size, D[0:new_size]) (RFC 6962 section 2.1.2); empty from size 0 or to the same size.

    Raises:
        ProofError: `old_size` is negative or larger than `new_size`.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"no tree of {new_size} leaves extends one of {old_size}")
    if old_size in (0, new_size):
        return ()
    path: list[bytes] = []
    start, end = 0, new_size
    old_is_complete_here = True
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_hash(middle, end, read))
            end = middle
        else:
            path.append(_range_hash(start, middle, read))
            start = middle
            old_is_complete_here = False
    if not old_is_complete_here:
        path.append(_range_hash(start, end, read))
    path.reverse()
    return tuple(path)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Checks that the leaf hash `leaf` is at `index` in the tree (RFC 9162 section 2.1.3.2).

    Raises:
        ProofError: it is not, or the proof is malformed.
    """
    if not 0 <= index < size:
        raise ProofError(f"leaf {index} lies outside a tree of {size} leaves")
    _require_hashes([leaf, expected_root, *proof])
    position, last, running = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofError("the inclusion proof has too many hashes")
        if position & 1 or position == last:
            running = node_hash(sibling, running)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            running = node_hash(running, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the inclusion proof has too few hashes")
    if running != expected_root:
        raise ProofError(
            f"the inclusion proof leads to root {running.hex()}, the checkpoint states {expected_root.hex()}"
        )


def verify_consistency(old_size: int, new_size: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Checks that the new tree extends the old one (RFC 9162 section 2.1.4.2).

    From size 0 every tree extends, by an empty proof.

    Raises:
        ProofError: it does not, or the proof is malformed.
    """
    if not 0 <= old_size <= new_size:
        raise ProofError(f"no tree of {new_size} leaves extends one of {old_size}")
    if old_size in (0, new_size):
        if proof:
            raise ProofError("the consistency proof has hashes where none are expected")
        if old_size == new_size and old_root != new_root:
            raise ProofError(f"two roots for size {new_size}: {old_root.hex()} and {new_root.hex()}")
        return
    _require_hashes([old_root, new_root, *proof])
    path = list(proof) if old_size & (old_size - 1) else [old_root, *proof]
    if not path:
        raise ProofError("the consistency proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old_running = new_running = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofError("the consistency proof has too many hashes")
        if position & 1 or position == last:
            old_running = node_hash(sibling, old_running)
            new_running = node_hash(sibling, new_running)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new_running = node_hash(new_running, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise ProofError("the consistency proof has too few hashes")
    if old_running != old_root:
        raise ProofError(f"the consistency proof does not lead to the old root {old_root.hex()}")
    if new_running != new_root:
        raise ProofError(f"the consistency proof does not lead to the new root {new_root.hex()}")


def _split(size: int) -> int:
    """Largest power of two smaller than `size` (RFC 6962's k)."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(start: int, end: int, read: NodeReader) -> bytes:
    """MTH(D[start:end]), where `start` is a multiple of the range's size rounded up to a power of two."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return read(level, start >> level)
    middle = start + _split(size)
    return node_hash(_range_hash(start, middle, read), _range_hash(middle, end, read))


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if len(hashes) > MAX_PROOF_HASHES + 2:
        raise ProofError(f"the proof has {len(hashes)} hashes, more than any tree needs")
    if any(len(entry) != HASH_BYTES for entry in hashes):
        raise ProofError(f"a hash in the proof has not {HASH_BYTES} bytes")
