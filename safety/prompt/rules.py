"""The rules: terms written down, found as whole words in the prompt as it stands and without disguises."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from safety.checks import CheckDeclaration, Stage
from safety.core import MINOR_SIGN, SEXUAL, SEXUAL_MINORS
from safety.findings import Finding, JsonValue, Outcome
from safety.prompt.canonical import boldest_reading, canonicalise
from safety.prompt.term_files import TermFile, TermRule, normalise, shipped_terms

DECLARATION = CheckDeclaration(
    id="prompt.rules",
    version="1",
    stage=Stage.PROMPT,
    categories=(
        SEXUAL_MINORS,
        MINOR_SIGN,
        SEXUAL,
        "violence",
        "self_harm",
        "hate",
        "illegal_acts",
        "deception",
    ),
    summary="Terms in data files, as whole words, after the canonicaliser; sexual terms beside a minor.",
    measured_on="dev prompts of OVERT, I2P, ImageReward and T2I-CompBench, per source, with evasions",
    measured_in="benchmarks/results/prompt_safety.md",
    adjustable=False,
)

BLOCK_SCORE, FLAG_SCORE = 1.0, 0.5
COMBINATION_ID = "sexual-with-minor-sign"
AGE_ID = "age-below-18"

_NUMBER = (
    r"(?:[1-9]|1[0-7]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|"
    r"sixteen|seventeen)"
)
_AGE_BELOW_18 = re.compile(
    rf" {_NUMBER} (?:(?:years?|yrs?) olds?|y o|yo|ans) | (?:[1-9]|1[0-7])(?:yo|yrs?) | aged? (?:of )?{_NUMBER} "
)


@dataclass(slots=True)
class _Entry:
    """What one term stands for."""

    rules: list[TermRule] = field(default_factory=list)
    neutral: bool = False
    fiction: bool = False


class PromptRules:
    """A prompt check over term files. Immutable after it is built; safe to share between threads."""

    declaration = DECLARATION

    def __init__(self, term_files: Sequence[TermFile]) -> None:
        import ahocorasick

        self._digest = ",".join(f.digest for f in term_files)
        self._files: list[JsonValue] = [f"{f.source}@{f.version}" for f in term_files]
        self._automaton = ahocorasick.Automaton()
        entries: dict[str, _Entry] = {}
        for term_file in term_files:
            for rule in term_file.rules:
                for term in rule.terms:
                    entries.setdefault(term, _Entry()).rules.append(rule)
            for term in term_file.neutral:
                entries.setdefault(term, _Entry()).neutral = True
            for term in term_file.fiction:
                entries.setdefault(term, _Entry()).fiction = True
        for term, entry in entries.items():
            self._automaton.add_word(term, (len(term), entry))
        self._automaton.make_automaton()

    @classmethod
    def shipped(cls, more: Iterable[TermFile] = ()) -> PromptRules:
        """The shipped terms, and `more` files of the operator."""
        return cls([shipped_terms(), *more])

    def examine(self, prompt: str) -> list[Finding]:
        """One finding per category found, and one for sexual content with a minor in any case."""
        return self.examine_many([prompt])[0]

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        """`examine` of each prompt."""
        return [self._examine(prompt) for prompt in prompts]

    def _examine(self, prompt: str) -> list[Finding]:
        started = time.perf_counter()
        canonical = canonicalise(prompt)
        readings = dict.fromkeys(normalise(text) for text in (prompt, canonical.text, boldest_reading(canonical.text)))
        hits = self._hits(readings)
        if any(hits.get(SEXUAL, ())) and any(hits.get(MINOR_SIGN, ())):
            hits.setdefault(SEXUAL_MINORS, {})[COMBINATION_ID] = Outcome.BLOCK
        hits.setdefault(SEXUAL_MINORS, {})
        trace: list[JsonValue] = [f"{change.step}:{change.count}" for change in canonical.trace]
        elapsed_s = time.perf_counter() - started
        return [self._finding(category, rules, trace, elapsed_s) for category, rules in hits.items()]

    def _hits(self, readings: Iterable[str]) -> dict[str, dict[str, Outcome]]:
        """Rules that were found, by category, then by rule id."""
        hits: dict[str, dict[str, Outcome]] = {}
        for reading in readings:
            found = [(end - length + 1, end, entry) for end, (length, entry) in self._automaton.iter(reading)]
            neutral = [(start, end) for start, end, entry in found if entry.neutral]
            fiction = any(entry.fiction for _, _, entry in found)
            for start, end, entry in found:
                if any(first <= start and end <= last for first, last in neutral):
                    continue
                for rule in entry.rules:
                    outcome = Outcome.FLAG if rule.softened and fiction else rule.outcome
                    hits.setdefault(rule.category, {})[rule.id] = outcome
            if _AGE_BELOW_18.search(reading):
                hits.setdefault(MINOR_SIGN, {})[AGE_ID] = Outcome.FLAG
        return hits

    def _finding(
        self, category: str, rules: Mapping[str, Outcome], trace: list[JsonValue], elapsed_s: float
    ) -> Finding:
        counts = Counter(rules.values())
        outcome = Outcome.PASS
        if counts[Outcome.BLOCK]:
            outcome = Outcome.BLOCK
        elif counts[Outcome.FLAG]:
            outcome = Outcome.FLAG
        return Finding(
            check=DECLARATION.id,
            version=DECLARATION.version,
            category=category,
            score={Outcome.BLOCK: BLOCK_SCORE, Outcome.FLAG: FLAG_SCORE}.get(outcome, 0.0),
            threshold=BLOCK_SCORE,
            outcome=outcome,
            evidence={"rules": sorted(rules), "terms": self._files, "terms_sha256": self._digest, "undone": trace},
            elapsed_s=elapsed_s,
        )
