"""What the audit log records: one versioned schema per kind of event.

An event has a *public part*, which a receipt may disclose, and a *private part*. The body that the ledger
commits to is canonical JSON of `{kind, private, public, record, schema}`, where `private` is itself a salted
commitment. So the body can be shown to a customer without showing what the private part says.

Personal data (prompts, user names) is in neither part: it goes to the vault, and the event carries the
`VaultReference`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, ClassVar, NewType, get_args, get_origin, get_type_hints

from audit.canonical import JsonValue, dump_canonical, to_json
from audit.errors import BodyTooLargeError, EventError
from audit.records import (
    Credential,
    Decision,
    Doc,
    Finding,
    Input,
    Model,
    NearestReference,
    ObjectReference,
    Policy,
    Sampling,
    VaultReference,
    Watermark,
)
from audit.tables import MAX_BODY_BYTES

EventId = NewType("EventId", str)
"""A version 7 UUID in its text form."""

_RECORD_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Public(Doc):
    """Marks a field that receipts may disclose."""


@dataclass(frozen=True)
class Private(Doc):
    """Marks a field that only the operator and the auditor see."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """What every kind of event has."""

    kind: ClassVar[str]
    schema: ClassVar[int] = 1
    doc: ClassVar[str]

    details: Annotated[
        Mapping[str, Any], Private("Further facts, JSON without floats; nothing that code relies on.")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Received(Body):
    kind = "received"
    doc = "A request was accepted; durable before any work on it."

    task: Annotated[str, Private("`text-to-image`, `image-to-image`, ...")]
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None
    actor: Annotated[VaultReference | None, Private("User or API key, in the vault.")] = None
    prompt: Annotated[VaultReference | None, Private("Prompt, in the vault.")] = None
    negative_prompt: Annotated[VaultReference | None, Private("Negative prompt, in the vault.")] = None
    inputs: Annotated[tuple[Input, ...], Private("Pictures that came with the request; they are not kept.")] = ()
    sampling: Annotated[Sampling | None, Private("What was asked for.")] = None
    model: Annotated[Model | None, Private("Model that was asked for.")] = None
    idempotency_key: Annotated[str | None, Private("SHA-256 of the caller's `Idempotency-Key`.")] = None
    policy: Annotated[Policy | None, Private("Policy in force for the tenant.")] = None


@dataclass(frozen=True, kw_only=True)
class Refused(Body):
    kind = "refused"
    doc = "A policy refused a prompt or an image; nothing left."

    stage: Annotated[str, Private("`prompt`, `input` (a picture that came with the request) or `image`.")]
    decision: Annotated[Decision, Private("Outcome and reasons.")]
    findings: Annotated[tuple[Finding, ...], Private("All findings of the stage.")]
    policy: Annotated[Policy, Private("Policy that decided.")]
    objects: Annotated[tuple[ObjectReference, ...], Private("What was kept of it.")] = ()
    review: Annotated[str | None, Private("Event of the review that decided, by its id.")] = None


@dataclass(frozen=True, kw_only=True)
class Quarantined(Body):
    kind = "quarantined"
    doc = (
        "Suspected child-abuse material: refused, kept out of queues, reports and bundles, and shown to the role "
        "`quarantine` alone. No pixels are kept."
    )

    stage: Annotated[str, Private("`prompt`, `input` (a picture that came with the request) or `image`.")]
    decision: Annotated[Decision, Private("Outcome and reasons.")]
    findings: Annotated[tuple[Finding, ...], Private("Findings of the stage, without their evidence.")]
    policy: Annotated[Policy, Private("Policy in force; the refusal is the fixed core's.")]


@dataclass(frozen=True, kw_only=True)
class Held(Body):
    kind = "held"
    doc = "A policy sent an image to human review; nothing left."

    stage: Annotated[str, Private("`prompt`, `input` (a picture that came with the request) or `image`.")]
    decision: Annotated[Decision, Private("Outcome and reasons.")]
    findings: Annotated[tuple[Finding, ...], Private("All findings.")]
    policy: Annotated[Policy, Private("Policy that decided.")]
    objects: Annotated[tuple[ObjectReference, ...], Private("What waits for review.")] = ()
    review: Annotated[str | None, Private("Item of the queue, by its id.")] = None
    image_sha256: Annotated[str | None, Private("SHA-256 of the unsigned file; null at the prompt.")] = None
    expires_at: Annotated[datetime | None, Private("When it is refused if nobody decided.")] = None


@dataclass(frozen=True, kw_only=True)
class ReviewDecided(Body):
    kind = "review_decided"
    doc = "A held item was approved or rejected by a person, or its time ran out."

    review: Annotated[str, Private("Item of the queue, by its id.")]
    stage: Annotated[str, Private("`prompt`, `input` (a picture that came with the request) or `image`.")]
    decision: Annotated[str, Private("`approved`, `rejected` or `expired`.")]
    reason: Annotated[str, Private("What the reviewer wrote, without personal data.")]
    reviewer: Annotated[VaultReference | None, Private("Reviewer, in the vault; null when the time ran out.")]
    held: Annotated[str, Private("The event that held it, by its id.")]
    policy: Annotated[Policy, Private("Policy that held it.")]
    categories: Annotated[tuple[str, ...], Private("What it was held for.")]
    tenant: Annotated[str, Private("Tenant, by its id.")]


@dataclass(frozen=True, kw_only=True)
class Failed(Body):
    kind = "failed"
    doc = "A step could not run; nothing left."

    stage: Annotated[str, Private("Step that failed.")]
    error: Annotated[str, Private("Type of the error, by its name.")]
    message: Annotated[str, Private("What it said, without personal data.")]


@dataclass(frozen=True, kw_only=True)
class Abandoned(Body):
    kind = "abandoned"
    doc = "An attempt's lease expired without an end; nothing left."

    attempt: Annotated[str, Private("Attempt, by its id.")]
    reason: Annotated[str, Private("What the closer of the attempt saw.")]


@dataclass(frozen=True, kw_only=True)
class Released(Body):
    kind = "released"
    doc = "An image was authorised to leave. One event per image."

    image_sha256: Annotated[str, Public("SHA-256 of the file that leaves, hexadecimal.")]
    media_type: Annotated[str, Public("Media type of that file.")]
    width: Annotated[int, Public("Pixels.")]
    height: Annotated[int, Public("Pixels.")]
    origin: Annotated[str, Public("`created` (made by the model) or `altered` (made from an image).")]
    credential: Annotated[Credential | None, Public("Manifest inside the file.")]
    fingerprint: Annotated[str | None, Public("Fingerprint of the pixels (ISCC Image-Code).")] = None
    perceptual_hash: Annotated[str | None, Public("Perceptual hash of the pixels, 256 bits, hexadecimal.")] = None
    decision: Annotated[Decision, Private("Outcome and reasons.")]
    findings: Annotated[tuple[Finding, ...], Private("All findings, of the prompt and of the image.")]
    policy: Annotated[Policy, Private("Policy that decided.")]
    model: Annotated[Model, Private("Model that made the pixels.")]
    sampling: Annotated[Sampling, Private("How it was run; enough to run it again.")]
    watermark: Annotated[
        Watermark | None, Private("Mark and its read-back from the pixels that ship; none where they carry no mark.")
    ]
    task: Annotated[str | None, Private("`text-to-image`, `image-to-image`, ...")] = None
    inputs: Annotated[tuple[Input, ...], Private("Pictures that it was made from.")] = ()
    nearest_reference: Annotated[NearestReference | None, Private("Nearest listed work.")] = None
    prompt: Annotated[VaultReference | None, Private("Prompt, in the vault.")] = None
    actor: Annotated[VaultReference | None, Private("User or API key, in the vault.")] = None
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None
    objects: Annotated[tuple[ObjectReference, ...], Private("What was stored of it.")] = ()
    attempt: Annotated[str | None, Private("Attempt, by its id.")] = None
    review: Annotated[str | None, Private("Event of the review that approved it, by its id.")] = None

    def __post_init__(self) -> None:
        _require_sha256("image_sha256", self.image_sha256)
        if self.origin not in ("created", "altered"):
            raise EventError(f"origin is {self.origin!r}; expected 'created' or 'altered'")


@dataclass(frozen=True, kw_only=True)
class Rejected(Body):
    kind = "rejected"
    doc = "An input could not be used (no such size, no image, ...); no attempt was made. Says what, not the input."

    flow: Annotated[str, Private("`generate`, `verify` or `moderate`.")]
    error: Annotated[str, Private("Code of the error.")]
    message: Annotated[str, Private("What it said.")]
    parameter: Annotated[str | None, Private("Parameter at fault.")] = None
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None


@dataclass(frozen=True, kw_only=True)
class Verified(Body):
    kind = "verified"
    doc = "A file was examined. The file itself is not kept; the event holds a salted commitment to its digest."

    file_commitment: Annotated[str, Private("SHA-256(salt ‖ SHA-256 of the file), hexadecimal; the salt is discarded.")]
    conclusion: Annotated[str, Private("Headline.")]
    conclusions: Annotated[tuple[str, ...], Private("All conclusions that hold.")]
    evidence: Annotated[tuple[Mapping[str, Any], ...], Private("Technique and status of each piece.")] = ()
    matched_record: Annotated[str | None, Private("Our record that the file led to.")] = None
    trust_list: Annotated[str | None, Private("Digest of the trust list that was used; its snapshot is kept.")] = None
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None


@dataclass(frozen=True, kw_only=True)
class Moderated(Body):
    kind = "moderated"
    doc = "Texts or images were examined for a caller. Nothing of them is kept, nor a digest of them."

    texts: Annotated[int, Private("Texts examined.")]
    images: Annotated[int, Private("Images examined.")]
    flagged: Annotated[int, Private("Inputs that were flagged.")]
    categories: Annotated[tuple[str, ...], Private("For what, over all inputs.")]
    policy: Annotated[Policy, Private("Policy that decided.")]
    actor: Annotated[VaultReference | None, Private("User or API key, in the vault.")] = None
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None


@dataclass(frozen=True, kw_only=True)
class PolicyChanged(Body):
    kind = "policy_changed"
    doc = "Another policy came into force, for one tenant or for the house."

    tenant: Annotated[str | None, Private("Tenant, by its id; null for the house, which others follow.")]
    policy: Annotated[Policy, Private("Policy from now on.")]
    before: Annotated[Policy | None, Private("Policy until now; null where there was none.")]
    changes: Annotated[tuple[str, ...], Private("What changed, one line a field, each `stricter` or `looser`.")]
    reason: Annotated[str, Private("Why.")]
    actor: Annotated[VaultReference | None, Private("Who changed it, in the vault; null: the service.")] = None


@dataclass(frozen=True, kw_only=True)
class ReferencesAdded(Body):
    kind = "references_added"
    doc = "Listed works were added to the reference index."

    snapshot: Annotated[str, Private("Index snapshot after the addition.")]
    count: Annotated[int, Private("Works added.")]
    sources: Annotated[tuple[str, ...], Private("Who claims the rights, or where the list came from.")] = ()
    listing: Annotated[ObjectReference | None, Private("The full list of digests, as an object.")] = None


@dataclass(frozen=True, kw_only=True)
class ReferencesWithdrawn(Body):
    kind = "references_withdrawn"
    doc = "Listed works were taken out of the reference index."

    snapshot: Annotated[str, Private("Index snapshot after the withdrawal.")]
    count: Annotated[int, Private("Works withdrawn.")]
    reason: Annotated[str, Private("Why.")]
    references: Annotated[tuple[str, ...], Private("The works, by their ids.")] = ()


@dataclass(frozen=True, kw_only=True)
class ModelAdded(Body):
    kind = "model_added"
    doc = "A model came into the catalogue."

    model: Annotated[Model, Private("Model, with its digest.")]
    source: Annotated[str, Private("Folder, or `hub:owner/name`.")]
    revision: Annotated[str, Private("Commit on the hub; `local` for a folder.")]
    licence: Annotated[str, Private("As stated by who added it.")]


@dataclass(frozen=True, kw_only=True)
class KeyCreated(Body):
    kind = "key_created"
    doc = "A key or certificate came into use."

    purpose: Annotated[str, Private("`ledger`, `credential`, `watermark`, `vault epoch`, `api`.")]
    key_id: Annotated[str, Private("Public name or digest of the key; never the key.")]
    public_key: Annotated[str | None, Private("Public key or certificate digest.")] = None


@dataclass(frozen=True, kw_only=True)
class KeyRevoked(Body):
    kind = "key_revoked"
    doc = "A key or certificate may not be used any more."

    purpose: Annotated[str, Private("As in `key_created`.")]
    key_id: Annotated[str, Private("Public name or digest of the key; never the key.")]


@dataclass(frozen=True, kw_only=True)
class KeyRotated(Body):
    kind = "key_rotated"
    doc = "The service was found to use another key or certificate than before."

    purpose: Annotated[str, Private("As in `key_created`.")]
    before: Annotated[str, Private("Public name or digest of the key used until now.")]
    after: Annotated[str, Private("Public name or digest of the key used from now on.")]


@dataclass(frozen=True, kw_only=True)
class KeyDestroyed(Body):
    kind = "key_destroyed"
    doc = "An erasure was completed: the vault's old epoch key was destroyed and the erased objects were removed."

    purpose: Annotated[str, Private("As in `key_created`; so far always `vault epoch`.")]
    key_id: Annotated[str, Private("Public name of the key that no longer exists.")]
    objects: Annotated[int, Private("Files removed from the object store.")]


@dataclass(frozen=True, kw_only=True)
class TrustListUpdated(Body):
    kind = "trust_list_updated"
    doc = "Another trust list came into force for verification."

    list: Annotated[str, Private("Which list, by its name.")]
    digest: Annotated[str, Private("SHA-256 of the list from now on.")]
    before: Annotated[str | None, Private("SHA-256 of the list until now; null where there was none.")] = None
    anchors: Annotated[int | None, Private("Certificates on it.")] = None
    source: Annotated[str | None, Private("Where it came from: address or file name.")] = None
    actor: Annotated[VaultReference | None, Private("Who changed it, in the vault; null: the service.")] = None


@dataclass(frozen=True, kw_only=True)
class LoginFailures(Body):
    kind = "login_failures"
    doc = "A burst of calls with unknown, wrong or revoked API keys. One event a burst, not one a call."

    count: Annotated[int, Private("Refused calls in the burst.")]
    began: Annotated[str, Private("Time of its first call.")]
    ended: Annotated[str, Private("Time of its last call.")]
    sources: Annotated[int, Private("Different addresses that they came from; the addresses are not kept.")]
    key_ids: Annotated[
        tuple[str, ...], Private("Ids of existing keys that were tried with a wrong secret, or revoked.")
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Erased(Body):
    kind = "erased"
    schema = 2
    doc = (
        "Personal data was erased from the vault: its rows are gone, all other keys are wrapped under a new epoch key. "
        "`key_destroyed` follows when the old epoch key is destroyed and the objects are removed."
    )

    subject_ids: Annotated[tuple[str, ...], Private("The vault's random ids of what was erased; lead to nothing now.")]
    items: Annotated[int, Private("Vault items erased.")]
    epoch_before: Annotated[int, Private("Epoch whose key is destroyed.")]
    epoch_after: Annotated[int, Private("Epoch under which the survivors' keys are wrapped.")]
    epoch_key: Annotated[str, Private("Public name of the epoch key that is destroyed, as in `key_destroyed`.")]
    ground: Annotated[str, Private("On whose request or under which rule.")]
    actor: Annotated[VaultReference | None, Private("Who erased, in the vault; null: a retention rule.")] = None


@dataclass(frozen=True, kw_only=True)
class RetentionRun(Body):
    kind = "retention_run"
    doc = "The retention rules were applied; `erased` events say what was erased."

    rules: Annotated[tuple[Mapping[str, Any], ...], Private("Each rule: `kind`, `tenant` (null: all others), `days`.")]
    expired: Annotated[int, Private("Keys (one a subject, kind of data and month) that were erased.")]
    items: Annotated[int, Private("Vault items erased.")]
    withheld: Annotated[int, Private("Keys whose time was over and that a legal hold kept.")]
    actor: Annotated[VaultReference | None, Private("Who ran it, in the vault; null: the service.")] = None


@dataclass(frozen=True, kw_only=True)
class HoldPlaced(Body):
    kind = "hold_placed"
    doc = "A legal hold was placed: what it covers can be neither erased nor expire until it is released."

    hold_id: Annotated[str, Private("The hold, by its id.")]
    scope: Annotated[str, Private("`subject`, `tenant` or `records`.")]
    subject: Annotated[VaultReference | None, Private("Whose data, in the vault.")] = None
    tenant: Annotated[str | None, Private("Tenant, by its id.")] = None
    records: Annotated[tuple[str, ...], Private("Records, by their ids.")] = ()
    reason: Annotated[str, Private("Why: the matter, by its reference.")]
    actor: Annotated[VaultReference | None, Private("Who placed it, in the vault.")] = None


@dataclass(frozen=True, kw_only=True)
class HoldReleased(Body):
    kind = "hold_released"
    doc = "A legal hold was released."

    hold_id: Annotated[str, Private("The hold, by its id.")]
    reason: Annotated[str, Private("Why.")]
    actor: Annotated[VaultReference | None, Private("Who released it, in the vault.")] = None


@dataclass(frozen=True, kw_only=True)
class ReportMade(Body):
    kind = "report_made"
    doc = "A report for legal review was made; its full edition shows personal data."

    report: Annotated[str, Private("The report, by its id.")]
    question: Annotated[str, Private("`request`, `image`, `period` or `policy_incidents`.")]
    edition: Annotated[str, Private("`full` or `redacted`.")]
    items: Annotated[int, Private("Records that it covers.")]
    records: Annotated[tuple[str, ...], Private("Those records, by their ids; empty if they are more than one.")] = ()
    data_sha256: Annotated[str, Private("SHA-256 of the bundle's `report.json`, hexadecimal.")]
    actor: Annotated[VaultReference | None, Private("Who made it, in the vault.")] = None


KINDS: tuple[type[Body], ...] = (
    Received,
    Refused,
    Quarantined,
    Held,
    ReviewDecided,
    Failed,
    Abandoned,
    Released,
    Rejected,
    Verified,
    Moderated,
    PolicyChanged,
    ReferencesAdded,
    ReferencesWithdrawn,
    ModelAdded,
    KeyCreated,
    KeyRevoked,
    KeyRotated,
    KeyDestroyed,
    TrustListUpdated,
    LoginFailures,
    Erased,
    RetentionRun,
    HoldPlaced,
    HoldReleased,
    ReportMade,
)


@dataclass(frozen=True)
class Event:
    """One thing that happened.

    Args:
        record_id: record that it belongs to; None for administrative acts. Letters, digits and `_ . : -`, at
            most 128.
        body: one of `KINDS`.
    """

    record_id: str | None
    body: Body

    def __post_init__(self) -> None:
        if self.record_id is not None and not _RECORD_ID.fullmatch(self.record_id):
            raise EventError(
                f"record id {self.record_id[:140]!r} is refused; expected 1 to 128 letters, digits, _ . : -"
            )

    @property
    def kind(self) -> str:
        return self.body.kind


@dataclass(frozen=True)
class EncodedBody:
    """The exact bytes of an event: `commitment` = SHA-256(`salt` ‖ `body`)."""

    body: bytes
    private: bytes
    salt: bytes
    private_salt: bytes
    commitment: bytes


def encode(event: Event, salt: bytes, private_salt: bytes) -> EncodedBody:
    """Canonical bytes of both parts and the commitment.

    Args:
        salt: 32 random bytes, for the body.
        private_salt: 32 more, for the private part.

    Raises:
        FloatInBodyError, BodyValueError: a value that canonical JSON cannot carry.
        BodyTooLargeError: a part is over 65,535 bytes.
    """
    parts: dict[bool, dict[str, JsonValue]] = {True: {}, False: {}}
    kind: Any = type(event.body)
    for name, is_public in _fields(kind):
        path = f"$.{'public' if is_public else 'private'}.{name}"
        parts[is_public][name] = to_json(getattr(event.body, name), path)
    private_bytes = _within_limit(dump_canonical(parts[False]), "private part")
    content: dict[str, JsonValue] = {
        "kind": event.kind,
        "private": commitment(private_salt, private_bytes).hex(),
        "public": parts[True],
        "record": event.record_id,
        "schema": event.body.schema,
    }
    body = _within_limit(dump_canonical(content), "body")
    return EncodedBody(body, private_bytes, salt, private_salt, commitment(salt, body))


def marker(body: Body | type[Body], name: str) -> Public | Private:
    """How the schema marks a field."""
    kind: Any = body if isinstance(body, type) else type(body)
    return _markers(kind)[name]


@functools.cache
def _fields(kind: type[Body]) -> tuple[tuple[str, bool], ...]:
    """(name, whether it is public) of a schema's fields, in canonical order."""
    names = sorted(attribute.name for attribute in dataclasses.fields(kind))
    return tuple((name, isinstance(marker(kind, name), Public)) for name in names)


def commitment(salt: bytes, content: bytes) -> bytes:
    """SHA-256(`salt` ‖ `content`): binds to the content, tells nothing of it while the salt is secret."""
    return hashlib.sha256(salt + content).digest()


@functools.cache
def _markers(kind: Hashable) -> dict[str, Public | Private]:
    hints = get_type_hints(kind, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items() if get_origin(hint) is Annotated}


def _within_limit(data: bytes, part: str) -> bytes:
    if len(data) > MAX_BODY_BYTES:
        raise BodyTooLargeError(
            f"the event's {part} has {len(data)} bytes, at most {MAX_BODY_BYTES} are allowed; "
            "store large evidence as an object and record its digest"
        )
    return data


def _require_sha256(name: str, value: str) -> None:
    if not _SHA256.fullmatch(value):
        raise EventError(f"{name} is {value[:80]!r}; expected 64 lower-case hexadecimal digits")
