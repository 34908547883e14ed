"""The rules: terms written down, found as whole words in the prompt as it stands and without disguises."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from safety.checks import CheckDeclaration, Stage
from safety.core import MINOR_SIGN, PERSON, SEXUAL, SEXUAL_MINORS
from safety.errors import CheckConfigurationError
from safety.findings import Finding, JsonValue, Outcome
from safety.prompt.ages import names_age_below_18
from safety.prompt.canonical import boldest_reading, canonicalise
from safety.prompt.term_files import TermFile, normalise, shipped_terms
from safety.taxonomy import LANGUAGE_CATEGORY, TAXONOMY

DECLARATION = CheckDeclaration(
    id="prompt.rules",
    version="2",
    stage=Stage.PROMPT,
    categories=tuple(category.name for category in TAXONOMY if category.name not in (LANGUAGE_CATEGORY, PERSON)),
    summary="Terms with context in data files, as whole words, after the canonicaliser; sexual terms beside a minor.",
    measured_on="dev prompts of OVERT, I2P, ImageReward and T2I-CompBench, per source, with evasions",
    measured_in="benchmarks/results/prompt_safety.md",
    adjustable=False,
)

BLOCK_SCORE, FLAG_SCORE = 1.0, 0.5
COMBINATION_ID = "sexual-with-minor-sign"
AGE_ID = "age-below-18"

_TERMS, _UNLESS = 0, -1
"""Lists of a rule: its terms, what lifts it; those beside are 1, 2 and so on."""


@dataclass(slots=True)
class _Entry:
    """What one term stands for: (number of the rule, list of the rule) of each that has it."""

    places: list[tuple[int, int]] = field(default_factory=list)
    neutral: bool = False
    fiction: bool = False


class PromptRules:
    """A prompt check over term files. Immutable after it is built; safe to share between threads."""

    declaration = DECLARATION

    def __init__(self, term_files: Sequence[TermFile]) -> None:
        """Raises `CheckConfigurationError` for a rule of a category that is not in the taxonomy."""
        import ahocorasick

        self._digest = ",".join(f.digest for f in term_files)
        self._files: list[JsonValue] = [f"{f.source}@{f.version}" for f in term_files]
        self._rules = [rule for term_file in term_files for rule in term_file.rules]
        self._automaton = ahocorasick.Automaton()
        _require_known_categories(term_files)
        entries: dict[str, _Entry] = {}
        for number, rule in enumerate(self._rules):
            for place, terms in ((_TERMS, rule.terms), (_UNLESS, rule.unless), *enumerate(rule.beside, start=1)):
                for term in terms:
                    entries.setdefault(term, _Entry()).places.append((number, place))
        for term_file in term_files:
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
        return cls([*shipped_terms(), *more])

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
        hits: dict[str, dict[str, Outcome]] = {}
        for reading in readings:
            self._add_hits(hits, reading)
        if hits.get(SEXUAL) and hits.get(MINOR_SIGN):
            hits.setdefault(SEXUAL_MINORS, {})[COMBINATION_ID] = Outcome.BLOCK
        hits.setdefault(SEXUAL_MINORS, {})
        trace: list[JsonValue] = [f"{change.step}:{change.count}" for change in canonical.trace]
        elapsed_s = time.perf_counter() - started
        return [self._finding(category, rules, trace, elapsed_s) for category, rules in hits.items()]

    def _add_hits(self, hits: dict[str, dict[str, Outcome]], reading: str) -> None:
        """Adds to `hits` the rules that `reading` meets: by category, then by rule id; the severest outcome stays."""
        found = [(end - length + 1, end, entry) for end, (length, entry) in self._automaton.iter(reading)]
        neutral = [(start, end) for start, end, entry in found if entry.neutral]
        fiction = any(entry.fiction for _, _, entry in found)
        places: dict[int, set[int]] = {}
        for start, end, entry in found:
            if not any(first <= start and end <= last for first, last in neutral):
                for number, place in entry.places:
                    places.setdefault(number, set()).add(place)
        for number, met in places.items():
            rule = self._rules[number]
            if _UNLESS not in met and len(met) == 1 + len(rule.beside):
                outcome = Outcome.FLAG if rule.softened and fiction else rule.outcome
                earlier = hits.setdefault(rule.category, {}).get(rule.id)
                hits[rule.category][rule.id] = earlier if earlier is Outcome.BLOCK else outcome
        if names_age_below_18(reading):
            hits.setdefault(MINOR_SIGN, {})[AGE_ID] = Outcome.FLAG

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


def _require_known_categories(term_files: Sequence[TermFile]) -> None:
    for term_file in term_files:
        for rule in term_file.rules:
            if rule.category not in DECLARATION.categories:
                raise CheckConfigurationError(
                    f"{term_file.source}, rule {rule.id}: expected a category of docs/taxonomy.md "
                    f"({', '.join(DECLARATION.categories)}), got {rule.category!r}"
                )
