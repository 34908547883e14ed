"""Which language a prompt is in, and the check that says when the classifier was not measured on it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from safety.checks import CheckDeclaration, Stage
from safety.findings import Finding, Outcome, decimal
from safety.prompt.canonical import canonicalise
from safety.taxonomy import LANGUAGE_CATEGORY

MEASURED_LANGUAGES = ("en", "fr")
"""Languages that the checks were measured on; see `benchmarks/results/prompt_safety.md` for how well they do."""

ENGLISH = "en"
TOLD_LANGUAGES = (
    *("en", "fr", "de", "es", "it", "pt", "nl", "pl", "ru", "uk", "el", "ar", "fa", "he", "tr", "zh", "ja", "ko"),
    *("hi", "th", "vi", "id", "sv", "da", "no", "fi", "cs", "sk", "hu", "ro", "bg", "sr", "hr"),
)
"""Languages that are told apart. Fewer than py3langid knows: prompts are short, and names are in every language."""

CONFIDENCE_MIN, ENGLISH_MAX = 0.4, 0.1
"""A language is told from this probability on, if English has at most that one. 0.3 % of 4,308 English training
prompts were told to be another language so, most of them lists of names."""

LIKELY_MIN, LIKELY_ENGLISH_MAX = 0.3, 0.3
"""The same for a language that is likely enough to try a glossary on."""

LETTERS_MIN = 8
"""Shorter texts in Latin letters are too short to tell."""

DECLARATION = CheckDeclaration(
    id="prompt.language",
    version="1",
    stage=Stage.PROMPT,
    categories=(LANGUAGE_CATEGORY,),
    summary="The prompt's language, found when the other checks were not measured on it.",
    measured_on="English prompts of train.jsonl; French prompts written for this project",
    measured_in="benchmarks/results/prompt_safety.md",
    adjustable=False,
)

_LETTER = re.compile(r"[^\W\d_]")
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1dff\u1f00-\u1fff\u2c80-\u2fff\u3040-\ua63f\uac00-\ud7ff]")


@dataclass(frozen=True, slots=True)
class Language:
    """ISO 639-1 `code`, and `confidence` in [0, 1]. A language may be likely and yet not be `told`."""

    code: str
    confidence: float
    likely: bool
    told: bool


def detect_language(text: str) -> Language:
    """Language of canonical `text`; English, untold, for a text without letters or of too few."""
    letters = len(_LETTER.findall(text))
    other_script = 2 * len(_OTHER_SCRIPT.findall(text)) > letters
    if letters == 0 or (letters < LETTERS_MIN and not other_script):
        return Language(ENGLISH, 0.0, likely=False, told=False)
    ranked = dict(_identifier().rank(text.lower()))
    code = max(ranked, key=lambda language: ranked[language])
    confidence, english = min(1.0, ranked[code]), ranked[ENGLISH]
    if code == ENGLISH:
        return Language(code, confidence, likely=True, told=confidence >= CONFIDENCE_MIN)
    told = other_script or (confidence >= CONFIDENCE_MIN and english <= ENGLISH_MAX)
    return Language(code, confidence, told or (confidence >= LIKELY_MIN and english <= LIKELY_ENGLISH_MAX), told)


@cache
def _identifier() -> Any:
    """py3langid's model (Lui and Baldwin 2012, "langid.py"), for `TOLD_LANGUAGES`."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(list(TOLD_LANGUAGES))
    return identifier


class LanguageCheck:
    """A prompt check. Immutable; safe to share between threads."""

    declaration = DECLARATION

    def examine(self, prompt: str) -> list[Finding]:
        """One finding: block for a language outside `MEASURED_LANGUAGES`, else pass; the evidence names it."""
        started = time.perf_counter()
        language = detect_language(canonicalise(prompt).text)
        foreign = language.told and language.code not in MEASURED_LANGUAGES
        return [
            Finding(
                check=DECLARATION.id,
                version=DECLARATION.version,
                category=LANGUAGE_CATEGORY,
                score=1.0 if foreign else 0.0,
                threshold=1.0,
                outcome=Outcome.BLOCK if foreign else Outcome.PASS,
                evidence={
                    "language": language.code if language.told else None,
                    "confidence": decimal(language.confidence),
                    "measured": list(MEASURED_LANGUAGES),
                },
                elapsed_s=time.perf_counter() - started,
            )
        ]

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        """`examine` of each prompt."""
        return [self.examine(prompt) for prompt in prompts]
