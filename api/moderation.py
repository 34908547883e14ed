"""Examining texts and images for a caller, told in OpenAI's categories. Nothing of them is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from api.errors import CheckFailureError
from audit import records
from audit.events import Event, Moderated
from safety.checks import Stage, run_checks, run_checks_on_many
from safety.errors import CheckFailedError
from safety.findings import Finding, Outcome
from safety.policy import Decision, DecisionOutcome, Policy
from safety.policy_rules import Action
from safety.taxonomy import CATEGORY_BY_NAME

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from api.composition import Imprimatur
    from api.keys import Caller
    from safety.registry import BuiltChecks

OPENAI_CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""Of `omni-moderation`, in the order of its documentation."""

_NOT_SUBDIVIDED = frozenset({"harassment", "hate", "illegal_acts", "self_harm"})
"""Categories of ours that cover the first of their OpenAI names and do not tell its parts apart."""

_NOT_ABOUT_CONTENT = frozenset({"quality"})
"""What only says that a generation failed: a blank picture harms nobody."""

InputType = Literal["text", "image"]


@dataclass(frozen=True, slots=True)
class ModerationInput:
    """What is judged as one: texts and images (uint8, (H, W, 3), RGB), at least one of either."""

    texts: tuple[str, ...] = ()
    images: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True, slots=True)
class ModerationResult:
    """What the checks and the caller's policy make of one input.

    `categories`, `scores` in [0, 1] and `applied` have every one of `OPENAI_CATEGORIES`; an empty `applied` says
    that no check looked for it. `own_categories` are ours, of everything that the policy holds or refuses.
    """

    flagged: bool
    categories: dict[str, bool]
    scores: dict[str, float]
    applied: dict[str, list[InputType]]
    outcome: DecisionOutcome
    own_categories: tuple[str, ...]


@dataclass(slots=True)
class _Judged:
    """Findings and reasons, gathered over an input's parts."""

    findings: list[Finding] = field(default_factory=list)
    reasons: list[tuple[Action, str]] = field(default_factory=list)

    def add(self, findings: Iterable[Finding], decision: Decision) -> None:
        self.findings += findings
        self.reasons += [
            (reason.action, reason.category)
            for reason in decision.reasons
            if reason.action is not Action.ANNOTATE and reason.category not in _NOT_ABOUT_CONTENT
        ]


class Moderation:
    """Runs the checks of the caller's policy on what the caller sends."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services

    def moderate(self, inputs: Sequence[ModerationInput], caller: Caller) -> tuple[list[ModerationResult], Policy]:
        """One result an input, in order, and the policy that judged; the event is in the log when this returns.

        Raises:
            CheckFailureError: a required check gave no verdict.
            UnavailableError: the database is away.
        """
        policy = self._services.policies.of(caller.tenant)
        checks = self._services.checks_of(policy)
        texts = [text for one in inputs for text in one.texts]
        of_texts = iter(run_checks_on_many(checks.prompt, texts))
        try:
            results = [self._result(one, [next(of_texts) for _ in one.texts], policy, checks) for one in inputs]
        except CheckFailedError as error:
            raise CheckFailureError(str(error)) from error
        self._log(inputs, results, policy, caller)
        return results, policy

    def _result(
        self, one: ModerationInput, of_texts: Sequence[list[Finding]], policy: Policy, checks: BuiltChecks
    ) -> ModerationResult:
        judged = _Judged()
        for findings in of_texts:
            judged.add(findings, policy.decide(Stage.PROMPT, findings))
        in_texts = [finding for findings in of_texts for finding in findings]
        for pixels in one.images:
            findings = run_checks(checks.image, pixels)
            judged.add(findings, policy.decide(Stage.IMAGE, findings, in_texts))
        scores: dict[str, float] = dict.fromkeys(OPENAI_CATEGORIES, 0.0)
        categories = dict.fromkeys(OPENAI_CATEGORIES, False)
        for finding in judged.findings:
            for name in openai_names(finding.category):
                scores[name] = max(scores[name], finding.score)
                categories[name] |= finding.outcome is Outcome.BLOCK
        for _, category in judged.reasons:
            if category == "sexual_minors":  # the fixed core may join it from findings of other categories
                categories["sexual/minors"] = categories["sexual"] = True
        severest = max((action for action, _ in judged.reasons), key=lambda action: action.severity, default=None)
        return ModerationResult(
            flagged=severest is not None or any(categories.values()),
            categories=categories,
            scores=scores,
            applied=_applied(one, checks),
            outcome=DecisionOutcome.RELEASE if severest is None else DecisionOutcome(severest.value),
            own_categories=tuple(sorted({category for _, category in judged.reasons})),
        )

    def _log(
        self, inputs: Sequence[ModerationInput], results: Sequence[ModerationResult], policy: Policy, caller: Caller
    ) -> None:
        body = Moderated(
            texts=sum(len(one.texts) for one in inputs),
            images=sum(len(one.images) for one in inputs),
            flagged=sum(result.flagged for result in results),
            categories=tuple(sorted({name for result in results for name in result.own_categories})),
            policy=records.Policy(id=policy.id, version=str(policy.version), digest=policy.digest),
            actor=self._services.actor(caller),
            tenant=caller.tenant,
        )
        self._services.append(Event(None, body))


def openai_names(category: str) -> tuple[str, ...]:
    """The OpenAI categories of which a finding of ours is surely one; none for what they do not have."""
    known = CATEGORY_BY_NAME.get(category)
    if known is None:
        return ()
    return known.openai[:1] if category in _NOT_SUBDIVIDED else known.openai


def _applied(one: ModerationInput, checks: BuiltChecks) -> dict[str, list[InputType]]:
    """Which kinds of input were looked at for which category, by what the checks declare."""
    applied: dict[str, list[InputType]] = defaultdict(list)
    kinds: tuple[tuple[InputType, bool, Sequence[Any]], ...] = (
        ("text", bool(one.texts), checks.prompt),
        ("image", bool(one.images), checks.image),
    )
    for kind, is_there, of_kind in kinds:
        declared = {category for check in of_kind for category in check.declaration.categories}
        for name in {name for category in declared for name in openai_names(category)} if is_there else ():
            applied[name].append(kind)
    return {name: applied[name] for name in OPENAI_CATEGORIES}
