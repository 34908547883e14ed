from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, create_engine, delete

from safety import ReferenceIndexError
from safety.duplicates.hashes import PerceptualHash, distance_bits, perceptual_hash
from safety.duplicates.index import NewReference, ReferenceIndex
from safety.duplicates.matches import SearchMethod
from safety.tables import reference_thumbnails, reference_works

Pixels = NDArray[np.uint8]

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def empty(index: ReferenceIndex, engine: Engine) -> Iterator[None]:
    yield
    with engine.begin() as connection:
        connection.execute(delete(reference_thumbnails))
        connection.execute(delete(reference_works))


def random_hash(seed: int) -> PerceptualHash:
    bits = np.random.default_rng(seed).integers(0, 2, 256)
    return PerceptualHash("".join(map(str, bits)), 50.0)


def changed(phash: PerceptualHash, bits: int) -> PerceptualHash:
    flipped = "".join("10"[int(bit)] for bit in phash.bits[:bits])
    return PerceptualHash(flipped + phash.bits[bits:], phash.information)


def work(number: int) -> NewReference:
    return NewReference(f"works/{number}.png", f"{number:064x}", random_hash(number), 640, 480, "Studio X")


def test_added_work_is_found_with_its_distance(index: ReferenceIndex) -> None:
    added = index.add([work(number) for number in range(50)])
    result = index.search_hash(changed(random_hash(7), 9), limit=3)

    assert result.matches[0].distance_bits == 9
    assert result.matches[0].reference == getattr(added[7], "id", None)
    assert result.matches[0].source == "works/7.png"
    assert result.snapshot.size == 50
    assert result.method is SearchMethod.EXACT


def test_exact_search_agrees_with_comparing_every_work(index: ReferenceIndex) -> None:
    index.add([work(number) for number in range(60)])
    query = random_hash(1234)
    naive = sorted((distance_bits(query.bits, random_hash(n).bits), n) for n in range(60))[:5]
    found = index.search_hash(query, limit=5).matches
    assert [(m.distance_bits, m.source) for m in found] == [(d, f"works/{n}.png") for d, n in naive]


def test_graph_search_finds_the_planted_copies(index: ReferenceIndex) -> None:
    index.add([work(number) for number in range(300)])
    for number in range(0, 300, 15):
        result = index.search_hash(changed(random_hash(number), 20), limit=1, exact=False)
        assert result.method is SearchMethod.HNSW
        assert result.matches[0].source == f"works/{number}.png"


def test_photograph_is_found_by_its_pixels(index: ReferenceIndex, photographs: list[Pixels]) -> None:
    index.add(
        [
            NewReference(f"{n}", f"{n:064x}", perceptual_hash(p), p.shape[1], p.shape[0])
            for n, p in enumerate(photographs[:10])
        ]
    )
    assert index.search(photographs[4][::2, ::2]).matches[0].source == "4"
    assert index.search(photographs[15]).matches[0].distance_bits > 64


def test_picture_without_structure_matches_nothing(index: ReferenceIndex) -> None:
    index.add([work(1)])
    for pixels in (np.zeros((1, 1, 3), np.uint8), np.full((200, 200, 3), 255, np.uint8)):
        result = index.search(pixels)
        assert result.low_information
        assert result.matches == ()
        assert result.method is SearchMethod.NONE
        assert result.snapshot.size == 1


def test_work_without_structure_is_not_listed(index: ReferenceIndex) -> None:
    blank = NewReference("blank.png", "b" * 64, PerceptualHash("0" * 256, 0.0), 10, 10)
    with pytest.raises(ReferenceIndexError, match=r"blank\.png: too little structure"):
        index.add([work(1), blank])
    assert index.size() == 0


def test_same_bytes_are_listed_once(index: ReferenceIndex) -> None:
    first = index.add([work(1), work(1)])
    assert first[0] is not None
    assert first[1] is None
    assert index.add([work(1), work(2)])[0] is None
    assert [reference.source for reference in index.list()] == ["works/1.png", "works/2.png"]


def test_withdrawn_work_is_no_longer_found_but_still_explains_old_records(index: ReferenceIndex) -> None:
    reference = index.add([work(1), work(2)])[0]
    assert reference is not None
    withdrawn = index.withdraw(reference.id)

    assert withdrawn.withdrawn_at == NOW
    assert index.search_hash(random_hash(1)).matches[0].source == "works/2.png"
    assert [r.id for r in index.list()] != [r.id for r in index.list(include_withdrawn=True)]
    assert index.get(reference.id) == withdrawn
    assert withdrawn.rights_claim == "Studio X"
    with pytest.raises(ReferenceIndexError, match="no listed reference"):
        index.withdraw(reference.id)
    assert index.add([work(1)])[0] is not None, "the same bytes may be listed again"


def test_search_is_repeated_as_of_a_snapshot(index: ReferenceIndex) -> None:
    references = index.add([work(1), work(2)])
    before = index.search_hash(random_hash(1))
    assert references[0] is not None
    index.withdraw(references[0].id)
    index.add([NewReference("closer", "c" * 64, random_hash(1), 1, 1)])
    after = index.search_hash(random_hash(1))

    assert after.matches[0].source == "closer"
    assert after.snapshot.id != before.snapshot.id
    assert index.search_hash(random_hash(1), at=before.snapshot) == before


def test_progress_is_called_for_each_work(index: ReferenceIndex) -> None:
    calls: list[tuple[int, int]] = []
    index.add([work(1), work(2)], progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]


def test_concurrent_writers_and_readers_see_whole_snapshots(index: ReferenceIndex) -> None:
    failures: list[Exception] = []
    snapshots: dict[int, int] = {}
    writing = threading.Event()
    writing.set()

    def write(start: int) -> None:
        try:
            for number in range(start, start + 40, 4):
                index.add([work(number + offset) for offset in range(4)])
        except Exception as error:  # noqa: BLE001  # reported by the main thread
            failures.append(error)

    def read() -> None:
        try:
            while writing.is_set():
                result = index.search_hash(random_hash(3))
                assert snapshots.setdefault(result.snapshot.change, result.snapshot.size) == result.snapshot.size
                assert result.snapshot.size % 4 == 0, "half a batch was seen"
        except Exception as error:  # noqa: BLE001  # reported by the main thread
            failures.append(error)

    writers = [threading.Thread(target=write, args=(1000 * n,)) for n in range(3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    writing.clear()
    for thread in readers:
        thread.join()

    assert failures == []
    assert index.size() == 120
    assert len(snapshots) > 1


def test_a_database_that_is_away_is_a_typed_error() -> None:
    away = create_engine("postgresql+psycopg://nobody@127.0.0.1:9/none", connect_args={"connect_timeout": 1})
    with pytest.raises(ReferenceIndexError, match="could not be read"):
        ReferenceIndex(away, lambda: NOW).size()
    with pytest.raises(ReferenceIndexError, match="could not be written"):
        ReferenceIndex(away, lambda: NOW).add([work(1)])
