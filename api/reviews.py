"""The queue of what a policy holds for a person: shown to reviewers, approved, rejected, or refused when time is up."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from api import entries
from api.boundaries import unavailable
from api.drafts import Draft, HeldRequest
from api.errors import (
    GenerationFailedError,
    HeldError,
    InvalidInputError,
    NotFoundError,
    ReviewConflictError,
    ServiceError,
)
from api.keys import Caller, Role
from api.records import Record
from api.review_store import Review, ReviewStore
from audit import events, records
from audit.errors import AuditUnavailableError, ErasedError, ObjectError
from audit.events import Event, EventId
from audit.reader import StoredEvent
from audit.records import ObjectReference, VaultReference
from provenance.sdk_signing import SIGNABLE_FORMATS
from safety.findings import Finding
from safety.policy import Decision

if TYPE_CHECKING:
    from api.composition import Imprimatur

LONGEST_REASON_CHARACTERS = 1000
_EXPIRED = "nobody decided in time"
_LOGGER = logging.getLogger(__name__)


class ReviewQueue:
    """Holds items and lets reviewers decide. A decision and what follows from it are one transaction.

    An approved image is signed and released as it was examined. An approved prompt or input goes on to generation,
    which has a lease like any attempt; if the process that runs it dies, the item can be approved again.
    """

    def __init__(self, services: Imprimatur, *, expiry_s: float) -> None:
        self._services = services
        self._store = ReviewStore(services.database.engine, expiry_s=expiry_s)
        self._background = ThreadPoolExecutor(max_workers=2, thread_name_prefix="approved")

    def hold(
        self,
        connection: Connection,
        record: Record,
        *,
        stage: str,
        decision: Decision,
        findings: Sequence[Finding],
        pending: ObjectReference,
        image_sha256: str | None = None,
    ) -> EventId:
        """Put an item into the queue and write its `held` event, in the transaction that closes the record."""
        if decision.quarantined:
            raise ValueError("what is quarantined enters no queue")
        slot = self._store.slot(connection)
        body = entries.held(
            decision,
            findings,
            stage=stage,
            review=slot.review_id,
            expires_at=slot.expires_at,
            image_sha256=image_sha256,
        )
        event_id = self._services.log.append(Event(record.record_id, body), connection)
        self._store.add(
            connection,
            slot,
            record_id=record.record_id,
            tenant=record.tenant,
            stage=stage,
            categories=decision.categories,
            held_event=event_id,
            pending=pending,
        )
        return event_id

    def items(self, caller: Caller, *, state: str | None = "waiting", limit: int = 100) -> list[Review]:
        """Items of the caller's tenant, those that wait longest first; all tenants' for the operator."""
        caller.require(Role.REVIEW)
        self.expire()
        return self._store.listing(tenant=None if caller.operator else caller.tenant, state=state, limit=limit)

    def show(self, review_id: str, caller: Caller) -> dict[str, Any]:
        """An item with everything that a reviewer needs: prompt, findings, policy, and its decision once it has one.

        Raises:
            NotFoundError: no such item in the caller's tenant.
        """
        review = self._own(review_id, caller)
        log = self._services.log
        with unavailable():
            held = log.event(review.held_event)
            history = log.events(review.record_id)
            received = next((event for event in self._of_request(review) if event.kind == "received"), None)
        fields = held.fields()
        return {
            **review.to_document(),
            "prompt": self._prompt(received),
            "request": None if received is None else received.fields().get("sampling"),
            "task": None if received is None else received.fields().get("task"),
            "findings": fields["findings"],
            "decision": fields["decision"],
            "policy": fields["policy"],
            "image": review.stage != "prompt",
            "decided": next((_decided(event) for event in reversed(history) if _decides(event, review_id)), None),
        }

    def image(self, review_id: str, caller: Caller) -> tuple[bytes, str]:
        """The picture that waits, and its media type: of an image the very file, unsigned; of an input what came.

        Raises:
            NotFoundError: no such item, none with a picture, or it does not wait any more.
        """
        review = self._own(review_id, caller)
        if review.state != "waiting":
            raise NotFoundError(f"this item is {review.state}; what was released is under its record")
        data = self._pending(review)
        if review.stage == "image":
            draft = Draft.from_bytes(data)
            return draft.encoded, SIGNABLE_FORMATS[draft.image_format]
        held = HeldRequest.from_bytes(data)
        if held.image is None:
            raise NotFoundError("this item is a prompt; it has no picture")
        return held.image, self._services.decode(held.image).media_type

    def approve(
        self, review_id: str, caller: Caller, *, reason: str, reviewer: str | None = None, wait: bool = True
    ) -> dict[str, Any]:
        """Let an item go on: an image is signed and released, a prompt or input is generated.

        Args:
            reviewer: the person's name, where the caller's key or login does not say it; kept in the vault.
            wait: for a prompt or input, return when the images are there; else at once, and they follow.

        Raises:
            NotFoundError: no such item in the caller's tenant.
            ReviewConflictError: somebody else decides it or has decided it, or its time is up.
            GenerationFailedError: it could not be finished; an image is still held.
        """
        review = self._own(review_id, caller)
        actor = self._actor(caller, reviewer)
        _check_reason(reason)
        if review.stage == "image":
            self._release(review, actor, reason)
        else:
            held = HeldRequest.from_bytes(self._pending(review))
            opened = self._reopen(review, actor, reason)
            if wait:
                self._resume(review, held, opened)
            else:
                self._background.submit(self._resume_quietly, review, held, opened)
        return self.outcome(review_id, caller)

    def reject(self, review_id: str, caller: Caller, *, reason: str, reviewer: str | None = None) -> dict[str, Any]:
        """Refuse an item. Raises `NotFoundError`, `ReviewConflictError`."""
        review = self._own(review_id, caller)
        actor = self._actor(caller, reviewer)
        _check_reason(reason)
        with self._deciding(review) as connection:
            ids = self._refuse(connection, review, "rejected", actor, reason)
        self._include(ids)
        return self.outcome(review_id, caller)

    def outcome(self, review_id: str, caller: Caller) -> dict[str, Any]:
        """The item's state, and that of every record of its request that it decided on."""
        review = self._own(review_id, caller)
        return {
            "review_id": review.review_id,
            "state": review.state,
            "records": [
                {"record_id": record.record_id, "state": record.state} for record in self._decided_records(review)
            ],
        }

    def expire(self) -> list[str]:
        """Refuse every item whose time is up; returns their ids. Called whenever the queue is looked at."""
        ids: list[EventId] = []
        with unavailable(), self._services.database.engine.begin() as connection:
            overdue = self._store.lock_overdue(connection)
            for review in overdue:
                ids += self._refuse(connection, review, "expired", None, _EXPIRED)
        self._include(ids)
        return [review.review_id for review in overdue]

    def close(self) -> None:
        """Wait for what was approved and is being generated."""
        self._background.shutdown()

    # -- one item ------------------------------------------------------------------------------------------------

    def _release(self, review: Review, actor: VaultReference, reason: str) -> None:
        """Sign and release a held image. Until the transaction ends nothing has happened."""
        services = self._services
        draft = Draft.from_bytes(self._pending(review))
        record = services.records.get(review.record_id)
        with self._deciding(review) as connection:
            decided = self._decide(connection, review, "approved", actor, reason)
            data, body = services.generation.finish(draft, record, review=decided)
            digest = hashlib.sha256(data).hexdigest()
            services.records.decide(connection, [record.record_id], "released", image_sha256=digest)
            released = services.log.append(Event(record.record_id, body), connection)
        self._include([decided, released])
        self._discard(review)

    def _reopen(self, review: Review, actor: VaultReference, reason: str) -> list[Record]:
        """Open the records of a held request again, for this process."""
        with self._deciding(review, also_after_approval=True) as connection:
            decided = self._decide(connection, review, "approved", actor, reason)
            opened = self._services.records.reopen(connection, review.record_id)
        self._include([decided])
        return opened

    def _resume(self, review: Review, held: HeldRequest, opened: Sequence[Record]) -> None:
        try:
            self._services.generation.resume(held, opened, stage=review.stage)
        except HeldError:
            _LOGGER.info("review %s was approved and is held again at a later stage", review.review_id)
        self._discard(review)

    def _discard(self, review: Review) -> None:
        """What was put aside of an approved item is of no use any more; what was rejected stays with its record."""
        try:
            self._services.objects.discard(review.pending)
        except ObjectError as error:
            _LOGGER.warning("what was put aside for review %s stays in the object store: %s", review.review_id, error)

    def _resume_quietly(self, review: Review, held: HeldRequest, opened: Sequence[Record]) -> None:
        """In the background nobody waits for an error: the record says what became of it."""
        try:
            self._resume(review, held, opened)
        except ServiceError as error:
            _LOGGER.warning("review %s was approved and did not end well: %s", review.review_id, error.message)

    def _refuse(
        self, connection: Connection, review: Review, state: str, actor: VaultReference | None, reason: str
    ) -> list[EventId]:
        decided = self._decide(connection, review, state, actor, reason)
        body = self._refusal(review, decided)
        ids = [record.record_id for record in self._decided_records(review)]
        self._services.records.decide(connection, ids, "refused")
        return [decided, self._services.log.append(Event(review.record_id, body), connection)]

    def _refusal(self, review: Review, decided: EventId) -> events.Refused:
        """The event of a refusal by a person: the findings and reasons are those for which it was held."""
        fields: dict[str, Any] = dict(self._held(review).fields())
        return events.Refused(
            stage=review.stage,
            decision=records.Decision(
                outcome="refuse",
                stage=fields["decision"]["stage"],
                reasons=tuple(records.Reason(**reason) for reason in fields["decision"]["reasons"]),
            ),
            findings=tuple(records.Finding(**finding) for finding in fields["findings"]),
            policy=records.Policy(**fields["policy"]),
            objects=(review.pending,),
            review=decided,
        )

    def _decide(
        self, connection: Connection, review: Review, state: str, actor: VaultReference | None, reason: str
    ) -> EventId:
        """Note the decision and write its event."""
        self._store.conclude(connection, review, state)
        body = events.ReviewDecided(
            review=review.review_id,
            stage=review.stage,
            decision=state,
            reason=reason,
            reviewer=actor,
            held=review.held_event,
            policy=records.Policy(**self._held(review).fields()["policy"]),  # type: ignore[arg-type]
            categories=review.categories,
            tenant=review.tenant,
        )
        return self._services.log.append(Event(review.record_id, body), connection)

    @contextmanager
    def _deciding(self, review: Review, *, also_after_approval: bool = False) -> Iterator[Connection]:
        """A transaction that holds the item's row, so that one reviewer decides and a killed one leaves no trace."""
        with unavailable(), self._services.database.engine.begin() as connection:
            self._store.lock(connection, review, also_after_approval=also_after_approval)
            yield connection

    # -- reading -------------------------------------------------------------------------------------------------

    def _own(self, review_id: str, caller: Caller) -> Review:
        """An item of the caller's tenant. What is overdue is refused before anybody sees it."""
        caller.require(Role.REVIEW)
        self.expire()
        review = self._store.find(review_id)
        if not (caller.operator or review.tenant == caller.tenant):
            raise NotFoundError("no such review")
        return review

    def _held(self, review: Review) -> StoredEvent:
        with unavailable():
            return self._services.log.event(review.held_event)

    def _of_request(self, review: Review) -> list[StoredEvent]:
        parent_id = self._services.records.get(review.record_id).parent_id
        return self._services.log.events(parent_id)

    def _decided_records(self, review: Review) -> list[Record]:
        """The records that hang on an item: one image, or all of a request that was held before generation."""
        if review.stage == "image":
            return [self._services.records.get(review.record_id)]
        return self._services.records.siblings(review.record_id)

    def _pending(self, review: Review) -> bytes:
        try:
            with unavailable():
                return self._services.objects.get(review.pending)
        except AuditUnavailableError:
            raise
        except ErasedError as error:
            raise ReviewConflictError(
                "the data of this item was erased; it can only be rejected", record_id=review.record_id
            ) from error
        except ObjectError as error:
            raise GenerationFailedError(str(error), step="storage", record_id=review.record_id) from error

    def _prompt(self, received: StoredEvent | None) -> dict[str, Any] | None:
        reference: Any = None if received is None else received.fields().get("prompt")
        if reference is None:
            return None
        try:
            with unavailable():
                document: dict[str, Any] = json.loads(self._services.vault.get(VaultReference(**reference)))
        except ErasedError:
            return {"erased": True}
        return document

    def _actor(self, caller: Caller, reviewer: str | None) -> VaultReference:
        who = caller.subject if not reviewer else f"{caller.subject} ({reviewer})"
        with unavailable():
            return self._services.vault.put(caller.on_behalf_of(reviewer).subject, "reviewer", who.encode())

    def _include(self, ids: Sequence[EventId]) -> None:
        with unavailable():
            for event_id in ids:
                self._services.log.include(event_id)


def _check_reason(reason: str) -> None:
    if not reason.strip() or len(reason) > LONGEST_REASON_CHARACTERS or not reason.isprintable():
        raise InvalidInputError(
            f"a decision needs a reason on one line, 1 to {LONGEST_REASON_CHARACTERS} characters", parameter="reason"
        )


def _decides(event: StoredEvent, review_id: str) -> bool:
    return event.kind == "review_decided" and event.fields()["review"] == review_id


def _decided(event: StoredEvent) -> dict[str, Any]:
    fields = event.fields()
    return {"decision": fields["decision"], "reason": fields["reason"], "time": event.time.isoformat()}
