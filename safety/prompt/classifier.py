"""The prompt classifier: an adapted sentence encoder with a trained head, on every reading of a prompt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from safety.checks import CheckDeclaration, Stage, outcome_of
from safety.errors import EncoderError, WeightsError
from safety.findings import Finding, JsonValue, decimal
from safety.prompt.calibration import Scores
from safety.prompt.canonical import CanonicalText, boldest_reading, canonicalise, visible
from safety.prompt.encoder import MiniLmEncoder
from safety.prompt.glossary import shipped_glossary
from safety.prompt.language import detect_language
from safety.prompt.taxonomy import CATEGORIES
from safety.prompt.weights_file import ClassifierWeights, shipped_weights
from safety.prompt.windows import windows

DECLARATION = CheckDeclaration(
    id="prompt.classifier",
    version="2",
    stage=Stage.PROMPT,
    categories=CATEGORIES,
    summary="Adapted all-MiniLM-L6-v2, on the prompt as it stands, without disguises, and glossed in English.",
    measured_on="dev prompts of OVERT, I2P, ImageReward and T2I-CompBench, per source, with evasions; French",
    measured_in="benchmarks/results/prompt_safety.md",
)

PROMPTS_PER_BATCH = 128

DISGUISED_SHARE_MAX = 0.3
"""Share of words that the canonicaliser changed, beyond which a prompt is mostly disguise."""


@dataclass(frozen=True, slots=True)
class PromptScore:
    """What the classifier makes of one prompt.

    `harm` in [0, 1] is the probability of harm of any kind, the highest of all readings and windows, and
    `categories` has the highest score of each entry of `CATEGORIES`. `reading` and `window` say where `harm`
    was found.
    """

    harm: float
    categories: tuple[float, ...]
    reading: str
    window: int
    windows: int
    canonical: CanonicalText


class PromptClassifier:
    """A prompt check. Immutable after it is built; safe to share between threads."""

    declaration = DECLARATION

    def __init__(
        self, encoder: MiniLmEncoder, weights: ClassifierWeights, thresholds: Mapping[str, float] | None = None
    ) -> None:
        """Raises `WeightsError` if the weights adapt another encoder."""
        from safety.prompt.network import ClassifierNetwork

        if encoder.digest != weights.encoder_digest:
            raise WeightsError(
                f"the prompt classifier was trained on encoder {weights.encoder_digest}, got {encoder.digest}; "
                "load the encoder with that SHA-256 or train the classifier again"
            )
        self._encoder = encoder
        self._weights = weights
        self._network = ClassifierNetwork(encoder, weights)
        self._thresholds = dict(thresholds or {})

    @classmethod
    def shipped(cls, encoder: MiniLmEncoder, thresholds: Mapping[str, float] | None = None) -> PromptClassifier:
        """The check with the weights that ship."""
        return cls(encoder, shipped_weights(), thresholds)

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
        """Scores of `prompts`. Equal windows of a prompt's readings are examined once. Raises `EncoderError`."""
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
        try:
            logits = self._network.logits(list(texts))
        except RuntimeError as error:
            raise EncoderError(f"the prompt classifier failed on {len(texts)} text(s): {error}") from error
        harm, scores = self._weights.calibration.scores(logits)
        return [_highest(plan, harm, scores, canonical) for canonical, plan in plans]

    def _findings(self, score: PromptScore, elapsed_s: float) -> list[Finding]:
        undone: list[JsonValue] = [f"{change.step}:{change.count}" for change in score.canonical.trace]
        evidence: dict[str, JsonValue] = {
            "harm": decimal(score.harm),
            "reading": score.reading,
            "window": score.window,
            "windows": score.windows,
            "undone": undone,
            "encoder_sha256": self._encoder.digest,
        }
        findings = []
        levels = self._weights.calibration.levels
        for category, value, level in zip(CATEGORIES, score.categories, levels, strict=True):
            threshold = self._thresholds.get(category, level.block)
            flag_threshold = min(level.flag, threshold)
            findings.append(
                Finding(
                    check=DECLARATION.id,
                    version=DECLARATION.version,
                    category=category,
                    score=value,
                    threshold=threshold,
                    outcome=outcome_of(value, threshold, flag_threshold),
                    evidence=evidence | {"severity": level.severity(value), "flag_threshold": decimal(flag_threshold)},
                    model_digest=self._weights.digest,
                    elapsed_s=elapsed_s,
                )
            )
        return findings


def _readings(prompt: str, canonical: CanonicalText) -> list[tuple[str, str]]:
    """The prompt as it stands, without disguises, read as boldly as it can be, and glossed; each text once.

    None of a prompt that has nothing to read. A prompt that is mostly disguise is noise to the network as it
    stands, and not read so; the rules read it all the same.
    """
    if not canonical.text:
        return []
    raw = visible(prompt)
    words = raw.casefold().split()
    plain = set(canonical.text.casefold().split())
    disguised = sum(word not in plain for word in words)
    readings = {raw: "raw"} if disguised <= DISGUISED_SHARE_MAX * len(words) else {}
    readings.setdefault(canonical.text, "canonical")
    readings.setdefault(boldest_reading(canonical.text), "boldest")
    language = detect_language(canonical.text)
    gloss = shipped_glossary().gloss(canonical.text, language.code) if language.likely else None
    if gloss is not None:
        readings.setdefault(gloss, "glossed")
    return [(name, text) for text, name in readings.items()]


def _highest(
    plan: Sequence[tuple[str, int, int]], harm: Scores, scores: Scores, canonical: CanonicalText
) -> PromptScore:
    """The highest harm, where it was found, and the highest score of each category."""
    if not plan:
        return PromptScore(0.0, (0.0,) * len(CATEGORIES), "none", 0, 0, canonical)
    reading, window, text = max(plan, key=lambda entry: float(harm[entry[2]]))
    highest = scores[np.array([entry[2] for entry in plan])].max(axis=0)
    count = 1 + max(position for name, position, _ in plan if name == reading)
    return PromptScore(float(harm[text]), tuple(map(float, highest)), reading, window, count, canonical)
