"""From a record and its events to what a report says of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from api.records import Record
from api.reports.credentials import Certificates, ManifestStores, credential_statement
from audit.reports import timeline
from audit.reports.bundle import Staging, event_path
from audit.reports.content import (
    CredentialStatement,
    CustodyEntry,
    HumanAct,
    InputStatement,
    Item,
    Match,
    ModelStatement,
    PersonalText,
    TimelineEntry,
    Verdict,
)
from safety.core import ALWAYS_REFUSED
from safety.duplicates.check import LISTED_WORK

if TYPE_CHECKING:
    from api.reports.personal import PersonalData
    from api.reports.pictures import Custody
    from audit.reports.evidence import ProvedEvent
    from provenance.report import CredentialReport
    from safety.duplicates.index import Reference

WITHHELD = (
    "Refused as suspected child-abuse material. No prompt, picture or evidence of this item is in the report or in "
    "the bundle, in any edition. The event is in the log."
)
QUARANTINED = "quarantined"
OWN_PICTURES = ("image", "thumbnail")


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """A proved event with its fields read."""

    proved: ProvedEvent
    fields: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return self.proved.event.kind

    @property
    def id(self) -> str:
        return self.proved.event.id


@dataclass(frozen=True, slots=True)
class ItemSources:
    """What items are made from besides their events."""

    personal: PersonalData
    custody: Custody
    staging: Staging
    read_credential: Callable[[bytes, str], CredentialReport]
    certificates: Certificates
    manifests: ManifestStores
    reference: Callable[[str], Reference | None]
    reference_picture: Callable[[str], bytes | None]
    model: Callable[[Mapping[str, Any]], ModelStatement]


def is_withheld(events: Sequence[ReadEvent]) -> bool:
    """Whether the content of an item must not be shown to anybody."""
    reasons = [
        reason
        for event in events
        for reason in (event.fields.get("decision") or {}).get("reasons", ())
        if isinstance(event.fields.get("decision"), Mapping)
    ]
    return any(event.kind == QUARANTINED for event in events) or any(
        reason["category"] in ALWAYS_REFUSED and reason["action"] == "refuse" for reason in reasons
    )


def events_of(record: Record, by_record: Mapping[str, Sequence[ReadEvent]]) -> list[ReadEvent]:
    """The events of a record, with those of its request that are about all of its images."""
    own = list(by_record.get(record.record_id, ()))
    if record.record_id != record.parent_id:
        ends_itself = any(event.kind == record.state for event in own)
        shared = [
            event
            for event in by_record.get(record.parent_id, ())
            if event.kind == "received"
            or event.fields.get("stage") in ("prompt", "input")
            or (event.kind == record.state and not ends_itself and event.kind in ("failed", "abandoned"))
        ]
        own = shared + own
    return own


def build_item(number: int, record: Record, events: Sequence[ReadEvent], sources: ItemSources) -> Item:
    """Everything that the report says of one record."""
    withheld = is_withheld(events)
    received = _fields_of(events, "received")
    released = _fields_of(events, "released")
    latest: Mapping[str, Any] = released or next((one.fields for one in reversed(events) if "model" in one.fields), {})
    custody, image = _custody(events, released, number, sources, withheld=withheld)
    verdicts = tuple(verdict for one in _final(events) for verdict in timeline.verdicts(one.id, one.fields))
    matches, below = _matches(events, sources)
    decisions = (timeline.decision(one.id, one.fields) for one in events)
    prompt = received.get("prompt")
    texts = sources.personal
    return Item(
        number=number,
        record_id=record.record_id,
        parent_id=record.parent_id,
        tenant=record.tenant,
        state=record.state,
        created_at=record.created_at,
        withheld=WITHHELD if withheld else None,
        image_sha256=released.get("image_sha256"),
        media_type=released.get("media_type"),
        width=released.get("width"),
        height=released.get("height"),
        origin=released.get("origin"),
        fingerprint=released.get("fingerprint"),
        thumbnail=next((entry.thumbnail for entry in custody if entry.role in OWN_PICTURES), None),
        task=received.get("task"),
        inputs=tuple(
            InputStatement(
                role=str(one.get("role")),
                sha256=str(one.get("sha256")),
                media_type=one.get("media_type"),
                size=one.get("size"),
            )
            for one in received.get("inputs") or ()
        ),
        model=sources.model(latest["model"]) if latest.get("model") else None,
        sampling=timeline.facts(latest.get("sampling") or {}),
        prompt=texts.text(prompt, sources.staging, member="prompt", withheld=withheld),
        negative_prompt=texts.text(prompt, sources.staging, member="negative_prompt", withheld=withheld),
        actor=texts.text(received.get("actor"), sources.staging),
        watermark=timeline.facts(released.get("watermark") or {}),
        decisions=tuple(decision for decision in decisions if decision is not None),
        verdicts=tuple(_without_evidence(verdict) for verdict in verdicts) if withheld else verdicts,
        matches=matches,
        neighbours_below=below,
        credential=_credential(record, released, image, sources),
        custody=tuple(custody),
        timeline=tuple(entry_of(one, sources.personal) for one in events),
    )


def entry_of(event: ReadEvent, personal: PersonalData) -> TimelineEntry:
    """One line of a timeline."""
    path = event_path(event.id, event.proved.event.index)
    return timeline.entry(event.proved, event.fields, personal.name, path)


def acts_of(event: ReadEvent, item: Item | None, personal: PersonalData) -> list[HumanAct]:
    """What people did according to an event."""
    return timeline.human_acts(
        event.proved,
        event.fields,
        personal.name,
        item=None if item is None else item.number,
        prompt_characters=_length(item.prompt) if item is not None else None,
        negative_prompt_characters=_length(item.negative_prompt) if item is not None else None,
    )


def _length(text: PersonalText | None) -> int | None:
    return len(text.text) if text is not None and text.text is not None else None


def _fields_of(events: Sequence[ReadEvent], kind: str) -> Mapping[str, Any]:
    return next((event.fields for event in reversed(events) if event.kind == kind), {})


def _final(events: Sequence[ReadEvent]) -> list[ReadEvent]:
    """The events whose findings together are all findings, none twice: a release repeats those before it."""
    with_findings = [event for event in events if event.fields.get("findings")]
    released = [event for event in with_findings if event.kind == "released"]
    return released[-1:] or with_findings


def _custody(
    events: Sequence[ReadEvent], released: Mapping[str, Any], number: int, sources: ItemSources, *, withheld: bool
) -> tuple[list[CustodyEntry], bytes | None]:
    entries: list[CustodyEntry] = []
    image: bytes | None = None
    seen = set()
    for event in events:
        for recorded in event.fields.get("objects") or ():
            if (key := (recorded["sha256"], recorded["role"])) in seen:
                continue
            seen.add(key)
            entry, data = sources.custody.look(recorded, number, withheld=withheld)
            entries.append(entry)
            if data is not None and hashlib.sha256(data).hexdigest() == released.get("image_sha256"):
                image = data
    return entries, image


def _matches(events: Sequence[ReadEvent], sources: ItemSources) -> tuple[tuple[Match, ...], int]:
    """Listed works at or above the threshold, and how many of the recorded neighbours are below it."""
    found: list[Match] = []
    below = 0
    for event in _final(events):
        for finding in event.fields.get("findings") or ():
            evidence = finding.get("evidence") or {}
            for neighbour in evidence.get("nearest") or () if finding["category"] == LISTED_WORK else ():
                threshold = finding.get("threshold")
                if threshold is None or float(neighbour["confidence"]) < float(threshold):
                    below += 1
                else:
                    found.append(_match(event, neighbour, evidence, threshold, sources))
    return tuple(found), below


def _match(
    event: ReadEvent, neighbour: Mapping[str, Any], evidence: Mapping[str, Any], threshold: str, sources: ItemSources
) -> Match:
    reference = sources.reference(neighbour["reference"])
    claim = reference.rights_claim if reference is not None else None
    small = sources.reference_picture(neighbour["reference"])
    name = f"thumbnails/{neighbour['reference']}.jpg"
    return Match(
        event_id=event.id,
        reference=neighbour["reference"],
        rights=f"claimed by {claim}, unverified" if claim else "no claim of rights was handed in",
        source=neighbour.get("source"),
        sha256=reference.sha256 if reference is not None else None,
        width=reference.width if reference is not None else None,
        height=reference.height if reference is not None else None,
        distance=timeline.in_words(neighbour.get("distance_bits")),
        confidence=neighbour.get("confidence"),
        threshold=threshold,
        snapshot=evidence.get("snapshot"),
        method=evidence.get("method"),
        withdrawn=f"{reference.withdrawn_at:%Y-%m-%d}" if reference is not None and reference.withdrawn_at else None,
        thumbnail=None if small is None else sources.staging.add(name, small),
    )


def _credential(
    record: Record, released: Mapping[str, Any], image: bytes | None, sources: ItemSources
) -> CredentialStatement | None:
    recorded = released.get("credential")
    if not recorded:
        return None
    report = None if image is None else sources.read_credential(image, str(released["media_type"]))
    store = sources.manifests.get(record.record_id)
    return credential_statement(
        report,
        recorded,
        is_development=sources.certificates.is_development(recorded.get("signer")),
        path=None if store is None else sources.staging.add(f"credentials/{record.record_id}.c2pa", store),
        certificates=sources.certificates.add(recorded.get("signer")),
    )


def _without_evidence(verdict: Verdict) -> Verdict:
    return replace(verdict, evidence=())
