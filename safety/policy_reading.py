"""From a policy file to a policy: a complete one as it is, one that extends another only if nothing gets looser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from safety.checks import Stage
from safety.core import ALWAYS_REFUSED, LANGUAGE
from safety.errors import PolicyError
from safety.policy import Base, OwnThresholds, Policy
from safety.policy_difference import Difference, Direction, differences, stricter_of
from safety.policy_file import ParsedPolicy, ParsedRule, ParsedStage, parse_policy
from safety.policy_rules import (
    PERSON_CATEGORIES,
    Action,
    CategoryRule,
    Depictable,
    LanguageRule,
    PersonRule,
    StagePolicy,
)

_RULED_ELSEWHERE = {**dict.fromkeys(PERSON_CATEGORIES, "persons"), LANGUAGE: "languages"}


def read_policy(
    text: str, source: str, bases: Mapping[str, Callable[[], Policy]], own_thresholds: OwnThresholds, *, tighten: bool
) -> Policy:
    """The policy in `text`. Raises `PolicyError` as `Policy.from_yaml` says."""
    parsed = parse_policy(text, source, always_refused=ALWAYS_REFUSED, ruled_elsewhere=_RULED_ELSEWHERE)
    if parsed.extends is None:
        return _complete(parsed)
    if parsed.extends not in bases:
        raise PolicyError(
            f"{source}, line {parsed.lines['extends']}, field extends: expected one of {', '.join(bases)}, "
            f"got {parsed.extends!r}"
        )
    base = bases[parsed.extends]()
    policy = _laid_over(parsed, base)
    if tighten:
        return stricter_of(policy, base, own_thresholds)
    looser = [one for one in differences(base, policy, own_thresholds) if one.direction.loosens]
    if looser:
        told = "; ".join(_told(one, parsed, source) for one in looser)
        raise PolicyError(f"{told}. A policy that extends {parsed.extends} can only be stricter than it")
    return policy


def _complete(parsed: ParsedPolicy) -> Policy:
    """The policy of a file that leaves nothing out."""
    allow, other = parsed.persons.allow, parsed.languages.other
    assert allow is not None, "the parser requires it"
    assert other is not None, "the parser requires it"
    return Policy(
        id=parsed.id,
        version=parsed.version,
        title=parsed.title,
        persons=PersonRule(Depictable(allow), Action(parsed.persons.otherwise or Action.REFUSE)),
        languages=LanguageRule(Action(other), parsed.languages.accepted),
        stages={
            Stage(name): StagePolicy(
                stage.required_checks,
                stage.optional_checks,
                {category: _rule(rule, None) for category, rule in stage.categories.items()},
            )
            for name, stage in parsed.stages.items()
        },
    )


def _laid_over(parsed: ParsedPolicy, base: Policy) -> Policy:
    """`base` with what the file gives in place of its own; whether that is stricter is not judged here."""
    persons, languages = parsed.persons, parsed.languages
    return Policy(
        id=parsed.id,
        version=parsed.version,
        title=parsed.title,
        persons=PersonRule(
            base.persons.allow if persons.allow is None else Depictable(persons.allow),
            base.persons.otherwise if persons.otherwise is None else Action(persons.otherwise),
        ),
        languages=LanguageRule(
            base.languages.other if languages.other is None else Action(languages.other),
            base.languages.accepted if languages.accepted is None else languages.accepted,
        ),
        stages={stage: _stage(parsed.stages[stage.value], base, stage) for stage in Stage},
        extends=Base(base.id, base.version, base.digest),
    )


def _stage(parsed: ParsedStage, base: Policy, stage: Stage) -> StagePolicy:
    """Checks are added to the base's; one that the base runs as optional may become required."""
    own = base.stages[stage]
    required = tuple(dict.fromkeys((*own.required_checks, *parsed.required_checks)))
    optional = dict.fromkeys((*own.optional_checks, *parsed.optional_checks))
    rules = {category: _rule(rule, base.rule(stage, category)) for category, rule in parsed.categories.items()}
    return StagePolicy(
        required, tuple(check for check in optional if check not in required), {**own.categories, **rules}
    )


def _rule(parsed: ParsedRule, base: CategoryRule | None) -> CategoryRule:
    """The rule of one category; what the file leaves out is the base's, or for a complete policy the default."""
    if parsed.action is not None:
        action = Action(parsed.action)
        rule = CategoryRule(on_block=action) if base is None else replace(base, on_block=action)
    else:
        assert base is not None, "the parser requires an action in a complete policy"
        rule = base
    if parsed.on_flag is not None:
        rule = replace(rule, on_flag=Action(parsed.on_flag))
    if parsed.threshold is not None:
        rule = replace(rule, threshold=parsed.threshold)
    return rule


def _told(difference: Difference, parsed: ParsedPolicy, source: str) -> str:
    of_field = (line for name, line in parsed.lines.items() if f"{name}.".startswith(f"{difference.field}."))
    line = next(of_field, None)
    place = f"{source}, line {line}" if line else source
    if difference.direction is Direction.UNCLEAR:
        return (
            f"{place}, field {difference.field}: {difference.after} cannot be compared, because "
            f"{parsed.extends} leaves the threshold to checks that are not here"
        )
    return (
        f"{place}, field {difference.field}: {difference.after} would be looser than {difference.before} "
        f"in {parsed.extends}"
    )
