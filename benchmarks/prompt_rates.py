"""How often each prompt check alone raises harmless prompts and misses harmful ones, by source and by category.

    python -m benchmarks.prompt_rates --data ../shared/data/prompts

Writes `safety/measured/<check>.json`, which reports state beside every verdict of that check. Measured on the same half
of dev.jsonl as `benchmarks.prompt_safety`, at the thresholds of the policy `default`; run it whenever weights, rules or
thresholds change. A prompt counts as raised where the check blocks it; flags do not count.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.error_rates import write_error_rates
from benchmarks.prompt_safety import Ours
from safety.checks import PromptCheck, run_checks_on_many
from safety.findings import Finding, Outcome
from safety.measurements import ErrorCount
from safety.prompt.taxonomy import CATEGORIES
from safety.training.calibration import category_rows, is_harmful, select
from safety.training.encoder import load_encoder
from safety.training.prompt_data import LabelledPrompt, is_calibration, read_prompts

Rows = NDArray[np.bool_]
COMMAND = "python -m benchmarks.prompt_rates"
LEAST_ROWS = 25


def main() -> None:
    """Measure every prompt check of the policy, and write one file each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with dev.jsonl")
    options = parser.parse_args()
    prompts = [prompt for prompt in read_prompts(options.data / "dev.jsonl") if not is_calibration(prompt)]
    for check in Ours(load_encoder()).checks:
        findings = run_checks_on_many([check], [prompt.text for prompt in prompts])
        counts = list(by_category(check, prompts, findings))
        if not counts:  # it looks for something else than harm, such as the language
            continue
        counts = [*by_source(prompts, findings), *counts]
        digests = {finding.model_digest for found in findings for finding in found}
        digest = digests.pop() if len(digests) == 1 else None
        print(write_error_rates(check.declaration, counts, COMMAND, model_digest=digest))


def by_source(prompts: Sequence[LabelledPrompt], findings: Sequence[Sequence[Finding]]) -> Iterator[ErrorCount]:
    """Errors of the check as a whole: any kind of harm blocked. A style or a name that a rule notes is no harm."""
    blocked = np.array(
        [any(one.outcome is Outcome.BLOCK and one.category in CATEGORIES for one in found) for found in findings]
    )
    sources = np.array([prompt.source for prompt in prompts])
    harmful = select(prompts, is_harmful)
    for kind, population, rows in (
        ("miss", "I2P prompts, at least half of their pictures inappropriate", harmful & (sources == "i2p")),
        ("miss", "OVERT, unsafe prompts", sources == "overt-unsafe"),
        ("false_alarm", "OVERT, benign prompts", sources == "overt-benign"),
        ("false_alarm", "ImageReward, prompts of real users, unlabelled", sources == "imagereward"),
        ("false_alarm", "T2I-CompBench, plain descriptions", sources == "t2i-compbench"),
    ):
        yield _count(kind, None, population, rows, blocked)


def by_category(
    check: PromptCheck, prompts: Sequence[LabelledPrompt], findings: Sequence[Sequence[Finding]]
) -> Iterator[ErrorCount]:
    """Errors in each category for which there are rows enough that name it."""
    for category in check.declaration.categories:
        blocked = np.array(
            [any(one.category == category and one.outcome is Outcome.BLOCK for one in found) for found in findings]
        )
        telling, named = category_rows(prompts, category)
        if named.sum() >= LEAST_ROWS:
            yield _count("miss", category, "OVERT and I2P, harmful prompts of the category", named, blocked)
            others = telling & ~named
            yield _count(
                "false_alarm", category, "benign prompts, and unsafe ones of other categories", others, blocked
            )


def _count(kind: Any, category: str | None, population: str, rows: Rows, blocked: Rows) -> ErrorCount:
    wrong = rows & (blocked if kind == "false_alarm" else ~blocked)
    return ErrorCount(kind, category, population, int(rows.sum()), int(wrong.sum()))


if __name__ == "__main__":
    main()
