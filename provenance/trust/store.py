"""The trust list in force, for all processes, and every earlier one that a verification may have used."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert

from provenance.errors import TrustListError
from provenance.tables import trust_changes, trust_snapshots
from provenance.trust.lists import TrustList

LOOK_EVERY_S: Final = 5.0


class TrustStore:
    """Thread-safe. A change reaches other processes within five seconds.

    Args:
        initial: the list that holds until the first change.
    """

    def __init__(
        self,
        engine: Engine,
        initial: TrustList,
        clock: Callable[[], datetime],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._initial = initial
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._current: TrustList | None = None
        self._look_at = float("-inf")
        self._kept: set[str] = set()

    def current(self) -> TrustList:
        """The list in force; its snapshot is kept, so that whoever uses it may name its digest."""
        with self._lock:
            if self._current is None or self._monotonic() >= self._look_at:
                self._current = self._newest()
                self._look_at = self._monotonic() + LOOK_EVERY_S
                if self._current.digest not in self._kept:
                    with self._engine.begin() as connection:
                        self._keep(connection, self._current)
                    self._kept.add(self._current.digest)
            return self._current

    def snapshot(self, digest: str) -> TrustList:
        """The list with this digest, as it was. Raises `TrustListError`."""
        with self._engine.connect() as connection:
            document = connection.scalar(select(trust_snapshots.c.document).where(trust_snapshots.c.digest == digest))
        if document is None:
            raise TrustListError(f"No trust list with the digest {digest[:80]!r} is kept here.")
        return TrustList.from_document(document)

    def change(self, connection: Connection, trust: TrustList) -> None:
        """Put a list in force, in the caller's transaction (with its event)."""
        self._keep(connection, trust)
        connection.execute(insert(trust_changes).values(digest=trust.digest, changed_at=self._clock()))
        with self._lock:
            self._look_at = float("-inf")

    def _newest(self) -> TrustList:
        with self._engine.connect() as connection:
            document = connection.scalar(
                select(trust_snapshots.c.document)
                .join(trust_changes, trust_changes.c.digest == trust_snapshots.c.digest)
                .order_by(trust_changes.c.number.desc())
                .limit(1)
            )
        return self._initial if document is None else TrustList.from_document(document)

    def _keep(self, connection: Connection, trust: TrustList) -> None:
        connection.execute(
            upsert(trust_snapshots)
            .values(digest=trust.digest, document=trust.document, kept_at=self._clock())
            .on_conflict_do_nothing()
        )
