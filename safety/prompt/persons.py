"""The check that says whether a prompt asks for a person at all; for policies under which nobody may be depicted."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import yaml

from safety.checks import CheckDeclaration, Stage
from safety.core import PERSON
from safety.findings import Finding, Outcome
from safety.prompt.canonical import canonicalise
from safety.prompt.term_files import normalise

DECLARATION = CheckDeclaration(
    id="prompt.persons",
    version="1",
    stage=Stage.PROMPT,
    categories=(PERSON,),
    summary="Words for people: kin, age, work, roles, parts of the body, pronouns; in eight languages.",
    measured_on="written examples alone (tests/safety/prompt/test_persons.py), no labelled set",
    measured_in="docs/policy.md",
    adjustable=False,
)


class PersonCheck:
    """A prompt check. Immutable; safe to share between threads."""

    declaration = DECLARATION

    def examine(self, prompt: str) -> list[Finding]:
        """One finding: block where a word for a person stands, else pass; the evidence names the words."""
        started = time.perf_counter()
        text = normalise(canonicalise(prompt).text)
        words = sorted({match.strip() for match in _words().findall(_neutral().sub(" ", text))})
        return [
            Finding(
                check=DECLARATION.id,
                version=DECLARATION.version,
                category=PERSON,
                score=1.0 if words else 0.0,
                threshold=1.0,
                outcome=Outcome.BLOCK if words else Outcome.PASS,
                evidence={"words": words[:20]},
                elapsed_s=time.perf_counter() - started,
            )
        ]

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        """`examine` of each prompt."""
        return [self.examine(prompt) for prompt in prompts]


@cache
def _words() -> re.Pattern[str]:
    return _any_of(_data()["terms"])


@cache
def _neutral() -> re.Pattern[str]:
    return _any_of(_data()["neutral"])


def _data() -> dict[str, list[str]]:
    content: dict[str, list[str]] = yaml.safe_load(
        files("safety").joinpath("prompt", "data", "persons.yaml").read_text(encoding="utf-8")
    )
    return content


def _any_of(terms: list[str]) -> re.Pattern[str]:
    """Any term as whole words; both neighbouring spaces stay, because the next term may need one."""
    longest_first = sorted({normalise(term).strip() for term in terms}, key=len, reverse=True)
    return re.compile(r"(?<= )(?:" + "|".join(map(re.escape, longest_first)) + r")(?= )")
