"""Policies: which findings release, hold or refuse an image, and which checks must have run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path
from typing import Any

from safety.checks import Stage
from safety.core import ALWAYS_REFUSED, CORE_CHECKS, MINOR_SIGN, core_refusals
from safety.errors import CheckFailedError, PolicyError
from safety.findings import Finding, JsonValue, Outcome, decimal
from safety.policy_file import parse_policy


class Action(StrEnum):
    """What a policy does about a category."""

    ANNOTATE = "annotate"
    REVIEW = "review"
    REFUSE = "refuse"


class DecisionOutcome(StrEnum):
    """What becomes of the request."""

    RELEASE = "release"
    REVIEW = "review"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """What to do about one category at one stage.

    `on_block` applies to findings that block, `on_flag` (never `refuse`) to those that flag. `threshold`
    in [0, 1] replaces the check's own, None leaves it.
    """

    on_block: Action
    on_flag: Action = Action.ANNOTATE
    threshold: float | None = None


STRICT = CategoryRule(on_block=Action.REFUSE, on_flag=Action.REVIEW)
"""The rule for a category that the policy does not mention."""

_CORE_RULE = CategoryRule(on_block=Action.REFUSE, on_flag=Action.REFUSE)
_ANNOTATE_RULE = CategoryRule(on_block=Action.ANNOTATE, on_flag=Action.ANNOTATE)


@dataclass(frozen=True, slots=True)
class StagePolicy:
    """Required and optional checks of one stage, by id, and the rules of its categories."""

    required_checks: tuple[str, ...]
    optional_checks: tuple[str, ...]
    categories: Mapping[str, CategoryRule]


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
            "policy": {"id": self.policy_id, "version": self.policy_version},
        }


@dataclass(frozen=True, slots=True)
class Policy:
    """A validated policy. `digest` is the SHA-256 (hex) of its canonical content (RFC 8785 JSON)."""

    id: str
    version: int
    title: str
    stages: Mapping[Stage, StagePolicy]

    @classmethod
    def from_yaml(cls, text: str, source: str = "policy") -> Policy:
        """Policy from YAML. Raises `PolicyError` with line, field and what was expected."""
        parsed = parse_policy(text, source, always_refused=ALWAYS_REFUSED)
        stages = {
            Stage(name): StagePolicy(
                required_checks=stage.required_checks,
                optional_checks=stage.optional_checks,
                categories={
                    category: CategoryRule(Action(rule.action), Action(rule.on_flag), rule.threshold)
                    for category, rule in stage.categories.items()
                },
            )
            for name, stage in parsed.stages.items()
        }
        return cls(parsed.id, parsed.version, parsed.title, stages)

    @classmethod
    def from_file(cls, path: Path) -> Policy:
        """Policy from a YAML file. Raises `PolicyError`, also for a file that cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PolicyError(f"{path}: cannot be read as UTF-8 text: {error}") from error
        return cls.from_yaml(text, str(path))

    @classmethod
    def default(cls) -> Policy:
        """The policy that ships with the product."""
        resource = files("safety").joinpath("policies", "default.yaml")
        return cls.from_yaml(resource.read_text(encoding="utf-8"), "default.yaml")

    @property
    def digest(self) -> str:
        import rfc8785

        return hashlib.sha256(rfc8785.dumps(self.to_record())).hexdigest()

    def to_record(self) -> dict[str, Any]:
        """Canonical content: every default written out, thresholds as decimal strings."""
        return {
            "id": self.id,
            "version": self.version,
            "title": self.title,
            "stages": {stage.value: _stage_record(policy) for stage, policy in self.stages.items()},
        }

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
        """The rule that applies to `category`: the core's, else the policy's, else the strict one."""
        if category in ALWAYS_REFUSED:
            return _CORE_RULE
        rules = self.stages[stage].categories
        if category in rules:
            return rules[category]
        return _ANNOTATE_RULE if category == MINOR_SIGN else STRICT

    def decide(self, stage: Stage, findings: Sequence[Finding]) -> Decision:
        """Decision on `findings`, which are all findings of one stage.

        Raises `CheckFailedError` if a required check is missing from `findings` or has outcome `error`.
        The outcome is the most severe action among the reasons; an annotation alone releases.
        """
        self._require_verdicts(stage, findings)
        reasons = {Reason(stage, category, check, Action.REFUSE) for category, check in core_refusals(findings)}
        for finding in findings:
            action = self._action(stage, finding)
            if action is not None:
                reasons.add(Reason(stage, finding.category, finding.check, action))
        ordered = sorted(reasons, key=lambda r: (-_SEVERITY[r.action], r.category, r.check))
        severest = ordered[0].action if ordered else Action.ANNOTATE
        return Decision(stage, _OUTCOME[severest], tuple(ordered), self.id, self.version, self.digest)

    def _action(self, stage: Stage, finding: Finding) -> Action | None:
        match finding.outcome:
            case Outcome.PASS:
                return None
            case Outcome.FLAG:
                return self.rule(stage, finding.category).on_flag
            case Outcome.BLOCK:
                return self.rule(stage, finding.category).on_block
            case Outcome.ERROR:  # of an optional check: `_require_verdicts` has raised for the others
                return Action.ANNOTATE

    def _require_verdicts(self, stage: Stage, findings: Sequence[Finding]) -> None:
        for check in self.required_checks(stage):
            own = [finding for finding in findings if finding.check == check]
            if not own:
                raise CheckFailedError(check, "it did not run")
            for finding in own:
                if finding.outcome is Outcome.ERROR:
                    exception = finding.evidence.get("exception", "unknown error")
                    raise CheckFailedError(check, f"{exception}: {finding.evidence.get('message', '')}")


_SEVERITY = {Action.ANNOTATE: 0, Action.REVIEW: 1, Action.REFUSE: 2}
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
