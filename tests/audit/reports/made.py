"""A small report over a real log: two released images and one refusal, with everything that a bundle holds."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image
from sqlalchemy import Engine

from audit import AuditLog, Event, ObjectStore, Vault
from audit.events import Received, Refused, Released, ReportMade
from audit.records import Decision, Finding, Policy, Reason, Sampling, VaultReference
from audit.reports import EvidenceReader, ProvedEvent, Report, timeline
from audit.reports.bundle import Staging, event_path, log_statement
from audit.reports.content import (
    Build,
    CheckStatement,
    CredentialCode,
    CredentialStatement,
    CustodyEntry,
    Fact,
    Item,
    Match,
    Measurement,
    ModelStatement,
    PersonalText,
    PolicyStatement,
    Question,
    Rate,
    System,
    TrustStatement,
    Verdict,
)
from audit.stamping import Stamper
from audit.vault import Disclosure
from tests.audit.samples import released

POLICY = b'{"id":"default","version":1}'
POLICY_DIGEST = hashlib.sha256(POLICY).hexdigest()
HOSTILE_PROMPT = (
    '#import "/etc/passwd": * #panic("x") $x$ *b* _i_ `c` <label> @ref // end\n'
    "\u202etxt.exe\u202c مرحبا 中文 😀 Привет a\u0301\u0302\u0303\u0304\u0305 \x1b[31m"
)
CUSTOMER = "acme/user/jane.doe@example.com"


def picture(seed: int) -> bytes:
    """A PNG that differs by its seed."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), (seed * 40 % 256, 90, 160)).save(out, "PNG")
    return out.getvalue()


@dataclass(frozen=True)
class Made:
    """The report, the events that it rests on, and its files."""

    report: Report
    proved: list[ProvedEvent]
    staging: Staging


def make_report(
    log: AuditLog,
    engine: Engine,
    vault: Vault,
    objects: ObjectStore,
    folder: Path,
    stamper: Stamper | None = None,
    prompt: str = HOSTILE_PROMPT,
) -> Made:
    """Records what happened, has a checkpoint stamped in the middle of it, and gathers the report."""
    references = []
    for number in (1, 2):
        references.append(_record_release(log, vault, objects, f"rec_{number}", picture(number), prompt))
        if number == 1 and stamper is not None:
            stamper.stamp(log.checkpoint())
    log.record(Event("rec_3", _refusal()))
    log.record(
        Event(None, ReportMade(report="earlier", question="request", edition="full", items=1, data_sha256="ab" * 32))
    )
    folder.mkdir(parents=True, exist_ok=True)
    return _gather(log, engine, vault, Staging(folder))


def _record_release(
    log: AuditLog, vault: Vault, objects: ObjectStore, record_id: str, image: bytes, prompt: str
) -> VaultReference:
    document = json.dumps({"prompt": prompt, "negative_prompt": "blurry"}).encode()
    text = vault.put(CUSTOMER, "prompt", document)
    actor = vault.put(CUSTOMER, "actor", CUSTOMER.encode())
    sampling = Sampling(64, 48, seed="7", steps=4)
    log.record(
        Event(record_id, Received(task="text-to-image", tenant="acme", prompt=text, actor=actor, sampling=sampling))
    )
    stored = objects.put(image, CUSTOMER)
    event = released(image, record_id, text, (stored,))
    assert isinstance(event.body, Released)
    body = dataclasses.replace(event.body, actor=actor, policy=Policy("default", "1", POLICY_DIGEST))
    log.record(Event(record_id, body))
    return text


def _refusal() -> Refused:
    return Refused(
        stage="prompt",
        decision=Decision("refuse", "prompt", (Reason("prompt", "violence", "prompt.rules", "refuse"),)),
        findings=(
            Finding("prompt.rules", "1", "violence", "block", "1", "1", evidence={"terms": ["a secret term"]}),
            Finding("prompt.rules", "1", "hate", "pass", "0", "1"),
        ),
        policy=Policy("default", "1", POLICY_DIGEST),
    )


def _gather(log: AuditLog, engine: Engine, vault: Vault, staging: Staging) -> Made:
    reader = EvidenceReader(engine, log.public_key)
    stamp = reader.newest_stamp()
    period = list(reader.period(datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)))
    proved = reader.prove(period, stamp)

    def name(reference: object) -> str | None:
        found = next(iter(vault.disclose([VaultReference(**reference)]).values()))  # type: ignore[arg-type]
        return found.plaintext.decode() if isinstance(found, Disclosure) else None

    items = [
        _item(
            number,
            record_id,
            [one for one in proved if one.event.record_id == record_id],
            name,
            vault,
            staging,
        )
        for number, record_id in enumerate(("rec_1", "rec_2", "rec_3"), start=1)
    ]
    own = {entry.event_id for item in items for entry in item.timeline}
    administration = [one for one in proved if one.event.id not in own]
    acts = [
        act
        for item in items
        for one in proved
        if one.event.record_id == item.record_id
        for act in timeline.human_acts(one, one.event.fields(), name, item=item.number, prompt_characters=3)
    ]
    report = Report(
        id="01a204db-0000-7000-8000-000000000001",
        made_at=datetime(2026, 11, 22, 20, 0, tzinfo=UTC),
        edition="full",
        question=Question(kind="request", text="What happened with the request rec_1?", record_id="rec_1"),
        answer=("2 records were released, 1 refused.",),
        system=_system(staging),
        items=tuple(items),
        administration=tuple(
            timeline.entry(one, one.event.fields(), name, event_path(one.event.id, one.event.index))
            for one in administration
        ),
        human_acts=tuple(acts),
        log=log_statement(reader, proved, stamp, staging),
        trust=TrustStatement(name="test list", sha256="ab" * 32, anchors=1, as_of="2026-11-22"),
        limits=("The log proves what was recorded.",),
    )
    return Made(report, proved, staging)


def _item(
    number: int,
    record_id: str,
    events: list[ProvedEvent],
    name: Callable[[object], str | None],
    vault: Vault,
    staging: Staging,
) -> Item:
    fields = [(one, one.event.fields()) for one in events]
    image = next((each for one, each in fields if one.event.kind == "released"), None)
    received = next((each for one, each in fields if one.event.kind == "received"), {})
    custody: tuple[CustodyEntry, ...] = ()
    if image is not None:
        digest, data = str(image["image_sha256"]), picture(number)
        path = staging.add(f"items/{number:05d}.png", data)
        small = staging.add(f"thumbnails/{number:05d}.png", data)
        custody = (
            CustodyEntry(role="image", sha256=digest, size=len(data), state="present", path=path, thumbnail=small),
        )
    verdicts: list[Verdict] = [verdict for one, each in fields for verdict in timeline.verdicts(one.event.id, each)]
    decisions = [timeline.decision(one.event.id, each) for one, each in fields]
    return Item(
        number=number,
        record_id=record_id,
        parent_id=record_id,
        tenant="acme",
        state=events[-1].event.kind,
        created_at=events[0].event.time,
        image_sha256=None if image is None else str(image["image_sha256"]),
        media_type="image/png",
        width=64,
        height=48,
        origin="created",
        fingerprint=None,
        thumbnail=custody[0].thumbnail if custody else None,
        task="text-to-image",
        model=ModelStatement(id="emblem", digest="ef" * 32, engine="diffusion"),
        prompt=_text(received.get("prompt"), "prompt", vault, staging),
        actor=_text(received.get("actor"), None, vault, staging),
        decisions=tuple(decision for decision in decisions if decision is not None),
        verdicts=tuple(verdicts),
        matches=_matches(events[-1], staging) if number == 2 else (),
        credential=_credential() if image is not None else None,
        custody=custody,
        timeline=tuple(
            timeline.entry(one, each, name, event_path(one.event.id, one.event.index)) for one, each in fields
        ),
    )


def _text(value: object, member: str | None, vault: Vault, staging: Staging) -> PersonalText | None:
    if not isinstance(value, dict):
        return None
    reference = VaultReference(**value)
    found = vault.disclose([reference])[reference]
    assert isinstance(found, Disclosure)
    plaintext = found.plaintext.decode()
    document = {"id": reference.id, "purpose": found.purpose, "salt": found.salt.hex(), "plaintext": plaintext}
    path = staging.add(f"disclosures/{reference.id}.json", json.dumps(document).encode())
    text = plaintext if member is None else json.loads(plaintext)[member]
    return PersonalText(state="shown", commitment=reference.commitment, text=text, path=path)


def _matches(event: ProvedEvent, staging: Staging) -> tuple[Match, ...]:
    return (
        Match(
            event_id=event.event.id, reference="ref-1", rights="claimed by Example Press, unverified",
            source="/archive/secret-folder/work.jpg", sha256="ab" * 32, width=10, height=10, distance="2",
            confidence="0.975", threshold="0.5", snapshot="change-1-size-1", method="exact", withdrawn=None,
            thumbnail=staging.add("thumbnails/ref-1.png", picture(5)),
        ),
    )  # fmt: skip


def _credential() -> CredentialStatement:
    return CredentialStatement(
        manifest="urn:c2pa:1", digest="ab" * 32, signer_certificate="cd" * 32, state="valid", is_recorded_one=True,
        signer="A signer", issuer="An issuer", signed_at=None, is_development=True, claims=("declared_ai",),
        codes=(CredentialCode(code="assertion.dataHash.match", outcome="success", explanation="unchanged", times=1),),
    )  # fmt: skip


def _system(staging: Staging) -> System:
    rate = Rate(
        kind="miss", category="violence", population="prompts", sample=100, rate="0.25", low="0.17", high="0.34"
    )
    measured = Measurement(
        measured_on="2026-11-22", command="python -m benchmarks.x", machine="2 cores", table="x.md", rates=(rate,)
    )
    check = CheckStatement(
        id="prompt.rules", version="1", model_digest=None, stage="prompt", summary="Terms.", measured_on="prompts",
        measured_in="x.md",
        measurement=measured,
    )  # fmt: skip
    path = staging.add(f"policies/{POLICY_DIGEST}.json", POLICY)
    return System(
        provider="Example",
        build=Build(
            name="imprimatur", version="1", commit="ab" * 20, source_digest="cd" * 32, python="3.11",
            packages=(Fact(name="numpy", value="2"),),
        ),
        builds_recorded=(),
        checks=(check,),
        models=(ModelStatement(id="emblem", digest="ef" * 32, engine="diffusion"),),
        policies=(PolicyStatement(id="default", version="1", digest=POLICY_DIGEST, path=path),),
    )  # fmt: skip
