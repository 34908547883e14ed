"""Policies: which findings release, hold or refuse an image, and which checks must have run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeAlias

from safety.checks import Stage
from safety.core import ALWAYS_REFUSED, CORE_CHECKS, LANGUAGE, core_refusals
from safety.errors import CheckFailedError, PolicyError
from safety.findings import Finding, JsonValue, Outcome, decimal
from safety.policy_rules import (
    PERSON_CATEGORIES,
    Action,
    CategoryRule,
    Depictable,
    LanguageRule,
    PersonRule,
    StagePolicy,
)

SHIPPED_POLICIES = ("default", "newsroom", "strict")
"""Each is at least as strict as the one before it."""

STRICT = CategoryRule(on_block=Action.REFUSE, on_flag=Action.REVIEW)
"""The rule for a category that the policy does not mention."""

_CORE_RULE = CategoryRule(on_block=Action.REFUSE, on_flag=Action.REFUSE)

OwnThresholds: TypeAlias = Mapping[tuple[Stage, str], tuple[float, ...]]
"""The thresholds that checks have of their own, by stage and category: what a policy leaves when it names none."""


class DecisionOutcome(StrEnum):
    """What becomes of the request."""

    RELEASE = "release"
    REVIEW = "review"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Reason:
    """One ground of a decision: at this stage, this check found this category, and this was done."""

    stage: Stage
    category: str
    check: str
    action: Action

    def to_record(self) -> dict[str, JsonValue]:
        return {
            "stage": self.stage.value,
            "category": self.category,
            "check": self.check,
            "action": self.action.value,
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy makes of all findings of one stage, with the reasons and the policy's identity."""

    stage: Stage
    outcome: DecisionOutcome
    reasons: tuple[Reason, ...]
    policy_id: str
    policy_version: int
    policy_digest: str

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that held or refused the image, sorted; empty for a release."""
        return tuple(sorted({r.category for r in self.reasons if r.action.value == self.outcome.value}))

    @property
    def quarantined(self) -> bool:
        """Whether this is suspected child-abuse material, which must enter no queue, report or bundle."""
        return any(reason.category in ALWAYS_REFUSED for reason in self.reasons)

    def to_record(self) -> dict[str, JsonValue]:
        """The whole decision, for the audit log."""
        return {
            "stage": self.stage.value,
            "outcome": self.outcome.value,
            "reasons": [reason.to_record() for reason in self.reasons],
            "policy": {"id": self.policy_id, "version": self.policy_version, "digest": self.policy_digest},
        }

    def to_public(self) -> dict[str, JsonValue]:
        """What a caller may be told: stage, categories and policy version; nothing to tune an attack by."""
        return {
            "stage": self.stage.value,
            "outcome": self.outcome.value,
            "categories": list(self.categories),
            "policy": {"id": self.policy_id, "version": self.policy_version, "digest": self.policy_digest},
        }


@dataclass(frozen=True, slots=True)
class Base:
    """Which policy another one extends."""

    id: str
    version: int
    digest: str


@dataclass(frozen=True)
class Policy:
    """A validated policy. `digest` is the SHA-256 (hex) of its canonical content (RFC 8785 JSON)."""

    id: str
    version: int
    title: str
    persons: PersonRule
    languages: LanguageRule
    stages: Mapping[Stage, StagePolicy]
    extends: Base | None = None

    @classmethod
    def from_yaml(
        cls,
        text: str,
        source: str = "policy",
        *,
        bases: Mapping[str, Callable[[], Policy]] | None = None,
        own_thresholds: OwnThresholds | None = None,
        tighten: bool = False,
    ) -> Policy:
        """Policy from YAML: a complete one, or one that extends a base and is only stricter.

        `bases` are policies that may be extended besides those that ship. `own_thresholds` tell whether a
        threshold is stricter than the one that a base leaves to the check. With `tighten`, for a file that was
        accepted before its base changed, the base's rule stands wherever the file's would be looser.

        Raises `PolicyError` with line, field and what was expected, or what would be looser.
        """
        from safety.policy_reading import read_policy

        known = {name: _shipped(name) for name in SHIPPED_POLICIES} | dict(bases or {})
        return read_policy(text, source, known, own_thresholds or {}, tighten=tighten)

    @classmethod
    def from_file(
        cls,
        path: Path,
        *,
        bases: Mapping[str, Callable[[], Policy]] | None = None,
        own_thresholds: OwnThresholds | None = None,
    ) -> Policy:
        """Policy from a YAML file. Raises `PolicyError`, also for a file that cannot be read."""
        return cls.from_yaml(read_text(path), str(path), bases=bases, own_thresholds=own_thresholds)

    @classmethod
    def shipped(cls, name: str) -> Policy:
        """One of `SHIPPED_POLICIES`. Raises `PolicyError` for another name."""
        if name not in SHIPPED_POLICIES:
            raise PolicyError(f"no policy {name!r} ships; there are: {', '.join(SHIPPED_POLICIES)}")
        resource = files("safety").joinpath("policies", f"{name}.yaml")
        return cls.from_yaml(resource.read_text(encoding="utf-8"), f"{name}.yaml")

    @classmethod
    def default(cls) -> Policy:
        """The policy that is in force where nobody chose one."""
        return cls.shipped("default")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of `canonical`."""
        return hashlib.sha256(self.canonical).hexdigest()

    @property
    def canonical(self) -> bytes:
        """The content as canonical JSON (RFC 8785)."""
        import rfc8785

        return rfc8785.dumps(self.to_record())

    def to_record(self) -> dict[str, Any]:
        """Content with every default written out, thresholds as decimal strings."""
        extends, accepted = self.extends, self.languages.accepted
        return {
            "id": self.id,
            "version": self.version,
            "title": self.title,
            "extends": extends and {"id": extends.id, "version": extends.version, "digest": extends.digest},
            "persons": {"allow": self.persons.allow.value, "otherwise": self.persons.otherwise.value},
            "languages": {
                "other": self.languages.other.value,
                "accepted": None if accepted is None else sorted(accepted),
            },
            "stages": {stage.value: _stage_record(policy) for stage, policy in self.stages.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Policy:
        """The policy of which `record` is the `to_record`."""
        extends, accepted = record["extends"], record["languages"]["accepted"]
        return cls(
            id=record["id"],
            version=record["version"],
            title=record["title"],
            persons=PersonRule(Depictable(record["persons"]["allow"]), Action(record["persons"]["otherwise"])),
            languages=LanguageRule(Action(record["languages"]["other"]), None if accepted is None else tuple(accepted)),
            stages={Stage(name): _stage_of(stage) for name, stage in record["stages"].items()},
            extends=extends and Base(extends["id"], extends["version"], extends["digest"]),
        )

    def required_checks(self, stage: Stage) -> tuple[str, ...]:
        """Ids of the checks without which nothing is decided: the fixed core's, then the policy's."""
        return tuple(dict.fromkeys(CORE_CHECKS[stage] + self.stages[stage].required_checks))

    def checks(self, stage: Stage) -> tuple[str, ...]:
        """Ids of all checks to run at `stage`, required ones first."""
        return tuple(dict.fromkeys(self.required_checks(stage) + self.stages[stage].optional_checks))

    def thresholds(self, stage: Stage) -> dict[str, float]:
        """Thresholds by category that replace those of the checks."""
        rules = self.stages[stage].categories
        return {name: rule.threshold for name, rule in rules.items() if rule.threshold is not None}

    def rule(self, stage: Stage, category: str) -> CategoryRule:
        """The rule that applies to `category`: the core's, that on persons or languages, the category's own, or
        the strict one."""
        if category in ALWAYS_REFUSED:
            return _CORE_RULE
        if category in PERSON_CATEGORIES:
            action = self.persons.action(category)
            return CategoryRule(on_block=action, on_flag=action)
        if category == LANGUAGE:
            return CategoryRule(on_block=self.languages.other, on_flag=self.languages.other)
        return self.stages[stage].categories.get(category, STRICT)

    def decide(self, stage: Stage, findings: Sequence[Finding], earlier: Sequence[Finding] = ()) -> Decision:
        """Decision on `findings`, which are all findings of one stage; `earlier` are those of the stage before.

        Raises `CheckFailedError` if a required check is missing from `findings` or has outcome `error`.
        The outcome is the most severe action among the reasons; an annotation alone releases.
        """
        self._require_verdicts(stage, findings)
        core = core_refusals(findings, earlier)
        reasons = {Reason(stage, category, check, Action.REFUSE) for category, check in core}
        for finding in findings:
            action = self._action(stage, finding)
            if action is not None:
                reasons.add(Reason(stage, finding.category, finding.check, action))
        ordered = sorted(reasons, key=lambda r: (-r.action.severity, r.category, r.check))
        severest = ordered[0].action if ordered else Action.ANNOTATE
        return Decision(stage, _OUTCOME[severest], tuple(ordered), self.id, self.version, self.digest)

    def _action(self, stage: Stage, finding: Finding) -> Action | None:
        if finding.category == LANGUAGE and self._is_not_accepted(finding):
            return self.languages.other
        match finding.outcome:
            case Outcome.PASS:
                return None
            case Outcome.FLAG:
                return self.rule(stage, finding.category).on_flag
            case Outcome.BLOCK:
                return self.rule(stage, finding.category).on_block
            case Outcome.ERROR:  # of an optional check: `_require_verdicts` has raised for the others
                return Action.ANNOTATE

    def _is_not_accepted(self, finding: Finding) -> bool:
        """Whether a language was told, and the policy's list lacks it."""
        language = finding.evidence.get("language")
        accepted = self.languages.accepted
        return accepted is not None and isinstance(language, str) and language not in accepted

    def _require_verdicts(self, stage: Stage, findings: Sequence[Finding]) -> None:
        for check in self.required_checks(stage):
            own = [finding for finding in findings if finding.check == check]
            if not own:
                raise CheckFailedError(check, "it did not run")
            for finding in own:
                if finding.outcome is Outcome.ERROR:
                    exception = finding.evidence.get("exception", "unknown error")
                    raise CheckFailedError(check, f"{exception}: {finding.evidence.get('message', '')}")


_OUTCOME = {
    Action.ANNOTATE: DecisionOutcome.RELEASE,
    Action.REVIEW: DecisionOutcome.REVIEW,
    Action.REFUSE: DecisionOutcome.REFUSE,
}


def _stage_record(stage: StagePolicy) -> dict[str, Any]:
    return {
        "required_checks": list(stage.required_checks),
        "optional_checks": list(stage.optional_checks),
        "categories": {
            name: {
                "action": rule.on_block.value,
                "on_flag": rule.on_flag.value,
                "threshold": None if rule.threshold is None else decimal(rule.threshold),
            }
            for name, rule in stage.categories.items()
        },
    }


def _stage_of(record: Mapping[str, Any]) -> StagePolicy:
    return StagePolicy(
        required_checks=tuple(record["required_checks"]),
        optional_checks=tuple(record["optional_checks"]),
        categories={
            name: CategoryRule(
                Action(rule["action"]),
                Action(rule["on_flag"]),
                None if rule["threshold"] is None else float(rule["threshold"]),
            )
            for name, rule in record["categories"].items()
        },
    )


def _shipped(name: str) -> Callable[[], Policy]:
    return lambda: Policy.shipped(name)


def read_text(path: Path) -> str:
    """The text of a policy file. Raises `PolicyError` for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read as UTF-8 text: {error}") from error
