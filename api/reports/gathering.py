"""Gathers a report: the scope's events, proved and read, and everything that they rest on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from api.records import Record
from api.reports import words
from api.reports.administration import CUSTODY_KINDS, UNRELATED_KINDS, concerned, concerning, erasures
from api.reports.credentials import Certificates, ManifestStores, credential_statement
from api.reports.items import ItemSources, ReadEvent, acts_of, build_item, entry_of, events_of
from api.reports.personal import PersonalData
from api.reports.pictures import Custody, StoredObjects, of_pixels
from api.reports.questions import Period
from api.reports.system import model_statement, system_statement
from audit.log import time_ordered_id
from audit.reports import EvidenceReader, ProvedEvent
from audit.reports.bundle import log_statement
from audit.reports.content import Examination, Fact, HumanAct, Item, Question, Report, Statistics, TrustStatement
from audit.reports.evidence import fields_of
from audit.reports.statistics import RecordFacts, statistics
from safety.registry import default_registry

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.verify import VerificationReport
    from audit.reader import StoredEvent
    from audit.reports.bundle import Staging

_EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scope:
    """The records that a question is about. `data`: the file that was handed in; `examined`: what it shows."""

    question: Question
    records: Sequence[Record]
    period: Period | None = None
    data: bytes = b""
    examined: VerificationReport | None = None


class Gatherer:
    """Makes the full report of one scope.

    Args:
        staging: gets the files that the report refers to.
    """

    def __init__(self, services: Imprimatur, scope: Scope, staging: Staging) -> None:
        self._services = services
        self._scope = scope
        self._staging = staging
        self._reader = EvidenceReader(services.database.engine, services.log.public_key)
        self._certificates = Certificates(services.publisher.keys.current(), staging)

    def gather(self) -> tuple[Report, list[ProvedEvent]]:
        """The report, still without an answer in words for its files, and the events that it rests on."""
        services = self._services
        ids = dict.fromkeys(one for record in self._scope.records for one in (record.parent_id, record.record_id))
        of_records = self._reader.of_records(list(ids))
        acts = self._administration(list(ids), of_records)
        stamp = self._reader.newest_stamp()
        events = [ReadEvent(one, fields_of(one.event)) for one in self._reader.prove([*of_records, *acts], stamp)]
        own, administration = events[: len(of_records)], events[len(of_records) :]
        personal = PersonalData(services.vault, [event.fields for event in events], erasures(administration))
        administration = self._concerning(administration, own, personal)

        items, human_acts = self._items(own, personal)
        shown = {entry.event_id for item in items for entry in item.timeline}
        hidden = {entry.event_id for item in items if item.withheld for entry in item.timeline}
        kept = [
            replace(event.proved, withhold_private=event.id in hidden)
            for event in events
            if event.id in shown or event in administration
        ]
        human_acts += [act for event in administration for act in acts_of(event, None, personal)]
        report = Report(
            id=time_ordered_id(services.clock()),
            made_at=services.clock(),
            edition="full",
            question=self._scope.question,
            answer=(),
            system=system_statement(
                items,
                (str(name) for event in own if (name := (event.fields.get("details") or {}).get("build"))),
                provider=services.settings.provider,
                declarations=default_registry().declarations(),
                policies=services.policies,
                staging=self._staging,
            ),
            examination=self._examination(),
            items=tuple(items),
            administration=tuple(entry_of(event, personal) for event in administration),
            human_acts=tuple(sorted(human_acts, key=lambda act: (act.time, act.item or 0))),
            statistics=self._statistics(),
            log=log_statement(self._reader, kept, stamp, self._staging),
            trust=self._trust(),
            limits=words.LIMITS,
        )
        return replace(report, answer=words.answer(report)), kept

    def _items(self, own: Sequence[ReadEvent], personal: PersonalData) -> tuple[list[Item], list[HumanAct]]:
        services = self._services
        by_record: dict[str, list[ReadEvent]] = {}
        for event in own:
            by_record.setdefault(event.proved.event.record_id or "", []).append(event)
        objects = StoredObjects(services.objects, services.vault)
        sources = ItemSources(
            personal=personal,
            custody=Custody(objects, lambda data: services.decode(data).pixels, self._staging),
            staging=self._staging,
            read_credential=services.publisher.read,
            certificates=self._certificates,
            manifests=ManifestStores(services.database.engine, objects, self._scope.records),
            reference=services.references.get,
            reference_picture=services.references.thumbnail,
            model=lambda recorded: model_statement(recorded, services.catalogue),
        )
        records = self._scope.records
        events = [events_of(record, by_record) for record in records]
        # Reading objects, making small pictures and validating credentials leave Python's lock most of the time.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            numbers = range(1, len(records) + 1)
            items = list(pool.map(build_item, numbers, records, events, itertools.repeat(sources)))
        acts: list[HumanAct] = []
        seen: set[str] = set()
        for item, related in zip(items, events, strict=True):
            for event in related:
                if event.id not in seen:
                    seen.add(event.id)
                    acts += acts_of(event, item, personal)
        return items, acts

    def _administration(self, ids: Sequence[str], of_records: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Acts that belong to no record and may concern the scope, oldest first."""
        found: dict[str, StoredEvent] = {}
        period = self._scope.period
        if period is not None:
            in_period = self._reader.period(period.since, period.until, without_record=True)
            found.update((event.id, event) for event in in_period if event.kind not in UNRELATED_KINDS)
        else:
            policies = {digest for event in of_records if (digest := _policy_digest(fields_of(event)))}
            found.update((event.id, event) for event in self._reader.mentioning([*ids, *policies], _EVER))
        if ids:
            until = self._services.clock()
            of_custody = self._reader.period(_EVER, until, kinds=CUSTODY_KINDS, without_record=True)
            found.update((event.id, event) for event in of_custody)
        return sorted(found.values(), key=lambda event: (event.time, event.id))

    def _concerning(
        self, acts: Sequence[ReadEvent], own: Sequence[ReadEvent], personal: PersonalData
    ) -> list[ReadEvent]:
        wanted = self._scope.question.tenant
        tenants = {record.tenant for record in self._scope.records} | ({wanted} if wanted is not None else set())
        period = self._scope.period
        who = concerned(
            own,
            personal,
            records=[record.record_id for record in self._scope.records],
            tenants=sorted(tenants),
            everybody=False,
        )
        if period is None or wanted is not None:
            return concerning(acts, who, personal)
        inside = [act for act in acts if period.since <= act.proved.event.time < period.until]
        outside = [act for act in acts if act not in inside]
        return sorted(
            [*concerning(inside, replace(who, everybody=True), personal), *concerning(outside, who, personal)],
            key=lambda act: (act.proved.event.time, act.id),
        )

    def _examination(self) -> Examination | None:
        examined = self._scope.examined
        if examined is None:
            return None
        pixels = self._services.decode(self._scope.data).pixels
        image = examined.image
        credential = self._services.publisher.read(self._scope.data, f"image/{str(image['format']).lower()}")
        digest = str(image["sha256"])
        return Examination(
            sha256=digest,
            format=str(image["format"]),
            width=int(image["width"]),
            height=int(image["height"]),
            conclusion=examined.conclusion,
            conclusions=examined.conclusions,
            evidence=tuple(Fact(name=f"{one.technique}: {one.status}", value=one.summary) for one in examined.evidence),
            limits=tuple(dict.fromkeys(limit for one in examined.evidence if (limit := one.limits))),
            credential=None
            if credential.state == "none"
            else credential_statement(credential, None, is_development=False),
            thumbnail=self._staging.add(f"thumbnails/handed-in-{digest[:16]}.jpg", of_pixels(pixels)),
        )

    def _statistics(self) -> Statistics | None:
        period, tenant = self._scope.period, self._scope.question.tenant
        if period is None:
            return None
        records = {
            record.record_id: RecordFacts(record.tenant, record.parent_id)
            for record in self._services.records.opened(until=period.until, tenant=tenant)
        }
        events = self._reader.period(period.since, period.until)
        return statistics(events, records, since=period.since, until=period.until, tenant=tenant)

    def _trust(self) -> TrustStatement:
        trust = self._services.publisher.trust.current()
        return TrustStatement(
            name=trust.name,
            sha256=trust.digest,
            anchors=len(trust.anchors),
            as_of=trust.dated or "no date",
            path=self._staging.add(f"trust/{trust.digest}.json", trust.document),
        )


def _policy_digest(fields: Mapping[str, Any]) -> str | None:
    policy = fields.get("policy")
    return str(policy["digest"]) if isinstance(policy, Mapping) and policy.get("digest") else None
