"""How well prompt harm is found, by source, beside a word list and a TF-IDF model in the same run.

    python -m benchmarks.prompt_safety --data ../shared/data/prompts --output benchmarks/results/prompt_safety.md

Everything is measured on the half of dev.jsonl that took no part in calibration (a hash of the text decides).
The TF-IDF model trains on train.jsonl, and its threshold is chosen as ours was. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from safety import Outcome
from safety.core import core_refusals
from safety.prompt.classifier import PromptClassifier
from safety.prompt.head import PromptHead
from safety.prompt.rules import PromptRules
from safety.prompt.term_files import normalise, shipped_terms
from safety.training.calibration import FALSE_POSITIVE_RATES, auc, calibrate, is_benign, is_harmful, select
from safety.training.encoder import load_encoder
from safety.training.evasions import EVASIONS
from safety.training.prompt_data import LabelledPrompt, is_calibration, read_prompts

Scores = NDArray[np.float64]
Blocked = NDArray[np.bool_]

RESAMPLES = 1000
EVADED_ROWS = 200
LATENCY_PROMPTS = 60


def interval(statistic: Callable[[NDArray[np.int64]], float], rows: int) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles) of `statistic` over resampled row numbers."""
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, rows, rows)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def share(hits: Blocked) -> str:
    """Share of true entries, with its interval."""
    if not len(hits):
        return "-"
    low, high = interval(lambda rows: float(hits[rows].mean()), len(hits))
    return f"{hits.mean():.3f} [{low:.3f}, {high:.3f}]"


def auc_with_interval(positive: Scores, negative: Scores) -> str:
    """AUC, with its interval; positives and negatives are resampled apart."""
    rng = np.random.default_rng(0)
    values = [auc(rng.choice(positive, len(positive)), rng.choice(negative, len(negative))) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{auc(positive, negative):.3f} [{low:.3f}, {high:.3f}]"


class Ours:
    """The shipped checks: the classifier's score, and whether classifier or rules refuse."""

    name = "ours (classifier and rules)"

    def __init__(self) -> None:
        self._classifier = PromptClassifier.shipped(load_encoder())
        self._rules = PromptRules.shipped()
        self.calibration = PromptHead.shipped().calibration

    def scores(self, texts: Sequence[str]) -> Scores:
        found = []
        for start in range(0, len(texts), 64):
            found += [score.unsafe for score in self._classifier.score_many(texts[start : start + 64])]
        return np.array(found)

    def blocked(self, texts: Sequence[str]) -> Blocked:
        verdicts = []
        for start in range(0, len(texts), 64):
            batch = texts[start : start + 64]
            for own, more in zip(self._classifier.examine_many(batch), self._rules.examine_many(batch), strict=True):
                findings = own + more
                blocks = any(finding.outcome is Outcome.BLOCK for finding in findings)
                verdicts.append(blocks or bool(core_refusals(findings)))
        return np.array(verdicts)

    def latency(self, texts: Sequence[str]) -> tuple[float, float]:
        """Median seconds a prompt, one at a time, and prompts a second in batches."""
        alone = []
        for text in texts[:LATENCY_PROMPTS]:
            started = time.perf_counter()
            self._classifier.examine(text)
            self._rules.examine(text)
            alone.append(time.perf_counter() - started)
        started = time.perf_counter()
        self._classifier.examine_many(texts)
        self._rules.examine_many(texts)
        return float(np.median(alone)), len(texts) / (time.perf_counter() - started)


class WordList:
    """The terms of the rules that block, as whole words, and nothing else."""

    name = "word list"

    def __init__(self) -> None:
        rules = [rule for term_file in shipped_terms() for rule in term_file.rules]
        self._terms = [term for rule in rules if rule.outcome is Outcome.BLOCK for term in rule.terms]

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.array([float(any(term in normalise(text) for term in self._terms)) for text in texts])

    def blocked(self, texts: Sequence[str]) -> Blocked:
        return self.scores(texts) > 0


class TfIdf:
    """Logistic regression on word and character n-grams, trained and calibrated on the same rows as ours."""

    name = "TF-IDF"

    def __init__(self, train: Sequence[LabelledPrompt], calibrating: Sequence[LabelledPrompt]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline, make_union

        union = make_union(
            TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True),
        )
        self._model = make_pipeline(union, LogisticRegression(C=4.0, max_iter=300, class_weight="balanced"))
        self._model.fit([prompt.text for prompt in train], [prompt.target >= 0.5 for prompt in train])
        logits = self.scores([prompt.text for prompt in calibrating])
        calibration = calibrate(logits, calibrating)
        self._slope, self._offset, self._threshold = calibration.slope, calibration.offset, calibration.threshold

    def scores(self, texts: Sequence[str]) -> Scores:
        return np.asarray(self._model.decision_function(texts), dtype=np.float64)

    def blocked(self, texts: Sequence[str]) -> Blocked:
        return np.asarray(1 / (1 + np.exp(-(self._slope * self.scores(texts) + self._offset))) >= self._threshold)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def table(data: Path) -> str:
    """The whole result as Markdown."""
    dev = read_prompts(data / "dev.jsonl")
    calibrating = [prompt for prompt in dev if is_calibration(prompt)]
    reporting = [prompt for prompt in dev if not is_calibration(prompt)]
    ours = Ours()
    peers: list[Ours | WordList | TfIdf] = [ours, WordList(), TfIdf(read_prompts(data / "train.jsonl"), calibrating)]
    names = [peer.name for peer in peers]
    texts = [prompt.text for prompt in reporting]
    sources = np.array([prompt.source for prompt in reporting])
    harmful, benign = select(reporting, is_harmful), select(reporting, is_benign)
    scores = [peer.scores(texts) for peer in peers]
    blocked = [peer.blocked(texts) for peer in peers]
    overt_unsafe = sources == "overt-unsafe"
    groups = {
        "I2P, at least 50 % inappropriate (recall)": harmful & (sources == "i2p"),
        "OVERT unsafe (recall)": overt_unsafe,
        "OVERT benign (false positives)": sources == "overt-benign",
        "ImageReward, unlabelled (false positives)": sources == "imagereward",
        "T2I-CompBench (false positives)": sources == "t2i-compbench",
    }
    i2p = harmful & (sources == "i2p")
    comparisons = {
        "I2P >= 50 against ImageReward": (i2p, sources == "imagereward"),
        "I2P >= 50 against all benign": (i2p, benign),
        "OVERT unsafe against OVERT benign": (overt_unsafe, sources == "overt-benign"),
    }
    median_s, rate = ours.latency(texts[:600])
    load = os.getloadavg()[0]
    lines = [
        "# Finding harm in prompts",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}, load average {load:.1f}, with "
        f"`python -m benchmarks.prompt_safety`, on {len(reporting)} prompts of dev.jsonl that took no part in "
        "training or calibration. Intervals: 95 % bootstrap. The weights of the sources (among three training runs) "
        "and the size of the windows were chosen by looking at these same prompts, so the figures are somewhat "
        "optimistic; prompts that nobody has looked at are the better test.",
        "",
        "The threshold was set on the other half of dev so that at most "
        + ", ".join(f"{100 * rate:.0f} % ({source})" for source, rate in FALSE_POSITIVE_RATES.items())
        + " of benign rows reach it; the TF-IDF model's threshold was set in the same way. The word list has none. "
        f"Ours: threshold {ours.calibration.threshold:.4f}, flag threshold {ours.calibration.flag_threshold:.4f}.",
        "",
        "## Share of prompts that are blocked",
        "",
        _row(["prompts", "n", *names]),
        _row(["---", "---:", *["---:"] * len(peers)]),
        *(_row([group, int(rows.sum()), *(share(b[rows]) for b in blocked)]) for group, rows in groups.items()),
        "",
        "## AUC",
        "",
        _row(["comparison", *names]),
        _row(["---", *["---:"] * len(peers)]),
        *(
            _row([name, *(auc_with_interval(s[positive], s[negative]) for s in scores)])
            for name, (positive, negative) in comparisons.items()
        ),
        "",
        "ImageReward rows are unlabelled prompts of real users; some of them are harmful, which counts against "
        "every method here. OVERT's unsafe and benign rows share their wording on purpose.",
        "",
        *_evasion_lines(peers, reporting, harmful, benign),
        "## Speed",
        "",
        f"Classifier and rules: median {1000 * median_s:.1f} ms a prompt, one at a time; {rate:.0f} prompts a "
        "second in batches. The load average above says how much else ran on the machine.",
        "",
    ]
    return "\n".join(lines)


def _evasion_lines(
    peers: Sequence[Ours | WordList | TfIdf], prompts: Sequence[LabelledPrompt], harmful: Blocked, benign: Blocked
) -> list[str]:
    rng = random.Random(0)
    unsafe_texts = [prompts[row].text for row in np.flatnonzero(harmful).tolist()]
    benign_texts = [prompts[row].text for row in np.flatnonzero(benign).tolist()]
    unsafe_texts, benign_texts = rng.sample(unsafe_texts, EVADED_ROWS), rng.sample(benign_texts, EVADED_ROWS)
    lines = [
        "## Under disguise",
        "",
        f"{EVADED_ROWS} harmful and {EVADED_ROWS} benign prompts of all sources; the whole text is disguised. "
        "Share that is blocked.",
        "",
        _row(["disguise", *(f"{peer.name}: {what}" for peer in peers for what in ("harmful", "benign"))]),
        _row(["---", *["---:"] * (2 * len(peers))]),
    ]
    for name, disguise in {"none": lambda text, _: text, **EVASIONS}.items():
        hidden_unsafe = [disguise(text, random.Random(row)) for row, text in enumerate(unsafe_texts)]
        hidden_benign = [disguise(text, random.Random(row)) for row, text in enumerate(benign_texts)]
        cells = [f"{peer.blocked(texts).mean():.3f}" for peer in peers for texts in (hidden_unsafe, hidden_benign)]
        lines.append(_row([name, *cells]))
    return [*lines, ""]


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    result = table(options.data)
    print(result)
    if options.output is not None:
        options.output.write_text(result, encoding="utf-8")


if __name__ == "__main__":
    main()
