"""Which acts of the log that belong to no record concern the scope of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from audit.records import VaultReference

if TYPE_CHECKING:
    from api.reports.items import ReadEvent
    from api.reports.personal import PersonalData

UNRELATED_KINDS = frozenset({"verified", "rejected", "moderated"})
"""Events of no record that concern a scope only if they name one of its records; statistics count them."""

CUSTODY_KINDS = ("hold_placed", "hold_released", "erased", "key_destroyed")
"""Acts that may concern a scope without naming its records."""

_SUBJECT_FIELDS = frozenset(VaultReference.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Concerned:
    """Whom a scope is about. `everybody`: a period over all tenants."""

    everybody: bool
    tenants: frozenset[str]
    records: frozenset[str]
    subjects: frozenset[str]
    people: frozenset[str]


def concerned(
    own: Sequence[ReadEvent], personal: PersonalData, *, records: Sequence[str], tenants: Sequence[str], everybody: bool
) -> Concerned:
    """Whom the events of a scope's records are about."""
    actors = (event.fields.get("actor") for event in own)
    names = (personal.name(actor) for actor in actors if isinstance(actor, Mapping))
    return Concerned(
        everybody=everybody,
        tenants=frozenset(tenants),
        records=frozenset(records),
        subjects=frozenset(subject for event in own for subject in subjects_in(event.fields)),
        people=frozenset(name for name in names if name is not None),
    )


def concerning(acts: Sequence[ReadEvent], who: Concerned, personal: PersonalData) -> list[ReadEvent]:
    """Those of `acts`, oldest first, that concern the scope: with a hold its release, with an erasure its end."""
    kept: list[ReadEvent] = []
    continued: set[str] = set()
    for act in acts:
        fields = act.fields
        if act.kind in ("hold_released", "key_destroyed"):
            concerns = who.everybody or bool({fields.get("hold_id"), fields.get("key_id")} & continued)
        elif act.kind in CUSTODY_KINDS:
            concerns = who.everybody or _touches(fields, who, personal)
            if concerns:
                continued |= {str(fields.get("hold_id")), str(fields.get("epoch_key"))}
        else:
            concerns = who.everybody or fields.get("tenant") in (None, *who.tenants)
        if concerns:
            kept.append(act)
    return kept


def erasures(acts: Sequence[ReadEvent]) -> dict[str, str]:
    """When and on which ground personal data was erased, by the vault's id of the subject."""
    found = {}
    for act in acts:
        if act.kind == "erased":
            said = f"on {act.proved.event.time:%Y-%m-%d %H:%M} UTC under: {act.fields.get('ground')}"
            found.update(dict.fromkeys((*_erased_subjects(act.fields),), said))
    return found


def subjects_in(value: Any) -> Iterator[str]:
    """The vault's ids of subjects that an event's fields refer to."""
    if isinstance(value, Mapping):
        if isinstance(value.get("subject_id"), str):
            yield value["subject_id"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from subjects_in(one)


def _touches(fields: Mapping[str, Any], who: Concerned, personal: PersonalData) -> bool:
    subject = fields.get("subject")
    person = personal.name(subject) if isinstance(subject, Mapping) else None
    return bool(
        fields.get("tenant") in who.tenants
        or who.records & set(fields.get("records") or ())
        or who.subjects & set(_erased_subjects(fields))
        or person in who.people
    )


def _erased_subjects(fields: Mapping[str, Any]) -> list[str]:
    """Of both schemas of `erased`."""
    found = [str(one) for one in fields.get("subject_ids") or ()]
    return [*found, str(fields["subject_id"])] if "subject_id" in fields else found
