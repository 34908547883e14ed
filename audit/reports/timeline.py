"""Events in words: facts, verdicts, decisions, and what people did. New kinds of events show by themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from audit.events import KINDS
from audit.reports.content import DecisionStatement, Fact, HumanAct, TimelineEntry, Verdict
from audit.reports.evidence import ProvedEvent

AUTOMATIC_KINDS = frozenset(
    {
        "refused", "quarantined", "held", "failed", "abandoned", "released", "rejected", "verified", "moderated",
        "login_failures", "key_destroyed",
    }
)  # fmt: skip
"""Events that the program writes on its own. Any other says that somebody acted, unless it names nobody who could
have been named."""

ACTOR_FIELDS = ("reviewer", "actor", "by")
MAX_VALUE_CHARACTERS = 400
MAX_ACT_FACTS = 4
_SHOWN_ELSEWHERE = frozenset({"findings", "decision", "policy", "evidence", "prompt", "negative_prompt", *ACTOR_FIELDS})

ActorOf = Callable[[Mapping[str, Any]], str | None]
"""The name behind a vault reference, None where it is erased."""


def meaning(kind: str) -> str:
    """What events of a kind say, from its schema."""
    for body in KINDS:
        if body.kind == kind:
            return body.doc
    return "A kind of event that this version does not know."


def entry(proved: ProvedEvent, fields: Mapping[str, Any], actor_of: ActorOf, path: str) -> TimelineEntry:
    """One line of a timeline."""
    event = proved.event
    attested = "stamped" if proved.is_stamped else "operator" if proved.checkpoint is not None else "none"
    return TimelineEntry(
        event_id=event.id,
        index=event.index,
        time=event.time,
        kind=event.kind,
        meaning=meaning(event.kind),
        actor=actor(fields, actor_of),
        facts=facts(fields),
        attestation=attested,  # type: ignore[arg-type]  # mypy does not narrow the conditional to the literals
        path=path,
    )


def actor(fields: Mapping[str, Any], actor_of: ActorOf) -> str | None:
    """Who acted, as far as the event names somebody."""
    for name in ACTOR_FIELDS:
        value = fields.get(name)
        if isinstance(value, Mapping):
            return actor_of(value) or "erased"
        if isinstance(value, str) and value:
            return value
    return None


def facts(fields: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Every field that says something, flattened to text; what has a place of its own is left out."""
    found = []
    for name, value in fields.items():
        if name in _SHOWN_ELSEWHERE:
            continue
        if isinstance(value, Mapping) and name == "details":
            found += [Fact(name=_words(key), value=text) for key, one in value.items() if (text := in_words(one))]
        elif text := in_words(value):
            found.append(Fact(name=_words(name), value=text))
    return tuple(found)


def in_words(value: object) -> str:
    """A JSON value on one line, at most `MAX_VALUE_CHARACTERS` long; empty for what says nothing."""
    text = _in_words(value)
    return text if len(text) <= MAX_VALUE_CHARACTERS else text[: MAX_VALUE_CHARACTERS - 1] + "…"


def verdicts(event_id: str, fields: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """The findings that an event carries."""
    found = []
    for position, finding in enumerate(_mappings(fields.get("findings"))):
        evidence = finding.get("evidence")
        found.append(
            Verdict(
                event_id=event_id,
                position=position,
                check=str(finding.get("check", "")),
                version=str(finding.get("version", "")),
                category=str(finding.get("category", "")),
                outcome=str(finding.get("outcome", "")),
                score=_optional(finding.get("score")),
                threshold=_optional(finding.get("threshold")),
                model_digest=_optional(finding.get("model_digest")),
                evidence=facts(evidence) if isinstance(evidence, Mapping) else (),
            )
        )
    return tuple(found)


def decision(event_id: str, fields: Mapping[str, Any]) -> DecisionStatement | None:
    """What a policy decided in an event, None where it decided nothing."""
    decided, policy = fields.get("decision"), fields.get("policy")
    if not isinstance(decided, Mapping) or not isinstance(policy, Mapping):
        return None
    return DecisionStatement(
        event_id=event_id,
        stage=str(decided.get("stage", "")),
        outcome=str(decided.get("outcome", "")),
        policy_id=str(policy.get("id", "")),
        policy_version=str(policy.get("version", "")),
        policy_digest=str(policy.get("digest", "")),
        reasons=tuple(
            f"{reason.get('category')} found by {reason.get('check')}: {reason.get('action')}"
            for reason in _mappings(decided.get("reasons"))
        ),
    )


def human_acts(
    proved: ProvedEvent,
    fields: Mapping[str, Any],
    actor_of: ActorOf,
    *,
    item: int | None,
    prompt_characters: int | None = None,
    negative_prompt_characters: int | None = None,
) -> list[HumanAct]:
    """What a person did according to an event. Says nothing about authorship.

    Args:
        prompt_characters: length of the prompt, None where it is not at hand any more.
        negative_prompt_characters: length of the negative prompt, None where there was none.
    """
    event = proved.event
    names_nobody = any(name in fields and fields[name] is None for name in ACTOR_FIELDS)
    if event.kind in AUTOMATIC_KINDS or names_nobody:
        return []
    who = actor(fields, actor_of)

    def act(text: str, detail: str | None) -> HumanAct:
        return HumanAct(
            time=event.time, item=item, actor=who, act=text, detail=detail, kind=event.kind, event_id=event.id
        )

    if event.kind != "received":
        said = "; ".join(f"{fact.name}: {fact.value}" for fact in facts(fields)[:MAX_ACT_FACTS])
        return [act(meaning(event.kind).rstrip("."), said or None)]
    found = [act("sent a request", f"{fields.get('task', 'unknown task')}, {in_words(fields.get('sampling'))}")]
    if fields.get("prompt"):
        found.append(act("wrote a prompt", None if prompt_characters is None else f"{prompt_characters} characters"))
    if negative_prompt_characters is not None:
        found.append(act("wrote a negative prompt", f"{negative_prompt_characters} characters"))
    for given in _mappings(fields.get("inputs")):
        role = given.get("role") or given.get("relationship") or "image"
        found.append(act(f"supplied an input ({role})", f"SHA-256 {given.get('sha256', 'not recorded')}"))
    return found


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {text}" for key, one in value.items() if (text := _in_words(one)))
    if isinstance(value, list | tuple):
        return "; ".join(text for one in value if (text := _in_words(one)))
    return "" if value is None else str(value)


def _words(name: str) -> str:
    return str(name).replace("_", " ")


def _optional(value: object) -> str | None:
    return None if value is None else str(value)


def _mappings(value: object) -> Sequence[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []
