import pytest

from audit import AuditLog, AuditReader, LedgerKey
from audit.errors import CheckpointError, LedgerError, ProofError, UnknownEventError
from audit.ledger.merkle import leaf_hash, memory_reader, root, subtree_root, verify_consistency, verify_inclusion
from tests.audit.conftest import ORIGIN
from tests.audit.samples import failed, released

SIZE = 600


@pytest.fixture
def long_log(log: AuditLog) -> AuditLog:
    log.append_all([failed(number % 7) for number in range(SIZE)])
    log.checkpoint()
    return log


def test_an_event_reads_back_as_it_was_recorded(log: AuditLog) -> None:
    event_id, _ = log.record(released())
    event = log.event(event_id)
    assert (event.id, event.record_id, event.kind, event.index) == (event_id, "record-1", "released", 0)
    fields = event.fields()
    assert fields["tenant"] == "secret-tenant"
    assert isinstance(fields["sampling"], dict)
    assert fields["sampling"]["seed"] == "18446744073709551615"
    assert fields["sampling"]["guidance"] == "4.5"
    assert fields["sampling"]["threads"] is None


def test_the_events_of_a_record_come_oldest_first(long_log: AuditLog) -> None:
    events = long_log.events("record-3")
    assert len(events) == len([n for n in range(SIZE) if n % 7 == 3])
    assert [event.index for event in events] == sorted(event.index or 0 for event in events)
    assert long_log.events("record-unknown") == []


def test_recent_events_come_newest_first_by_kind_and_page(long_log: AuditLog) -> None:
    newest, _ = long_log.record(released())
    assert [event.id for event in long_log.recent(1)] == [newest]
    assert [event.kind for event in long_log.recent(10, kind="released")] == ["released"]
    page = long_log.recent(5, skip=1)
    assert [event.index for event in page] == [SIZE - 1 - n for n in range(5)]


@pytest.mark.parametrize("event_id", ["", "x", "01a20426-d1b0-799e-959d-d03fd81c3291", "'; DROP TABLE audit_events"])
def test_an_event_that_is_not_there_is_a_typed_error(log: AuditLog, event_id: str) -> None:
    with pytest.raises(UnknownEventError):
        log.event(event_id)
    with pytest.raises(UnknownEventError):
        log.prove(event_id)


def test_any_event_can_be_proved_at_any_time(long_log: AuditLog) -> None:
    for event in long_log.recent(SIZE)[:: SIZE // 20]:
        inclusion = long_log.prove(event.id)
        assert inclusion.index == event.index
        state = inclusion.checkpoint
        verify_inclusion(leaf_hash(inclusion.leaf), inclusion.index, state.size, inclusion.proof, state.root)


def test_an_event_that_waits_cannot_be_proved_yet(long_log: AuditLog) -> None:
    with pytest.raises(UnknownEventError, match="not in the ledger"):
        long_log.prove(long_log.append(failed()))


def test_every_state_of_the_log_is_consistent_with_later_ones(long_log: AuditLog) -> None:
    for old in (0, 1, 255, 256, 257, 511, 512, SIZE):
        proof = long_log.consistency(old, SIZE)
        verify_consistency(old, SIZE, proof, long_log.root(old), long_log.root(SIZE))


def test_states_that_never_were_are_refused(long_log: AuditLog) -> None:
    with pytest.raises(UnknownEventError):
        long_log.consistency(1, SIZE + 1)
    with pytest.raises(UnknownEventError):
        long_log.root(SIZE + 1)
    with pytest.raises(UnknownEventError):
        long_log.leaf(SIZE)
    with pytest.raises(ProofError):
        long_log.consistency(9, 8)


def test_a_follower_can_rebuild_the_root_from_what_is_served(long_log: AuditLog) -> None:
    leaves = []
    for name in ("tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"):
        data = long_log.tile(name)
        while data:
            length = int.from_bytes(data[:2], "big")
            leaves.append(data[2 : 2 + length])
            data = data[2 + length :]
    assert len(leaves) == SIZE
    hashes = [leaf_hash(leaf) for leaf in leaves]
    newest = long_log.latest_checkpoint()
    assert newest is not None
    assert root(SIZE, memory_reader(hashes)) == newest.root
    assert long_log.tile("tile/0/001") == b"".join(hashes[256:512])
    assert long_log.tile("tile/0/002.p/88") == b"".join(hashes[512:])
    assert long_log.tile("tile/0/000.p/3") == b"".join(hashes[:3])
    assert long_log.tile("tile/1/000.p/2") == subtree_root(hashes[:256]) + subtree_root(hashes[256:512])


def test_tiles_that_are_not_there_yet_are_not_served(long_log: AuditLog) -> None:
    for name in ("tile/0/002", "tile/0/002.p/89", "tile/1/000.p/3", "tile/2/000.p/1", "tile/entries/003.p/1"):
        with pytest.raises(UnknownEventError):
            long_log.tile(name)


def test_what_is_no_tile_path_is_refused(log: AuditLog) -> None:
    with pytest.raises(LedgerError):
        log.tile("tile/0/../../etc/passwd")


def test_a_reader_with_another_key_believes_no_checkpoint(log: AuditLog) -> None:
    event_id, _ = log.record(failed())
    stranger = AuditReader(log._engine, LedgerKey.generate(ORIGIN).public)
    with pytest.raises(CheckpointError):
        stranger.latest_checkpoint()
    with pytest.raises(CheckpointError):
        stranger.prove(event_id)


def test_leaves_say_nothing_of_kind_record_or_content(log: AuditLog) -> None:
    log.record(released())
    leaf = log.leaf(0)
    for secret in (b"released", b"record-1", b"secret-tenant", b"image"):
        assert secret not in leaf
