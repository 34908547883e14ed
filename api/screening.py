"""Examining prompts alone: what `imprimatur screen` prints. Nothing is generated and no record is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from api.entries import finding_document
from api.errors import InvalidPromptError
from generator.errors import UnsupportedRequestError
from generator.request import check_prompt
from safety.checks import Stage, run_checks_on_many
from safety.errors import CheckFailedError
from safety.prompt.canonical import canonicalise

if TYPE_CHECKING:
    from safety.checks import PromptCheck
    from safety.findings import Finding
    from safety.policy import Policy


class Screening:
    """Runs the prompt checks and the policy over many prompts at once."""

    def __init__(self, checks: Sequence[PromptCheck], policy: Policy) -> None:
        self._checks = checks
        self._policy = policy

    def screen(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """One document a prompt, in order: text, canonical, score, outcome, findings; or text and error."""
        problems = {position: error for position, text in enumerate(texts) if (error := _problem(text))}
        good = [text for position, text in enumerate(texts) if position not in problems]
        findings = iter(run_checks_on_many(self._checks, good))
        return [
            {"text": text, **problems[position].to_document()}
            if position in problems
            else self._document(text, next(findings))
            for position, text in enumerate(texts)
        ]

    def _document(self, text: str, findings: Sequence[Finding]) -> dict[str, Any]:
        document: dict[str, Any] = {
            "text": text,
            "canonical": canonicalise(text).text,
            "score": max((finding.score for finding in findings), default=0.0),
        }
        try:
            document["outcome"] = self._policy.decide(Stage.PROMPT, findings).outcome.value
        except CheckFailedError as error:
            document["outcome"] = "error"
            document["error"] = {"type": "server_error", "code": "check_failed", "message": str(error), "param": None}
        document["findings"] = [finding_document(finding) for finding in findings]
        return document


def _problem(text: str) -> InvalidPromptError | None:
    try:
        check_prompt("prompt", text)
    except UnsupportedRequestError as error:
        return InvalidPromptError(str(error), parameter="prompt")
    return None
