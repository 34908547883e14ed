"""How long the embedded model takes an image, and how much memory: a median over runs, with machine and date.

python benchmarks/generation.py --runs 5
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine
from generator import EMBLEM_CARD, GenerationRequest, load_card
from generator.diffusion import DiffusionEngine
from generator.training.text_encoder import load_text_encoder, packaged_folder

PROMPT = "a red apple on a blue background"
TARGET_SECONDS = 3.0


def measure(runs: int, threads: int) -> list[str]:
    """The report's lines, in Markdown."""
    card = load_card(EMBLEM_CARD)
    tokenizer, encoder = load_text_encoder(packaged_folder())
    engine = DiffusionEngine(card, {"tokenizer": tokenizer, "text_encoder": encoder}, threads=threads)
    started = time.perf_counter()
    engine.load()
    load_s = time.perf_counter() - started

    rows = []
    for side in (256, 512):
        request = GenerationRequest(PROMPT, width=side, seed=1).resolve(card)
        engine.generate(request)
        wall, processor_time = [], []
        for _ in range(runs):
            started, cpu_started = time.perf_counter(), time.process_time()
            engine.generate(request)
            wall.append(time.perf_counter() - started)
            processor_time.append(time.process_time() - cpu_started)
        rows.append(
            f"| {side}×{side}, {request.steps} steps | {statistics.median(wall):.2f} s | {max(wall):.2f} s "
            f"| {statistics.median(processor_time):.2f} s |"
        )
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return [
        "# Generating with the embedded model",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, {threads} threads, load average {os.getloadavg()[0]:.1f} at the "
        f"end, {runs} runs each after one to warm up; model {card.id} {card.digest[:12]}.",
        f"Target: at most {TARGET_SECONDS:.0f} s an image.",
        "",
        "| image | median | slowest | processor time |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        f"Loading, digest check included: {load_s:.2f} s. Peak memory: {peak_gib:.2f} GiB.",
    ]


def main() -> None:
    """Run the benchmark, print the table, and write it where `--write` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path, help="file for the table")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the service does, before torch is loaded
    report = "\n".join(measure(options.runs, options.threads)) + "\n"
    print(report, end="")
    if options.write is not None:
        options.write.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
