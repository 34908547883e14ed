"""Vectors: github.com/transparency-dev/merkle, proof/verify_test.go (Apache-2.0), after RFC 6962's own examples."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.errors import ProofError
from audit.ledger.merkle import (
    EMPTY_ROOT,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    memory_reader,
    node_hash,
    root,
    subtree_root,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(text)
    for text in (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
INCLUSION = [  # leaf number from 1, size, proof
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (3, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        2,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")

sizes = st.integers(1, 70) | st.integers(250, 260) | st.integers(500, 530)


# The naive reference: RFC 6962 section 2.1 word by word, over lists.
def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: Sequence[bytes], whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], False), naive_root(leaves[:k])]


def naive_split(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def make_leaves(size: int) -> list[bytes]:
    return [b"leaf %d" % number for number in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_published_vectors(size: int) -> None:
    assert root(size, memory_reader(HASHES)) == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert root(0, memory_reader([])) == EMPTY_ROOT == sha256(b"").digest()


def test_leaf_and_node_hashes_are_separated_by_their_prefix() -> None:
    assert leaf_hash(b"ab") == sha256(b"\x00ab").digest()
    assert node_hash(b"a", b"b") == sha256(b"\x01ab").digest()


@pytest.mark.parametrize(("number", "size", "proof"), INCLUSION)
def test_inclusion_proofs_are_those_of_the_published_vectors(number: int, size: int, proof: list[str]) -> None:
    built = inclusion_proof(number - 1, size, memory_reader(HASHES))
    assert [entry.hex() for entry in built] == proof
    verify_inclusion(HASHES[number - 1], number - 1, size, built, ROOTS[size - 1])


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY)
def test_consistency_proofs_are_those_of_the_published_vectors(old: int, new: int, proof: list[str]) -> None:
    built = consistency_proof(old, new, memory_reader(HASHES))
    assert [entry.hex() for entry in built] == proof
    verify_consistency(old, new, built, ROOTS[old - 1], ROOTS[new - 1])


@given(sizes, st.data())
def test_roots_and_proofs_equal_the_naive_reference(size: int, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    read = memory_reader([leaf_hash(leaf) for leaf in leaves])
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    assert root(size, read) == naive_root(leaves)
    assert list(inclusion_proof(index, size, read)) == naive_path(index, leaves)
    assert list(consistency_proof(old, size, read)) == naive_subproof(old, leaves, True)


@given(sizes, st.data())
def test_proofs_that_were_built_verify(size: int, data: st.DataObject) -> None:
    leaves = make_leaves(size)
    read = memory_reader([leaf_hash(leaf) for leaf in leaves])
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    verify_inclusion(leaf_hash(leaves[index]), index, size, inclusion_proof(index, size, read), root(size, read))
    verify_consistency(old, size, consistency_proof(old, size, read), root(old, read), root(size, read))


InclusionCase = tuple[int, int, list[bytes], bytes, bytes]


def wrong_inclusions(index: int, size: int, proof: list[bytes], top: bytes, leaf: bytes) -> list[InclusionCase]:
    """The ways to spoil an inclusion proof that transparency-dev's own tests try."""
    cases = [
        (index - 1, size, proof, top, leaf),
        (index + 1, size, proof, top, leaf),
        (index ^ 2, size, proof, top, leaf),
        (index, size * 2, proof, top, leaf),
        (index, size // 2, proof, top, leaf),
        (index, size, proof, top, b"WrongLeaf"),
        (index, size, proof, EMPTY_ROOT, leaf),
        (index, size, proof, SOME_HASH, leaf),
        (index, size, [*proof, b""], top, leaf),
        (index, size, [*proof, top], top, leaf),
        (index, size, [b"", *proof], top, leaf),
        (index, size, [top, *proof], top, leaf),
        (index, size, [*proof, *[SOME_HASH] * 70], top, leaf),
    ]
    for position, entry in enumerate(proof):
        flipped = bytes([entry[0] ^ 8]) + entry[1:]
        cases.append((index, size, [*proof[:position], flipped, *proof[position + 1 :]], top, leaf))
    if proof:
        cases.append((index, size, proof[:-1], top, leaf))
    if len(proof) > 1:
        cases.append((index, size, [proof[0], SOME_HASH, *proof[1:]], top, leaf))
    return cases


@pytest.mark.parametrize(("number", "size", "proof"), INCLUSION)
def test_spoilt_inclusion_proofs_are_refused(number: int, size: int, proof: list[str]) -> None:
    hashes = [bytes.fromhex(entry) for entry in proof]
    for index, n, path, top, leaf in wrong_inclusions(number - 1, size, hashes, ROOTS[size - 1], HASHES[number - 1]):
        with pytest.raises(ProofError):
            verify_inclusion(leaf, index, n, path, top)


@pytest.mark.parametrize(("old", "new", "proof"), CONSISTENCY[1:])
def test_spoilt_consistency_proofs_are_refused(old: int, new: int, proof: list[str]) -> None:
    hashes = [bytes.fromhex(entry) for entry in proof]
    first, second = ROOTS[old - 1], ROOTS[new - 1]
    cases = [
        (old - 1, new, first, second, hashes),
        (old + 1, new, first, second, hashes),
        (old ^ 2, new, first, second, hashes),
        (old, new * 2, first, second, hashes),
        (old, new // 2, first, second, hashes),
        (old, new, b"WrongRoot", second, hashes),
        (old, new, first, b"WrongRoot", hashes),
        (old, new, second, first, hashes),
        (old, new, first, second, []),
        (old, new, first, second, [*hashes, b""]),
        (old, new, first, second, [*hashes, first]),
        (old, new, first, second, [*hashes, second]),
        (old, new, first, second, [b"", *hashes]),
        (old, new, first, second, [first, *hashes]),
        (old, new, first, second, [second, *hashes]),
        (old, new, first, second, [hashes[0], *hashes]),
        (old, new, first, second, hashes[:-1]),
    ]
    for position, entry in enumerate(hashes):
        flipped = bytes([entry[0] ^ 16]) + entry[1:]
        cases.append((old, new, first, second, [*hashes[:position], flipped, *hashes[position + 1 :]]))
    for smaller, larger, root1, root2, path in cases:
        with pytest.raises(ProofError):
            verify_consistency(smaller, larger, path, root1, root2)


@pytest.mark.parametrize(
    ("old", "new", "root1", "root2", "proof"),
    [
        (0, 0, b"1" * 32, b"2" * 32, []),
        (1, 1, b"1" * 32, b"2" * 32, []),
        (1, 0, b"1" * 32, b"2" * 32, []),
        (2, 1, b"1" * 32, b"2" * 32, []),
        (1, 2, b"1" * 32, b"2" * 32, []),
        (0, 0, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT]),
        (0, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT]),
        (1, 1, EMPTY_ROOT, EMPTY_ROOT, [EMPTY_ROOT]),
        (-1, 1, EMPTY_ROOT, EMPTY_ROOT, []),
    ],
)
def test_degenerate_consistency_claims_are_refused(
    old: int, new: int, root1: bytes, root2: bytes, proof: list[bytes]
) -> None:
    with pytest.raises(ProofError):
        verify_consistency(old, new, proof, root1, root2)


@given(sizes, st.data())
def test_a_proof_for_one_leaf_never_verifies_another_leaf_or_place(size: int, data: st.DataObject) -> None:
    hashes = [leaf_hash(leaf) for leaf in make_leaves(size)]
    read = memory_reader(hashes)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda i: i != index) if size > 1 else st.just(size))
    proof = inclusion_proof(index, size, read)
    with pytest.raises(ProofError):
        verify_inclusion(hashes[index], other, size, proof, root(size, read))


@pytest.mark.parametrize(
    "ask",
    [
        lambda read: inclusion_proof(8, 8, read),
        lambda read: inclusion_proof(-1, 8, read),
        lambda read: consistency_proof(9, 8, read),
        lambda read: consistency_proof(-1, 8, read),
    ],
)
def test_proofs_outside_the_tree_are_refused(ask: Callable[[object], object]) -> None:
    with pytest.raises(ProofError):
        ask(memory_reader(HASHES))


@pytest.mark.parametrize("count", [0, 3, 6])
def test_a_subtree_has_a_power_of_two_of_hashes(count: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        subtree_root([SOME_HASH] * count)
