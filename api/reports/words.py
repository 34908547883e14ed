"""Sentences of a report: what was found, and what no report of this kind can say. Facts, no legal conclusions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from api.conclusions import STATEMENTS
from audit.reports.content import Examination, Item, LogStatement, Report

LIMITS = (
    "\u201cNot detected\u201d is not \u201cmade by a person\u201d: a check that finds nothing says so with the miss "
    "rates that stand beside it.",
    "The log proves what was recorded, and that it was not changed since a third party stamped a checkpoint over it or "
    "a receipt left the house. It does not prove that what was recorded is true, nor that nothing else was generated.",
    "Times are by the operator's clock, except those of third parties' time stamps.",
    "Scores, thresholds and verdicts are those of the time; error rates are of the version of the check that gave "
    "them, on the material that is named, and say nothing certain about other material.",
    "Rights in listed works are claimed by whoever is named. Nobody here examined the claim, and a match by perceptual "
    "hash says that two pictures look alike as wholes, not that one was made from the other.",
    "Searches in the reference index show the works that were listed at the time. Crops, mirrored and padded copies "
    "are not found by the perceptual hash.",
    "A content credential says what its signer claims. It was validated again when this report was made, by the trust "
    "list that is named; another list may judge otherwise.",
    "The acts of people are those that the log names. What people did outside the system is not in it.",
    "Texts in scripts for which the fonts at hand have no glyphs appear as code points, [U+4E2D]; report.json has them "
    "as they are.",
)


def answer(report: Report) -> tuple[str, ...]:
    """What was found, in sentences."""
    sentences = []
    if report.examination is not None:
        sentences += _examined(report.examination, report.items)
    if report.items:
        sentences.append(_items(report.items))
        sentences += _single(report.items)
    elif report.examination is None:
        sentences.append("The log has no record in this scope.")
    matches = sum(len(item.matches) for item in report.items)
    if matches:
        works = len({match.reference for item in report.items for match in item.matches})
        sentences.append(f"{_number(matches, 'match')} with {_number(works, 'listed work')} at or above the threshold.")
    erased = sum(text.state == "erased" for item in report.items for text in (item.prompt, item.actor) if text)
    if erased:
        sentences.append(f"{_number(erased, 'personal text')} of these items no longer exist: they were erased.")
    withheld = sum(item.withheld is not None for item in report.items)
    if withheld:
        sentences.append(f"The content of {_number(withheld, 'item')} is shown to nobody.")
    sentences.append(_log(report.log))
    return tuple(sentences)


def _examined(examination: Examination, items: Sequence[Item]) -> list[str]:
    found = [f"Headline of the examination: {examination.conclusion}. {STATEMENTS[examination.conclusion]}"]
    if any(item.image_sha256 == examination.sha256 for item in items):
        found.append("The file is, byte for byte, the one that this service released.")
    elif items:
        found.append("The file leads to a record of this service; it is not byte for byte the released file.")
    else:
        found.append("The file leads to no record of this service.")
    return found


def _items(items: Sequence[Item]) -> str:
    states = Counter(item.state for item in items)
    requests = len({item.parent_id for item in items})
    counted = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{_number(len(items), 'record')} of {_number(requests, 'request')}: {counted}."


def _single(items: Sequence[Item]) -> list[str]:
    """Where there is one item only, what it was stopped for or released as."""
    if len(items) != 1:
        return []
    item = items[0]
    grounds = [ground for decision in item.decisions for ground in decision.reasons if decision.outcome != "release"]
    if grounds:
        return [f"Grounds: {'; '.join(dict.fromkeys(grounds))}."]
    if item.image_sha256 is not None:
        return [f"One file was released, {item.media_type}, with SHA-256 {item.image_sha256}."]
    return []


def _log(log: LogStatement) -> str:
    events = _number(log.events, "event")
    if log.stamp is None:
        return f"{events} of the log; no third party has stamped a checkpoint, so all are the operator's word only."
    later = log.events - log.events_stamped
    return (
        f"{events} of the log; {log.events_stamped} are within the checkpoint that {log.stamp.authority} stamped on "
        f"{log.stamp.time:%Y-%m-%d %H:%M} UTC, {later} came later and are the operator's word only."
    )


def _number(count: int, thing: str) -> str:
    plural = f"{thing}es" if thing.endswith("ch") else f"{thing}s"
    return f"{count} {thing if count == 1 else plural}"
