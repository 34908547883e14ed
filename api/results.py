"""What the log says of a record: results of finished requests, receipts, disclosures, the whole history."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from api.boundaries import unavailable
from api.errors import NotFoundError
from api.keys import Caller, Role
from api.records import Record
from audit import receipt as receipts
from audit.errors import ErasedError
from audit.events import EventId
from audit.reader import StoredEvent
from audit.receipt import Receipt
from audit.records import ObjectReference, VaultReference
from provenance.fingerprint import Fingerprint
from safety.policy import DecisionOutcome
from safety.policy_rules import Action

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.generate import GenerationResult

_OUTCOMES = {
    "released": DecisionOutcome.RELEASE,
    "held": DecisionOutcome.REVIEW,
    "refused": DecisionOutcome.REFUSE,
    "quarantined": DecisionOutcome.REFUSE,
}
_MILD_TO_SEVERE = tuple(action.value for action in Action)


class Results:
    """Reads records back from the log. Tenants see their own; others the public disclosure of what was released."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services

    def load(self, parent_id: str, caller: Caller) -> GenerationResult:
        """The result of a finished request again, as its first answer was (fresh receipts)."""
        from api.generate import GenerationResult, ImageResult

        images = []
        for record in self._services.records.siblings(parent_id):
            self._require_own(record, caller)
            event = self._final_event(record)
            fields = event.fields()
            outcome = _OUTCOMES[event.kind]
            released = outcome is DecisionOutcome.RELEASE
            images.append(
                ImageResult(
                    record_id=record.record_id,
                    outcome=outcome,
                    seed=int(_at(fields, "sampling", "seed") or 0),
                    findings=tuple(_finding(finding) for finding in fields["findings"]),  # type: ignore[union-attr]
                    decision=_decision(fields, outcome),
                    data=self._object(fields) if released else None,
                    receipt=self.receipt(event.id) if released else None,
                )
            )
        return GenerationResult(tuple(images))

    def receipt(self, event_id: EventId) -> Receipt:
        """A receipt against the newest checkpoint for a `released` event."""
        with unavailable():
            return receipts.build(self._services.log, event_id)

    def receipt_of(self, record_id: str, caller: Caller) -> Receipt:
        """A fresh receipt for a released record of the caller's tenant; raises `NotFoundError`."""
        return self.receipt(self._released(self._own(record_id, caller)).id)

    def image(self, record_id: str, caller: Caller) -> tuple[bytes, str]:
        """The released file of a record of the caller's tenant, and its media type.

        Raises:
            NotFoundError: no such record, not released, or erased.
        """
        fields = self._released(self._own(record_id, caller)).fields()
        return self._object(fields), str(fields["media_type"])

    def released_file(self, record: Record) -> tuple[bytes, str]:
        """The released file and its media type; raises `NotFoundError` if it was not released, or was erased."""
        fields = self._released(record).fields()
        return self._object(fields), str(fields["media_type"])

    def fingerprint(self, record: Record) -> Fingerprint:
        """The fingerprint of a released record's pixels."""
        fields = self._released(record).fields()
        return Fingerprint(iscc=str(fields["fingerprint"]), phash=str(fields["perceptual_hash"]))

    def pixels_of(self, record: Record) -> tuple[Fingerprint, tuple[int, int], Callable[[], NDArray[np.uint8] | None]]:
        """Fingerprint and size (width, height) of a released picture, and how to get its pixels; None if erased."""
        fields = self._released(record).fields()

        def pixels() -> NDArray[np.uint8] | None:
            try:
                return self._services.decode(self._object(fields)).pixels
            except NotFoundError:
                return None

        return self.fingerprint(record), (int(str(fields["width"])), int(str(fields["height"]))), pixels

    def credential(self, record: Record) -> Mapping[str, Any] | None:
        """Manifest label and digest of the credential that a record was released with; None if it was not."""
        try:
            credential = self._released(record).fields()["credential"]
        except NotFoundError:
            return None
        return credential if isinstance(credential, Mapping) else None

    def disclosure(self, record: Record) -> dict[str, Any]:
        """The public fields of a released record: no prompt, user, tenant, or thumbnail."""
        event = self._released(record)
        fields = event.fields()
        return {
            "record_id": record.record_id,
            "released_at": event.time.isoformat(),
            "created_or_altered": fields["origin"],
            "model": _at(fields, "model", "id"),
            "image_sha256": fields["image_sha256"],
            "width": fields["width"],
            "height": fields["height"],
            "credential": fields["credential"],
        }

    def record(self, record_id: str, caller: Caller) -> dict[str, Any]:
        """What `caller` may see of a record.

        The tenant's auditors see every event and the prompt; the tenant's other keys see state and decision; other
        tenants the public disclosure of released records. Anything else is not found. Of a quarantined record only
        the role `quarantine` sees the prompt.
        """
        record = self._services.records.get(record_id)
        if record.state == "held" and self._services.reviews.expire():
            record = self._services.records.get(record_id)
        if not _may_read(record, caller):
            return {"state": "released", "disclosure": self.disclosure(record)}
        document: dict[str, Any] = {
            "record_id": record.record_id,
            "parent_id": record.parent_id,
            "state": record.state,
            "created_at": record.created_at.isoformat(),
            "disclosure": self.disclosure(record) if record.state == "released" else None,
            "decision": self._public_decision(record),
            "images": [
                {"record_id": one.record_id, "state": one.state}
                for one in self._services.records.siblings(record.parent_id)
            ],
        }
        if {Role.AUDIT, Role.ADMIN, Role.QUARANTINE} & caller.roles:
            ids = dict.fromkeys((record.parent_id, record.record_id))
            with unavailable():
                events = [event for one in ids for event in self._services.log.events(one)]
            may_see = record.state != "quarantined" or Role.QUARANTINE in caller.roles
            document["prompt"] = self._prompt(events) if may_see else {"quarantined": True}
            document["events"] = [_event_document(event) for event in sorted(events, key=lambda event: event.time)]
        return document

    def proofs(self, record_id: str, caller: Caller) -> list[dict[str, Any]]:
        """Leaf, index, inclusion proof and checkpoint of every event of a record of the caller's tenant."""
        record = self._own(record_id, caller)
        with unavailable():
            events = self._services.log.events(record.record_id)
            found = [(event, self._services.log.prove(event.id)) for event in events]
        return [
            {
                "event": event.id,
                "kind": event.kind,
                "leaf": inclusion.leaf.decode(),
                "index": inclusion.index,
                "size": inclusion.checkpoint.size,
                "proof": [base64.b64encode(node).decode() for node in inclusion.proof],
                "checkpoint": inclusion.checkpoint.note,
            }
            for event, inclusion in found
        ]

    def _own(self, record_id: str, caller: Caller) -> Record:
        record = self._services.records.get(record_id)
        self._require_own(record, caller)
        return record

    @staticmethod
    def _require_own(record: Record, caller: Caller) -> None:
        if not _may_read(record, caller):
            raise NotFoundError("no such record")

    def _released(self, record: Record) -> StoredEvent:
        if record.state != "released":
            raise NotFoundError(f"this record is not released, it is {record.state}")
        return self._final_event(record)

    def _public_decision(self, record: Record) -> dict[str, Any] | None:
        """Stage, outcome, categories and policy of a record that the policy decided on; None for any other."""
        outcome = _OUTCOMES.get(record.state)
        if outcome is None:
            return None
        fields = self._final_event(record).fields()
        decision = _decision(fields, outcome)
        if record.state == "held":
            decision["expires_at"] = fields["expires_at"]
        return decision

    def _final_event(self, record: Record) -> StoredEvent:
        """The event that ended a record; a request refused at its prompt has one for all its images."""
        with unavailable():
            for record_id in dict.fromkeys((record.record_id, record.parent_id)):
                for event in reversed(self._services.log.events(record_id)):
                    if event.kind == record.state:
                        if event.index is None:  # just written by another thread: nothing leaves before it is included
                            self._services.log.include(event.id)
                        return event
        raise NotFoundError(f"this record is {record.state}; there is no result")

    def _object(self, fields: Mapping[str, Any]) -> bytes:
        reference = ObjectReference(**fields["objects"][0])
        try:
            with unavailable():
                return self._services.objects.get(reference)
        except ErasedError as error:
            raise NotFoundError("the pixels of this record were erased; the record stays") from error

    def _prompt(self, events: list[StoredEvent]) -> dict[str, Any] | None:
        """Prompt and negative prompt from the vault, or that they were erased."""
        for event in events:
            if event.kind == "received" and (reference := event.fields().get("prompt")):
                try:
                    document: dict[str, Any] = json.loads(
                        self._services.vault.get(VaultReference(**reference))  # type: ignore[arg-type]
                    )
                except ErasedError:
                    return {"erased": True}
                return document
        return None


def _may_read(record: Record, caller: Caller) -> bool:
    return caller.operator or record.tenant == caller.tenant


def _event_document(event: StoredEvent) -> dict[str, Any]:
    return {
        "id": event.id,
        "kind": event.kind,
        "time": event.time.isoformat(),
        "index": event.index,
        "fields": event.fields(),
    }


def _finding(recorded: Any) -> dict[str, Any]:
    """A recorded finding in the form in which callers get it."""
    return {
        "check": recorded["check"],
        "version": recorded["version"],
        "category": recorded["category"],
        "score": float(recorded["score"]),
        "threshold": float(recorded["threshold"]),
        "outcome": recorded["outcome"],
        "evidence": recorded["evidence"],
        "model_digest": recorded["model_digest"],
        "elapsed_s": float(recorded["elapsed_ms"]) / 1000,
    }


def _decision(fields: Mapping[str, Any], outcome: DecisionOutcome) -> dict[str, Any]:
    """The public form of a recorded decision (`Decision.to_public`).

    What a person refused has the categories for which it was held.
    """
    reasons = fields["decision"]["reasons"] if outcome is not DecisionOutcome.RELEASE else []
    severest = max((reason["action"] for reason in reasons), key=_MILD_TO_SEVERE.index, default=None)
    policy = fields["policy"]
    return {
        "stage": fields.get("stage") or fields["decision"]["stage"],
        "outcome": outcome.value,
        "categories": sorted({reason["category"] for reason in reasons if reason["action"] == severest}),
        "policy": {"id": policy["id"], "version": int(policy["version"]), "digest": policy["digest"]},
    }


def _at(fields: Mapping[str, Any], *path: str) -> Any:
    value: Any = fields
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
