"""Comparing policies line by line: what is stricter, what is looser; and the stricter of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from safety.checks import Stage
from safety.findings import decimal
from safety.policy import Base, OwnThresholds, Policy
from safety.policy_rules import (
    PERSON_CATEGORIES,
    Action,
    CategoryRule,
    Depictable,
    LanguageRule,
    PersonRule,
    StagePolicy,
)

_CHECK_STRENGTH = ("not run", "optional", "required")


class Direction(StrEnum):
    """Where a change leads."""

    STRICTER = "stricter"
    LOOSER = "looser"
    UNCLEAR = "unclear"
    """A threshold beside a check's own, which is not known here."""
    NEUTRAL = "neutral"

    @property
    def loosens(self) -> bool:
        """Whether something may pass that did not before."""
        return self in (Direction.LOOSER, Direction.UNCLEAR)


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that differs: its path, both values as text, and where the change leads."""

    field: str
    before: str
    after: str
    direction: Direction

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after} ({self.direction})"


def differences(before: Policy, after: Policy, own_thresholds: OwnThresholds | None = None) -> list[Difference]:
    """Every field in which `after` differs from `before`, with whether that is stricter or looser.

    Compared is what applies, not what is written: a category that a policy does not mention has the strict rule.
    """
    found = [*_identity(before, after), *_persons(before, after), *_languages(before, after)]
    for stage in Stage:
        found += _checks(before, after, stage)
        found += _categories(before, after, stage, own_thresholds or {})
    return found


def stricter_of(policy: Policy, floor: Policy, own_thresholds: OwnThresholds | None = None) -> Policy:
    """`policy` with every rule raised to that of `floor` where the floor's is stricter."""
    return replace(
        policy,
        persons=_stricter_persons(policy.persons, floor.persons),
        languages=LanguageRule(
            max(policy.languages.other, floor.languages.other, key=_severity),
            _fewer_languages(policy.languages.accepted, floor.languages.accepted),
        ),
        stages={stage: _stricter_stage(policy, floor, stage, own_thresholds or {}) for stage in Stage},
    )


def _identity(before: Policy, after: Policy) -> Iterator[Difference]:
    for name, old, new in (
        ("id", before.id, after.id),
        ("version", str(before.version), str(after.version)),
        ("title", before.title, after.title),
        ("extends", _base_text(before.extends), _base_text(after.extends)),
    ):
        if old != new:
            yield Difference(name, old, new, Direction.NEUTRAL)


def _persons(before: Policy, after: Policy) -> Iterator[Difference]:
    """One line for both fields, because what is done otherwise says nothing where anyone is allowed."""
    old, new = before.persons, after.persons
    if old == new:
        return
    changes = [new.action(one).severity - old.action(one).severity for one in PERSON_CATEGORIES]
    direction = Direction.NEUTRAL
    if any(changes):
        direction = _direction(min(changes) >= 0)
    yield Difference("persons", _persons_text(old), _persons_text(new), direction)


def _languages(before: Policy, after: Policy) -> Iterator[Difference]:
    old, new = before.languages, after.languages
    yield from _action("languages.other", old.other, new.other)
    if _language_set(old.accepted) != _language_set(new.accepted):
        stricter = new.accepted is not None and (old.accepted is None or set(new.accepted) < set(old.accepted))
        texts = (_languages_text(old.accepted), _languages_text(new.accepted))
        yield Difference("languages.accepted", *texts, _direction(stricter))


def _checks(before: Policy, after: Policy, stage: Stage) -> Iterator[Difference]:
    for check in sorted({*before.checks(stage), *after.checks(stage)}):
        old, new = _strength(before, stage, check), _strength(after, stage, check)
        if old != new:
            stricter = _CHECK_STRENGTH.index(new) > _CHECK_STRENGTH.index(old)
            kind = "optional_checks" if "required" not in (old, new) else "required_checks"
            yield Difference(f"{stage.value}.{kind}.{check}", old, new, _direction(stricter))


def _categories(before: Policy, after: Policy, stage: Stage, own: OwnThresholds) -> Iterator[Difference]:
    for category in sorted({*before.stages[stage].categories, *after.stages[stage].categories}):
        old, new = before.rule(stage, category), after.rule(stage, category)
        where = f"{stage.value}.categories.{category}"
        yield from _action(f"{where}.action", old.on_block, new.on_block)
        yield from _action(f"{where}.on_flag", old.on_flag, new.on_flag)
        if old.threshold != new.threshold:
            direction = _threshold_direction(old.threshold, new.threshold, own.get((stage, category), ()))
            texts = (_threshold_text(old.threshold), _threshold_text(new.threshold))
            yield Difference(f"{where}.threshold", *texts, direction)


def _action(where: str, old: Action, new: Action) -> Iterator[Difference]:
    if old is not new:
        yield Difference(where, old, new, _direction(new.severity > old.severity))


def _direction(stricter: bool) -> Direction:
    return Direction.STRICTER if stricter else Direction.LOOSER


def _threshold_direction(old: float | None, new: float | None, own: tuple[float, ...]) -> Direction:
    """A lower threshold is stricter. Of several checks with thresholds of their own, each must get stricter."""
    if old is not None and new is not None:
        return _direction(new < old)
    if not own:
        return Direction.UNCLEAR
    if old is None and new is not None:
        return _direction(new <= min(own))
    return _direction(old is not None and max(own) <= old)


def _strength(policy: Policy, stage: Stage, check: str) -> str:
    if check in policy.required_checks(stage):
        return "required"
    return "optional" if check in policy.checks(stage) else "not run"


def _stricter_stage(policy: Policy, floor: Policy, stage: Stage, own: OwnThresholds) -> StagePolicy:
    mine, theirs = policy.stages[stage], floor.stages[stage]
    required = tuple(dict.fromkeys((*mine.required_checks, *theirs.required_checks)))
    optional = dict.fromkeys((*mine.optional_checks, *theirs.optional_checks))
    categories = sorted({*mine.categories, *theirs.categories})
    return StagePolicy(
        required,
        tuple(check for check in optional if check not in required),
        {
            name: _stricter_rule(policy.rule(stage, name), floor.rule(stage, name), own.get((stage, name), ()))
            for name in categories
        },
    )


def _stricter_rule(rule: CategoryRule, floor: CategoryRule, own: tuple[float, ...]) -> CategoryRule:
    loosens = _threshold_direction(floor.threshold, rule.threshold, own).loosens
    return CategoryRule(
        max(rule.on_block, floor.on_block, key=_severity),
        max(rule.on_flag, floor.on_flag, key=_severity),
        floor.threshold if rule.threshold != floor.threshold and loosens else rule.threshold,
    )


def _stricter_persons(one: PersonRule, other: PersonRule) -> PersonRule:
    ruling = [rule for rule in (one, other) if rule.allow is not Depictable.ANYONE]
    if not ruling:
        return one
    return PersonRule(
        min((rule.allow for rule in ruling), key=_breadth), max((rule.otherwise for rule in ruling), key=_severity)
    )


def _fewer_languages(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if one is None or other is None:
        return other if one is None else one
    return tuple(sorted(set(one) & set(other)))


def _severity(action: Action) -> int:
    return action.severity


def _breadth(depictable: Depictable) -> int:
    return depictable.breadth


def _language_set(accepted: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if accepted is None else frozenset(accepted)


def _persons_text(rule: PersonRule) -> str:
    return rule.allow if rule.allow is Depictable.ANYONE else f"{rule.allow}, otherwise {rule.otherwise}"


def _languages_text(accepted: tuple[str, ...] | None) -> str:
    return "every measured language" if accepted is None else ", ".join(sorted(accepted)) or "none"


def _threshold_text(threshold: float | None) -> str:
    return "the check's own" if threshold is None else decimal(threshold).rstrip("0")


def _base_text(base: Base | None) -> str:
    return "none" if base is None else f"{base.id} {base.version}"
