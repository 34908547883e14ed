"""The reference index: listed works in PostgreSQL, searched by Hamming distance with pgvector."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from safety.duplicates.hashes import PerceptualHash, perceptual_hash
from safety.duplicates.matches import Match, SearchMethod, SearchResult, Snapshot, confidence
from safety.errors import ReferenceIndexError
from safety.tables import reference_changes, reference_thumbnails, reference_works

EXACT_SEARCH_SIZE_MAX = 200_000
"""Listed works up to which every one is compared: some tens of milliseconds, and repeatable."""

HNSW_EF_SEARCH = 200
WRITER_LOCK = 0x494D5052_4F524546  # "IMPROREF": advisory lock that orders the writers

_works = reference_works.c


@dataclass(frozen=True, slots=True)
class NewReference:
    """A work to list: where it came from, its file's SHA-256 (hex), its hash, and its size in pixels.

    `thumbnail` is a small JPEG to show beside a match, empty for none.
    """

    source: str
    sha256: str
    phash: PerceptualHash
    width: int
    height: int
    rights_claim: str | None = None
    thumbnail: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Reference:
    """A listed work. `withdrawn_at` is None while it is searched."""

    id: str
    source: str
    sha256: str
    width: int
    height: int
    rights_claim: str | None
    added_at: datetime
    withdrawn_at: datetime | None


class ReferenceIndex:
    """Listed works on an injected engine. Safe to share between threads; several processes may write.

    Every method raises `ReferenceIndexError` when the database fails.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock

    def add(
        self, items: Sequence[NewReference], progress: Callable[[int, int], None] | None = None
    ) -> list[Reference | None]:
        """List `items`, all or none; for each the new reference, or None if its bytes are listed already.

        `progress` is called with (done, total). Raises `ReferenceIndexError` for a picture with too little
        structure to be found again (`PerceptualHash.usable`).
        """
        for item in items:
            if not item.phash.usable:
                raise ReferenceIndexError(f"{item.source}: too little structure to be found again; not listed")
        added: list[Reference | None] = []
        with self._writing() as connection:
            for done, item in enumerate(items, start=1):
                added.append(self._insert(connection, item))
                if progress is not None:
                    progress(done, len(items))
        return added

    def withdraw(self, reference_id: str) -> Reference:
        """Take a work out of the search; it stays readable. Raises if there is none such, or withdrawn."""
        with self._writing() as connection:
            statement = (
                update(reference_works)
                .where(_works.id == reference_id, _works.withdrawn_change.is_(None))
                .values(withdrawn_at=self._clock(), withdrawn_change=reference_changes.next_value())
                .returning(*_DESCRIPTION)
            )
            row = connection.execute(statement).one_or_none()
            if row is None:
                raise ReferenceIndexError(f"no listed reference {reference_id!r}; see the list of references")
            return _reference(row)

    def get(self, reference_id: str) -> Reference | None:
        """The reference, withdrawn or not; None if there never was one."""
        with self._reading() as connection:
            row = connection.execute(select(*_DESCRIPTION).where(_works.id == reference_id)).one_or_none()
        return None if row is None else _reference(row)

    def thumbnail(self, reference_id: str) -> bytes | None:
        """A small JPEG of a listed work; None where none was kept."""
        query = select(reference_thumbnails.c.jpeg).where(reference_thumbnails.c.reference_id == reference_id)
        with self._reading() as connection:
            found = connection.scalar(query)
        return None if found is None else bytes(found)

    def list(self, *, include_withdrawn: bool = False) -> list[Reference]:
        """Listed works in the order in which they were added."""
        statement = select(*_DESCRIPTION).order_by(_works.added_change)
        if not include_withdrawn:
            statement = statement.where(_works.withdrawn_change.is_(None))
        with self._reading() as connection:
            return [_reference(row) for row in connection.execute(statement)]

    def size(self) -> int:
        """Number of listed works, without the withdrawn ones."""
        return self.snapshot().size

    def snapshot(self) -> Snapshot:
        """The present state, by the number of its last change."""
        with self._reading() as connection:
            return _snapshot(connection)

    def search(self, pixels: NDArray[np.uint8], limit: int = 5) -> SearchResult:
        """The `limit` nearest listed works of `pixels` (uint8, (H, W, 3), RGB). Raises `PixelsError`."""
        return self.search_hash(perceptual_hash(pixels), limit)

    def search_hash(
        self, phash: PerceptualHash, limit: int = 5, *, at: Snapshot | None = None, exact: bool | None = None
    ) -> SearchResult:
        """The `limit` nearest listed works of `phash`, ties in the order of addition.

        `at` repeats a search as of an earlier snapshot (always exact). `exact` chooses the method; by
        default every work is compared up to `EXACT_SEARCH_SIZE_MAX` of them, and beyond that the HNSW
        index is asked. A hash that is not usable has no matches and is not searched (method `none`).
        """
        with self._reading() as connection:
            snapshot = at or _snapshot(connection)
            if not phash.usable:
                return SearchResult((), snapshot, SearchMethod.NONE, low_information=True)
            if at is not None:
                exact = True
            elif exact is None:
                exact = snapshot.size <= EXACT_SEARCH_SIZE_MAX
            if exact:
                connection.execute(text("SET LOCAL enable_indexscan = off"))
            else:
                connection.execute(text("SET LOCAL enable_seqscan = off"))
                connection.execute(text(f"SET LOCAL hnsw.ef_search = {HNSW_EF_SEARCH}"))
                connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
            distance = _works.phash.hamming_distance(phash.bits)
            nearest = select(_works.id, _works.source, distance.label("distance"), _works.added_change)
            nearest = nearest.where(_listed(at)).order_by(distance).limit(limit)
            if exact:
                nearest = nearest.order_by(_works.added_change)
            rows = connection.execute(nearest).all()
        rows = sorted(rows, key=lambda row: (row.distance, row.added_change))
        matches = tuple(Match(row.id, row.source, int(row.distance), confidence(int(row.distance))) for row in rows)
        method = SearchMethod.EXACT if exact else SearchMethod.HNSW
        return SearchResult(matches, snapshot, method, low_information=False)

    def _insert(self, connection: Connection, item: NewReference) -> Reference | None:
        statement = (
            insert(reference_works)
            .values(
                added_change=reference_changes.next_value(),
                id=f"ref-{uuid.uuid4().hex}",
                source=item.source,
                sha256=item.sha256,
                phash=item.phash.bits,
                width=item.width,
                height=item.height,
                rights_claim=item.rights_claim,
                added_at=self._clock(),
            )
            .on_conflict_do_nothing(index_elements=[_works.sha256], index_where=_works.withdrawn_change.is_(None))
            .returning(*_DESCRIPTION)
        )
        row = connection.execute(statement).one_or_none()
        if row is None:
            return None
        if item.thumbnail:
            connection.execute(insert(reference_thumbnails).values(reference_id=row.id, jpeg=item.thumbnail))
        return _reference(row)

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                connection.execute(select(func.pg_advisory_xact_lock(WRITER_LOCK)))
                yield connection
        except SQLAlchemyError as error:
            raise ReferenceIndexError(f"the reference index could not be written: {error}") from error

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One state of the database for snapshot and search together."""
        try:
            with self._engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
                yield connection
        except SQLAlchemyError as error:
            raise ReferenceIndexError(f"the reference index could not be read: {error}") from error


_DESCRIPTION = (
    _works.id,
    _works.source,
    _works.sha256,
    _works.width,
    _works.height,
    _works.rights_claim,
    _works.added_at,
    _works.withdrawn_at,
)


def _reference(row: Row[Any, *tuple[Any, ...]]) -> Reference:
    return Reference(**row._mapping)


def _listed(at: Snapshot | None) -> ColumnElement[bool]:
    if at is None:
        return _works.withdrawn_change.is_(None)
    return and_(
        _works.added_change <= at.change,
        or_(_works.withdrawn_change.is_(None), _works.withdrawn_change > at.change),
    )


def _snapshot(connection: Connection) -> Snapshot:
    added, withdrawn, size = connection.execute(
        select(
            func.coalesce(func.max(_works.added_change), 0),
            func.coalesce(func.max(_works.withdrawn_change), 0),
            func.count().filter(_works.withdrawn_change.is_(None)),
        )
    ).one()
    return Snapshot(max(int(added), int(withdrawn)), int(size))
