"""The tree beside an independent implementation: pymerkle (GPL-3.0, used in tests only)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import ConsistencyProof, InclusionProof, InmemoryTree, InvalidProof  # type: ignore[import-untyped]

from audit.errors import ProofError
from audit.ledger.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    memory_reader,
    root,
    verify_consistency,
    verify_inclusion,
)
from audit.ledger.tiles import RightEdge

LARGEST = 600
LEAVES = [b"leaf %d" % number for number in range(LARGEST)]
HASHES = [leaf_hash(leaf) for leaf in LEAVES]
READ = memory_reader(HASHES)


@pytest.fixture(scope="module")
def peer() -> InmemoryTree:
    tree = InmemoryTree(algorithm="sha256")
    for leaf in LEAVES:
        tree.append_entry(leaf)
    return tree


def test_every_root_is_the_peers(peer: InmemoryTree) -> None:
    edge = RightEdge()
    for size, entry in enumerate(HASHES, 1):
        edge.append(entry)
        assert edge.root() == root(size, READ) == peer.get_root(size)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_inclusion_proofs_are_the_peers_and_each_verifies_the_others(peer: InmemoryTree, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    ours = inclusion_proof(index, size, READ)
    theirs: InclusionProof = peer.prove_inclusion(index + 1, size)
    assert list(ours) == theirs.path[1:]
    verify_inclusion(HASHES[index], index, size, theirs.path[1:], peer.get_root(size))
    theirs.path = [HASHES[index], *ours]
    theirs.verify(HASHES[index], root(size, READ), index=index + 1, size=size)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_consistency_holds_for_the_peer_where_it_holds_for_us(peer: InmemoryTree, data: st.DataObject) -> None:
    """pymerkle's consistency proofs have a layout of their own, so the claims are compared and not the hashes."""
    new = data.draw(st.integers(2, LARGEST))
    old = data.draw(st.integers(1, new - 1))
    other = data.draw(st.integers(1, LARGEST).filter(lambda size: size != old))
    ours = consistency_proof(old, new, READ)
    theirs: ConsistencyProof = peer.prove_consistency(old, new)
    verify_consistency(old, new, ours, peer.get_root(old), peer.get_root(new))
    theirs.verify(root(old, READ), root(new, READ), prior_size=old, later_size=new)
    with pytest.raises(ProofError):
        verify_consistency(old, new, ours, peer.get_root(other), peer.get_root(new))
    with pytest.raises(InvalidProof):
        theirs.verify(root(other, READ), root(new, READ))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_the_peer_refuses_we_refuse(peer: InmemoryTree, data: st.DataObject) -> None:
    size = data.draw(st.integers(2, LARGEST))
    index = data.draw(st.integers(0, size - 1))
    proof: InclusionProof = peer.prove_inclusion(index + 1, size)
    place = data.draw(st.integers(0, len(proof.path) - 1))
    spoilt = bytearray(proof.path[place])
    spoilt[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
    proof.path[place] = bytes(spoilt)
    with pytest.raises(InvalidProof):
        proof.verify(HASHES[index], peer.get_root(size))
    with pytest.raises(ProofError):
        verify_inclusion(proof.path[0], index, size, proof.path[1:], peer.get_root(size))
