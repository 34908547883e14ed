"""How well prompt harm is found, by source, beside a word list, a frozen encoder and TF-IDF in the same run.

    python -m benchmarks.prompt_safety --data ../shared/data/prompts --output benchmarks/results/prompt_safety.md

Everything is measured on the half of dev.jsonl that took no part in calibration (a hash of the text decides). The
peers train on train.jsonl, and their thresholds are chosen as ours are. `--figure` draws the reliability diagram,
`--list` prints the ImageReward rows that are not released. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from api.screening import Screening
from benchmarks.machine import machine
from benchmarks.prompt_peers import Blocked, FrozenHead, TfIdf, WordList
from benchmarks.reliability import reliability_svg
from safety import (
    CheckDependencies,
    DecisionOutcome,
    Policy,
    PromptCheck,
    RegisteredPromptCheck,
    Stage,
    default_registry,
)
from safety.checks import run_checks_on_many
from safety.prompt.calibration import Scores
from safety.prompt.classifier import PromptClassifier
from safety.prompt.encoder import MiniLmEncoder
from safety.prompt.language import detect_language
from safety.prompt.taxonomy import CATEGORIES
from safety.prompt.weights_file import shipped_weights
from safety.training.calibration import (
    BLOCK_RATES,
    auc,
    calibration_error,
    category_rows,
    is_benign,
    is_harmful,
    select,
)
from safety.training.encoder import load_encoder
from safety.training.evasions import EVASIONS
from safety.training.prompt_data import LabelledPrompt, is_calibration, read_prompts

RESAMPLES = 1000
EVADED_ROWS = 400
LATENCY_PROMPTS = 100
THROUGHPUT_PROMPTS = 1000
FRENCH = Path(__file__).parent / "data" / "french_prompts.jsonl"


class Peer(Protocol):
    """A way to find harm: a score, higher is worse, and whether a prompt is stopped."""

    name: str

    def scores(self, texts: Sequence[str]) -> Scores: ...

    def blocked(self, texts: Sequence[str]) -> Blocked: ...


class Ours:
    """The shipped checks under the shipped policy: the classifier's probability of harm; whether it is released."""

    name = "ours"

    def __init__(self, encoder: MiniLmEncoder) -> None:
        self._classifier = PromptClassifier.shipped(encoder)
        self._policy = Policy.default()
        registry, dependencies = default_registry(), CheckDependencies(encoder=encoder)
        registered = [registry.get(check_id) for check_id in self._policy.checks(Stage.PROMPT)]
        thresholds = self._policy.thresholds(Stage.PROMPT)
        self._checks: list[PromptCheck] = [
            check.build(dependencies, thresholds) for check in registered if isinstance(check, RegisteredPromptCheck)
        ]

    @property
    def checks(self) -> tuple[PromptCheck, ...]:
        """The checks, ready to run."""
        return tuple(self._checks)

    def scores(self, texts: Sequence[str]) -> Scores:
        return self.all_scores(texts)[:, 0]

    def all_scores(self, texts: Sequence[str]) -> Scores:
        """Probability of harm, then the score of each category: shape (n, 1 + categories)."""
        return np.array([(score.harm, *score.categories) for score in self._classifier.score_many(texts)])

    def blocked(self, texts: Sequence[str]) -> Blocked:
        return np.array(
            [
                self._policy.decide(Stage.PROMPT, findings).outcome is not DecisionOutcome.RELEASE
                for findings in run_checks_on_many(self._checks, texts)
            ]
        )

    def stopped_by(self, text: str) -> str:
        """What stopped `text`, for a person who looks through such rows."""
        decision = self._policy.decide(Stage.PROMPT, run_checks_on_many(self._checks, [text])[0])
        grounds = {f"{reason.category} ({reason.check})" for reason in decision.reasons if reason.action != "annotate"}
        return ", ".join(sorted(grounds))

    def latency(self, texts: Sequence[str]) -> tuple[float, float]:
        """Median seconds a prompt, one at a time, and prompts a second as `screen --file` does it."""
        alone = []
        for text in texts[:LATENCY_PROMPTS]:
            started = time.perf_counter()
            run_checks_on_many(self._checks, [text])
            alone.append(time.perf_counter() - started)
        screening = Screening(self._checks, self._policy)
        started = time.perf_counter()
        for start in range(0, len(texts), 256):
            screening.screen(texts[start : start + 256])
        return float(np.median(alone)), len(texts) / (time.perf_counter() - started)


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


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [_row(header), _row(["---", *["---:"] * (len(header) - 1)]), *map(_row, rows), ""]


def report(data: Path, *, figure: Path | None = None, listed: bool = False, alone: bool = False) -> str:
    """The whole result as Markdown; with `alone`, without the peers."""
    dev = read_prompts(data / "dev.jsonl")
    calibrating = [prompt for prompt in dev if is_calibration(prompt)]
    reporting = [prompt for prompt in dev if not is_calibration(prompt)]
    train = read_prompts(data / "train.jsonl")
    encoder = load_encoder()
    ours = Ours(encoder)
    peers: list[Peer] = [ours]
    if not alone:
        peers += [WordList(), FrozenHead(encoder, train, calibrating), TfIdf(train, calibrating)]
    texts = [prompt.text for prompt in reporting]
    blocked = [peer.blocked(texts) for peer in peers]
    if listed:
        for prompt, stopped in zip(reporting, blocked[0], strict=True):
            if stopped and prompt.source == "imagereward":
                print(f"{ours.stopped_by(prompt.text)}: {prompt.text}")
    all_scores = ours.all_scores(texts)
    category_scores = all_scores[:, 1:]
    scores = [all_scores[:, 0], *(peer.scores(texts) for peer in peers[1:])]
    harmful = select(reporting, is_harmful)
    used = harmful | select(reporting, is_benign)
    if figure is not None:
        series = {"harm of any kind": (scores[0][used], harmful[used])}
        series |= {
            category: (category_scores[rows, k], named[rows])
            for k, category in enumerate(CATEGORIES)
            for rows, named in [category_rows(reporting, category)]
            if named.sum() >= 25
        }
        figure.write_text(reliability_svg(series), encoding="utf-8")
    return "\n".join(
        [
            *_preamble(reporting, alone),
            *_shares(peers, reporting, blocked),
            *_aucs(peers, reporting, scores),
            *_categories(reporting, category_scores, scores[0][used], harmful[used]),
            *_evasions(peers, reporting),
            *_french(peers),
            *_languages(reporting),
            *_speed(ours, texts),
        ]
    )


def _preamble(reporting: Sequence[LabelledPrompt], alone: bool) -> list[str]:
    rates = ", ".join(f"{100 * rate:.1f} % ({source})" for source, rate in BLOCK_RATES.items())
    return [
        "# Finding harm in prompts",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()}, load average {os.getloadavg()[0]:.1f}, with "
        f"`python -m benchmarks.prompt_safety{' --alone' if alone else ''}`, on {len(reporting)} prompts of dev.jsonl "
        "that took no part in training or calibration. 80 were read, to be translated, before the last stage of "
        "training, and an earlier report on them led to one change (which digits and signs are read as letters). "
        "Intervals: 95 % bootstrap.",
        "",
        f"Thresholds were set on the other half of dev, so that at most {rates} of benign rows reach one; the "
        "peers' in the same way. The word list has none. *Ours* stands for all prompt checks under the policy "
        "`default`: stopped means refused or held for a person.",
        "",
    ]


def _sources(prompts: Sequence[LabelledPrompt]) -> NDArray[np.str_]:
    return np.array([prompt.source for prompt in prompts])


def _shares(peers: Sequence[Peer], prompts: Sequence[LabelledPrompt], blocked: Sequence[Blocked]) -> list[str]:
    sources = _sources(prompts)
    groups: Mapping[str, Blocked] = {
        "I2P, at least 50 % inappropriate (recall)": select(prompts, is_harmful) & (sources == "i2p"),
        "OVERT unsafe (recall)": sources == "overt-unsafe",
        "OVERT benign (false positives)": sources == "overt-benign",
        "ImageReward, unlabelled (false positives)": sources == "imagereward",
        "T2I-CompBench (false positives)": sources == "t2i-compbench",
    }
    return [
        "## Share of prompts that are stopped",
        "",
        *_table(
            ["prompts", "n", *(peer.name for peer in peers)],
            [
                [group, int(rows.sum()), *(share(stopped[rows]) for stopped in blocked)]
                for group, rows in groups.items()
            ],
        ),
    ]


def _aucs(peers: Sequence[Peer], prompts: Sequence[LabelledPrompt], scores: Sequence[Scores]) -> list[str]:
    sources = _sources(prompts)
    i2p = select(prompts, is_harmful) & (sources == "i2p")
    comparisons = {
        "I2P >= 50 against ImageReward": (i2p, sources == "imagereward"),
        "I2P >= 50 against all benign": (i2p, select(prompts, is_benign)),
        "OVERT unsafe against OVERT benign": (sources == "overt-unsafe", sources == "overt-benign"),
    }
    return [
        "## AUC",
        "",
        *_table(
            ["comparison", *(peer.name for peer in peers)],
            [
                [name, *(auc_with_interval(s[positive], s[negative]) for s in scores)]
                for name, (positive, negative) in comparisons.items()
            ],
        ),
        "ImageReward rows are unlabelled prompts of real users; some of them are harmful, which counts against every "
        "method here. OVERT's unsafe and benign rows share their wording on purpose.",
        "",
    ]


def _categories(
    prompts: Sequence[LabelledPrompt], scores: Scores, harm: Scores, harmful: NDArray[np.bool_]
) -> list[str]:
    levels = shipped_weights().calibration.levels
    rows = []
    for k, category in enumerate(CATEGORIES):
        telling, named = category_rows(prompts, category)
        own, benign = scores[named, k], scores[telling & ~named, k]
        rows.append(
            [
                category,
                int(named.sum()),
                f"{levels[k].block:.2f}",
                auc_with_interval(own, benign) if len(own) >= 5 else "-",
                share(own >= levels[k].block) if len(own) >= 5 else "-",
                f"{(benign >= levels[k].block).mean():.3f}",
                f"{calibration_error(scores[telling, k], named[telling]):.3f}",
            ]
        )
    return [
        "## By category (the classifier alone)",
        "",
        "Harmful rows that name the category, against benign rows and OVERT's unsafe rows of other categories. ECE: "
        "expected calibration error in ten bins.",
        "",
        *_table(["category", "n harmful", "threshold", "AUC", "recall", "false positives", "ECE"], rows),
        f"Harm of any kind: ECE {calibration_error(harm, harmful):.3f} on {len(harm)} rows, after the highest of "
        "several readings was taken.",
        "",
    ]


def _evasions(peers: Sequence[Peer], prompts: Sequence[LabelledPrompt]) -> list[str]:
    rng = random.Random(0)
    chosen = []
    for rows in (select(prompts, is_harmful), select(prompts, is_benign)):
        own = [prompts[row].text for row in np.flatnonzero(rows).tolist()]
        chosen.append(rng.sample(own, min(EVADED_ROWS, len(own))))
    table = []
    for name, disguise in {"none": lambda text, _: text, **EVASIONS}.items():
        hidden = [[disguise(text, random.Random(row)) for row, text in enumerate(texts)] for texts in chosen]
        table.append([name, *(f"{peer.blocked(texts).mean():.3f}" for peer in peers for texts in hidden)])
    header = ["disguise", *(f"{peer.name}: {what}" for peer in peers for what in ("harmful", "benign"))]
    return [
        "## Under disguise",
        "",
        f"{len(chosen[0])} harmful and {len(chosen[1])} benign prompts of all sources; the whole text is disguised. "
        "Share that is stopped.",
        "",
        *_table(header, table),
    ]


def _french(peers: Sequence[Peer]) -> list[str]:
    rows = [json.loads(line) for line in FRENCH.read_text(encoding="utf-8").splitlines()]
    harmful = np.array([row["harmful"] for row in rows])
    overt = np.array([row["source"] == "overt-unsafe" for row in rows])
    groups = {"OVERT unsafe (recall)": overt, "I2P (recall)": harmful & ~overt, "benign (false positives)": ~harmful}
    verdicts = {
        (peer.name, language): peer.blocked([row[field] for row in rows])
        for peer in peers
        for language, field in (("French", "text"), ("English", "english"))
    }
    return [
        "## French",
        "",
        f"{len(rows)} prompts of the reporting half, drawn by chance and translated by hand for this project "
        "(`benchmarks/data/french_prompts.jsonl`), and the same in English.",
        "",
        *_table(
            ["prompts", "n", *(f"{name}: {language}" for name, language in verdicts)],
            [[name, int(own.sum()), *(share(v[own]) for v in verdicts.values())] for name, own in groups.items()],
        ),
    ]


def _languages(prompts: Sequence[LabelledPrompt]) -> list[str]:
    french = [json.loads(line)["text"] for line in FRENCH.read_text(encoding="utf-8").splitlines()]
    told = np.array([(found := detect_language(text)).told and found.code == "fr" for text in french])
    other = np.array([(found := detect_language(prompt.text)).told and found.code != "en" for prompt in prompts])
    return [
        "## Language",
        "",
        f"Told to be French: {share(told)} of {len(told)} French prompts. Told to be another language than English: "
        f"{share(other)} of {len(other)} English prompts.",
        "",
    ]


def _speed(ours: Ours, texts: Sequence[str]) -> list[str]:
    median_s, rate = ours.latency(random.Random(0).sample(list(texts), min(THROUGHPUT_PROMPTS, len(texts))))
    return [
        "## Speed",
        "",
        f"All prompt checks: median {1000 * median_s:.1f} ms a prompt, one at a time; {rate:.0f} prompts a second in "
        "batches, with the policy's decision, as `imprimatur screen --file` does it. The load average above says how "
        "much else ran on the machine.",
        "",
    ]


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.jsonl and dev.jsonl")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--figure", type=Path, help="SVG file for the reliability diagram")
    parser.add_argument("--list", action="store_true", help="print the ImageReward rows that are not released")
    parser.add_argument("--alone", action="store_true", help="leave the peers out, which takes a third of the time")
    options = parser.parse_args()
    result = report(options.data, figure=options.figure, listed=options.list, alone=options.alone)
    print(result)
    if options.output is not None:
        options.output.write_text(result, encoding="utf-8")


if __name__ == "__main__":
    main()
