"""The prompt classifier: a trained head on sentence-encoder token states, on every reading of a prompt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety.checks import CheckDeclaration, Stage, outcome_of
from safety.errors import WeightsError
from safety.findings import Finding, JsonValue, decimal
from safety.prompt.canonical import CanonicalText, boldest_reading, canonicalise, visible
from safety.prompt.encoder import SentenceEncoder, require_token_states
from safety.prompt.head import PromptHead
from safety.prompt.taxonomy import CATEGORIES
from safety.prompt.windows import windows

DECLARATION = CheckDeclaration(
    id="prompt.classifier",
    version="1",
    stage=Stage.PROMPT,
    categories=CATEGORIES,
    summary="Trained head on all-MiniLM-L6-v2, on the prompt as it stands and without disguises.",
    measured_on="dev prompts of OVERT, I2P, ImageReward and T2I-CompBench, per source, with evasions",
    measured_in="benchmarks/results/prompt_safety.md",
)

PROMPTS_PER_BATCH = 64

_NO_SCORES: NDArray[np.float64] = np.empty(0)


@dataclass(frozen=True, slots=True)
class PromptScore:
    """What the classifier makes of one prompt.

    `unsafe` in [0, 1] is the highest of all readings and windows; `categories` has one score per entry of
    `CATEGORIES`, the leading one equal to `unsafe`. `reading` and `window` say where the highest was found.
    """

    unsafe: float
    categories: tuple[float, ...]
    reading: str
    window: int
    windows: int
    canonical: CanonicalText


class PromptClassifier:
    """A prompt check. Immutable after it is built; as safe to share between threads as its encoder."""

    declaration = DECLARATION

    def __init__(
        self, encoder: SentenceEncoder, head: PromptHead, thresholds: Mapping[str, float] | None = None
    ) -> None:
        """Raises `WeightsError` if the head was trained on the token states of another encoder."""
        if encoder.digest != head.encoder_digest:
            raise WeightsError(
                f"the prompt classifier was trained on encoder {head.encoder_digest}, got {encoder.digest}; "
                "load the encoder with that SHA-256 or train the head again"
            )
        self._encoder = encoder
        self._head = head
        self._thresholds = dict(thresholds or {})

    @classmethod
    def shipped(cls, encoder: SentenceEncoder, thresholds: Mapping[str, float] | None = None) -> PromptClassifier:
        """The check with the weights that ship."""
        return cls(encoder, PromptHead.shipped(), thresholds)

    def examine(self, prompt: str) -> list[Finding]:
        """One finding per category, in the order of `CATEGORIES`. Raises `EncoderError`."""
        return self.examine_many([prompt])[0]

    def examine_many(self, prompts: Sequence[str]) -> list[list[Finding]]:
        """`examine` of each prompt; faster, as texts are encoded in batches."""
        findings: list[list[Finding]] = []
        for start in range(0, len(prompts), PROMPTS_PER_BATCH):
            batch = prompts[start : start + PROMPTS_PER_BATCH]
            started = time.perf_counter()
            scores = self.score_many(batch)
            elapsed_s = (time.perf_counter() - started) / len(batch)
            findings += [self._findings(score, elapsed_s) for score in scores]
        return findings

    def score_many(self, prompts: Sequence[str]) -> list[PromptScore]:
        """Scores of `prompts`. Equal windows of a prompt's readings are examined once."""
        texts: dict[str, int] = {}
        plans: list[tuple[CanonicalText, list[tuple[str, int, int]]]] = []
        for prompt in prompts:
            canonical = canonicalise(prompt)
            plan = [
                (reading, position, texts.setdefault(window, len(texts)))
                for reading, text in _readings(prompt, canonical)
                for position, window in enumerate(windows(text))
            ]
            plans.append((canonical, plan))
        if not texts:
            return [_highest([], _NO_SCORES, _NO_SCORES, canonical) for canonical, _ in plans]
        states = self._encoder.encode_tokens(list(texts))
        require_token_states(states, len(texts))
        output = self._head(states)
        return [_highest(plan, output.unsafe, output.categories, canonical) for canonical, plan in plans]

    def _findings(self, score: PromptScore, elapsed_s: float) -> list[Finding]:
        calibration = self._head.calibration
        undone: list[JsonValue] = [f"{change.step}:{change.count}" for change in score.canonical.trace]
        evidence: dict[str, JsonValue] = {
            "unsafe": decimal(score.unsafe),
            "flag_threshold": decimal(calibration.flag_threshold),
            "reading": score.reading,
            "window": score.window,
            "windows": score.windows,
            "undone": undone,
            "encoder_sha256": self._encoder.digest,
        }
        findings = []
        for category, value in zip(CATEGORIES, score.categories, strict=True):
            threshold = self._thresholds.get(category, calibration.threshold)
            flag_threshold = min(calibration.flag_threshold, threshold)
            findings.append(
                Finding(
                    check=DECLARATION.id,
                    version=DECLARATION.version,
                    category=category,
                    score=value,
                    threshold=threshold,
                    outcome=outcome_of(value, threshold, flag_threshold),
                    evidence=evidence,
                    model_digest=self._head.digest,
                    elapsed_s=elapsed_s,
                )
            )
        return findings


def _readings(prompt: str, canonical: CanonicalText) -> list[tuple[str, str]]:
    """The prompt as it stands, without disguises, and read as boldly as it can be; each text once.

    None of a prompt that has nothing to read.
    """
    readings = {visible(prompt): "raw"}
    readings.setdefault(canonical.text, "canonical")
    readings.setdefault(boldest_reading(canonical.text), "boldest")
    return [(name, text) for text, name in readings.items() if canonical.text]


def _highest(
    plan: Sequence[tuple[str, int, int]],
    unsafe: NDArray[np.float64],
    categories: NDArray[np.float64],
    canonical: CanonicalText,
) -> PromptScore:
    """The window with the highest score, and the category scores that follow from it.

    Each category's score is the score of harm, scaled by that category's probability relative to the
    leading one: the leading category has the whole score, one that is half as likely half of it.
    """
    if not plan:
        return PromptScore(0.0, (0.0,) * len(CATEGORIES), "none", 0, 0, canonical)
    reading, window, text = max(plan, key=lambda entry: float(unsafe[entry[2]]))
    harm = float(unsafe[text])
    shares = categories[text] / categories[text].max()
    scores = tuple(float(share) * harm for share in shares)
    count = 1 + max(position for name, position, _ in plan if name == reading)
    return PromptScore(harm, scores, reading, window, count, canonical)
