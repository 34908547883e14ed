"""The rows of what waits for a person: one for every item that a policy held, whatever became of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import OperationalError

from api.database import unavailable_when_away
from api.errors import NotFoundError, ReviewConflictError
from api.tables import reviews
from audit.events import EventId
from audit.records import ObjectReference

MOST_LISTED = 500
_PREFIX = "rev_"
_REVIEW_ID = re.compile(r"rev_[0-9a-f]{32}")
_LOCK_NOT_AVAILABLE = "55P03"  # SQLSTATE, PostgreSQL's appendix A


@dataclass(frozen=True, slots=True)
class Review:
    """One held item. `state`: waiting, approved, rejected or expired. `stage`: prompt, input or image."""

    review_id: str
    record_id: str
    tenant: str
    stage: str
    state: str
    categories: tuple[str, ...]
    held_event: str
    pending: ObjectReference
    held_at: datetime
    expires_at: datetime
    decided_at: datetime | None

    def to_document(self) -> dict[str, Any]:
        """What a list of reviews shows."""
        return {
            "review_id": self.review_id,
            "record_id": self.record_id,
            "tenant": self.tenant,
            "stage": self.stage,
            "state": self.state,
            "categories": list(self.categories),
            "held_at": self.held_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
            "decided_at": self.decided_at.isoformat() if self.decided_at else None,
        }


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the queue that is about to be taken: its id, and when it begins and ends."""

    review_id: str
    held_at: datetime
    expires_at: datetime


class ReviewStore:
    """Adds, finds and locks items. Times are the database's, the same for all processes."""

    def __init__(self, engine: Engine, *, expiry_s: float) -> None:
        self._engine = engine
        self._expiry = timedelta(seconds=expiry_s)

    def slot(self, connection: Connection) -> Slot:
        """A new place in the queue, from now until the expiry."""
        now = connection.scalar(select(func.clock_timestamp()))
        assert isinstance(now, datetime)
        return Slot(_PREFIX + secrets.token_hex(16), now, now + self._expiry)

    def add(
        self,
        connection: Connection,
        slot: Slot,
        *,
        record_id: str,
        tenant: str,
        stage: str,
        categories: Sequence[str],
        held_event: EventId,
        pending: ObjectReference,
    ) -> None:
        """Let an item wait, in the transaction that writes its `held` event."""
        connection.execute(
            insert(reviews).values(
                review_id=slot.review_id,
                record_id=record_id,
                tenant=tenant,
                stage=stage,
                state="waiting",
                categories=list(categories),
                held_event=held_event,
                pending_sha256=pending.sha256,
                pending_subject=pending.subject_id,
                pending_size=pending.size,
                held_at=slot.held_at,
                expires_at=slot.expires_at,
            )
        )

    def find(self, review_id: str) -> Review:
        """One item. Raises `NotFoundError`."""
        row = None
        if _REVIEW_ID.fullmatch(review_id):  # also keeps out what PostgreSQL's text cannot hold
            with unavailable_when_away(), self._engine.connect() as connection:
                row = connection.execute(select(reviews).where(reviews.c.review_id == review_id)).first()
        if row is None:
            raise NotFoundError("no such review")
        return _review(row)

    def listing(self, *, tenant: str | None, state: str | None, limit: int) -> list[Review]:
        """Items of one tenant or of all, in one state or in any, those that wait longest first."""
        statement = select(reviews).order_by(reviews.c.held_at).limit(min(limit, MOST_LISTED))
        if state is not None:
            statement = statement.where(reviews.c.state == state)
        if tenant is not None:
            statement = statement.where(reviews.c.tenant == tenant)
        with unavailable_when_away(), self._engine.connect() as connection:
            return [_review(row) for row in connection.execute(statement)]

    def lock_overdue(self, connection: Connection) -> list[Review]:
        """Waiting items whose time is up, locked; those that a reviewer is deciding at this moment are left to him."""
        overdue = select(reviews).where(reviews.c.state == "waiting", reviews.c.expires_at <= func.clock_timestamp())
        return [_review(row) for row in connection.execute(overdue.with_for_update(skip_locked=True))]

    def lock(self, connection: Connection, review: Review, *, also_after_approval: bool) -> None:
        """Hold the item's row until the transaction ends, so that one reviewer decides.

        Raises:
            ReviewConflictError: somebody else decides it or has decided it, or its time is up.
        """
        is_overdue = (reviews.c.expires_at <= func.clock_timestamp()).label("is_overdue")
        statement = select(reviews.c.state, is_overdue).where(reviews.c.review_id == review.review_id)
        try:
            row = connection.execute(statement.with_for_update(nowait=True)).one()
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            raise ReviewConflictError(
                "another reviewer is deciding on this item at this moment", record_id=review.record_id
            ) from error
        if row.state == "waiting" and row.is_overdue:
            raise ReviewConflictError("the time of this item is up; it is refused", record_id=review.record_id)
        if row.state != "waiting" and not (also_after_approval and row.state == "approved"):
            raise ReviewConflictError(f"this item was {row.state} already", record_id=review.record_id)

    @staticmethod
    def conclude(connection: Connection, review: Review, state: str) -> None:
        """Note what was decided, in the transaction that writes the event."""
        connection.execute(
            update(reviews)
            .where(reviews.c.review_id == review.review_id)
            .values(state=state, decided_at=func.clock_timestamp())
        )


def _review(row: Row[*tuple[Any, ...]]) -> Review:
    return Review(
        review_id=row.review_id,
        record_id=row.record_id,
        tenant=row.tenant,
        stage=row.stage,
        state=row.state,
        categories=tuple(row.categories),
        held_event=row.held_event,
        pending=ObjectReference(row.pending_sha256, row.pending_subject, row.pending_size, "pending"),
        held_at=row.held_at,
        expires_at=row.expires_at,
        decided_at=row.decided_at,
    )
