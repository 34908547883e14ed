"""The redacted edition, made from the full one: what is left out, why, and in how many places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from audit.reports.content import (
    CredentialStatement,
    CustodyEntry,
    Examination,
    Fact,
    HumanAct,
    Item,
    Match,
    PersonalText,
    Question,
    Redaction,
    Report,
    Statistics,
    TimelineEntry,
    Verdict,
)

REDACTED = "[redacted]"

RULES: dict[str, tuple[str, str]] = {
    "prompts": ("Prompts and negative prompts", "personal data, and possibly a business secret of the requester"),
    "people": ("Names of users, keys and reviewers, replaced by numbers", "personal data"),
    "tenants": ("Names of tenants, replaced by numbers", "business relations of the operator"),
    "evidence": ("What the checks point to inside a prompt or an image", "quotes the prompt, and shows how to evade"),
    "facts": ("Further facts of events: free texts, keys, internal names", "may name people or business secrets"),
    "pictures": (
        "Pictures that were not released, and files that may hold thumbnails of inputs",
        "were never published",
    ),
    "sources": ("File names of listed works and of the file handed in", "internal to whoever provided the file"),
    "private": ("The private part of each event in the bundle", "holds all of the above; its commitment stays"),
}

SAFE_FACTS = frozenset(
    {
        "image sha256", "media type", "width", "height", "origin", "credential", "fingerprint", "perceptual hash",
        "model", "sampling", "watermark", "nearest reference", "task", "stage", "attempt", "snapshot", "count",
        "epoch before", "epoch after", "items", "error", "conclusion", "conclusions", "build", "size",
    }
)  # fmt: skip
"""Facts that name neither people nor secrets. A fact of a new kind is left out until it is listed here."""


def redact(report: Report) -> Report:
    """The redacted edition of a full report. Deterministic; the same person has the same number throughout."""
    editor = _Editor()
    redacted = replace(
        report,
        edition="redacted",
        question=editor.question(report.question),
        examination=editor.examination(report.examination) if report.examination else None,
        items=tuple(editor.item(item) for item in report.items),
        administration=tuple(editor.entry(entry) for entry in report.administration),
        human_acts=tuple(editor.act(act) for act in report.human_acts),
        statistics=editor.statistics(report.statistics) if report.statistics else None,
    )
    editor.places["private"] = report.log.events
    return replace(redacted, redactions=editor.redactions())


class _Editor:
    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self._people: dict[str, str] = {}
        self._tenants: dict[str, str] = {}

    def redactions(self) -> tuple[Redaction, ...]:
        return tuple(
            Redaction(what=what, why=why, places=self.places[rule]) for rule, (what, why) in RULES.items()
        )  # fmt: skip

    def question(self, question: Question) -> Question:
        name, tenant = question.image_name, question.tenant
        text = question.text
        if name is not None:
            text = text.replace(name, self._hide("sources"))
        if tenant is not None:
            text = text.replace(tenant, self._tenant(tenant))
        return replace(
            question,
            text=text,
            image_name=None if name is None else REDACTED,
            tenant=None if tenant is None else self._tenant(tenant),
        )

    def examination(self, examination: Examination) -> Examination:
        return replace(examination, thumbnail=self._no_picture(examination.thumbnail))

    def item(self, item: Item) -> Item:
        is_released = item.image_sha256 is not None
        return replace(
            item,
            tenant=self._tenant(item.tenant),
            thumbnail=item.thumbnail if is_released else self._no_picture(item.thumbnail),
            prompt=self._personal("prompts", item.prompt),
            negative_prompt=self._personal("prompts", item.negative_prompt),
            actor=self._personal("people", item.actor),
            verdicts=tuple(self._verdict(verdict) for verdict in item.verdicts),
            matches=tuple(self._match(match) for match in item.matches),
            credential=self._credential(item),
            custody=tuple(self._custody(entry, item) for entry in item.custody),
            timeline=tuple(self.entry(entry) for entry in item.timeline),
        )

    def entry(self, entry: TimelineEntry) -> TimelineEntry:
        return replace(entry, actor=self._person(entry.actor), facts=self._facts(entry.facts))

    def act(self, act: HumanAct) -> HumanAct:
        is_request = act.kind == "received"
        detail = act.detail if act.detail is None or is_request else self._hide("facts")
        return replace(act, actor=self._person(act.actor), detail=detail)

    def statistics(self, statistics: Statistics) -> Statistics:
        groups = tuple(
            replace(group, name=self._tenant(group.name)) if group.group == "tenant" else group
            for group in statistics.groups
        )
        return replace(statistics, groups=groups)

    def _verdict(self, verdict: Verdict) -> Verdict:
        if verdict.evidence:
            self.places["evidence"] += 1
        return replace(verdict, evidence=())

    def _match(self, match: Match) -> Match:
        return replace(match, source=None if match.source is None else self._hide("sources"))

    def _credential(self, item: Item) -> CredentialStatement | None:
        """A manifest store may hold thumbnails of what a customer sent."""
        if item.credential is None or not item.inputs:
            return item.credential
        return replace(item.credential, path=self._no_picture(item.credential.path))

    def _custody(self, entry: CustodyEntry, item: Item) -> CustodyEntry:
        if entry.sha256 == item.image_sha256:
            return replace(entry, path=self._no_picture(entry.path)) if item.inputs else entry
        return replace(entry, path=None, thumbnail=self._no_picture(entry.thumbnail or entry.path))

    def _no_picture(self, path: str | None) -> str | None:
        if path is not None:
            self.places["pictures"] += 1
        return None

    def _personal(self, rule: str, text: PersonalText | None) -> PersonalText | None:
        if text is None or text.state != "shown":
            return text
        self.places[rule] += 1
        return replace(text, state="redacted", text=None, path=None)

    def _person(self, name: str | None) -> str | None:
        if name is None or name == "erased":
            return name
        self.places["people"] += 1
        return self._people.setdefault(name, f"person {len(self._people) + 1}")

    def _tenant(self, name: str) -> str:
        self.places["tenants"] += 1
        return self._tenants.setdefault(name, f"tenant {len(self._tenants) + 1}")

    def _facts(self, facts: Iterable[Fact]) -> tuple[Fact, ...]:
        return tuple(
            fact if fact.name in SAFE_FACTS else Fact(name=fact.name, value=self._hide("facts")) for fact in facts
        )

    def _hide(self, rule: str) -> str:
        self.places[rule] += 1
        return REDACTED
