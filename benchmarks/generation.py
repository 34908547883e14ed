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

from benchmarks.machine import machine
from generator import EMBLEM_CARD, GenerationRequest, load_card
from generator.diffusion import DiffusionEngine
from generator.training.text_encoder import load_text_encoder, packaged_folder

PROMPT = "a red apple on a blue background"
TARGET_SECONDS = 3.0


def main() -> None:
    """Run the benchmark and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    card = load_card(EMBLEM_CARD)
    tokenizer, encoder = load_text_encoder(packaged_folder())
    engine = DiffusionEngine(card, {"tokenizer": tokenizer, "text_encoder": encoder}, threads=options.threads)
    started = time.perf_counter()
    engine.load()
    load_s = time.perf_counter() - started

    print(f"{datetime.now(UTC):%Y-%m-%d} {machine()}, {options.threads} threads, ", end="")
    print(f"load average {os.getloadavg()[0]:.1f}, model {card.id} {card.digest[:12]}")
    print(f"load and digest check    {load_s:6.2f} s")
    for side in (256, 512):
        request = GenerationRequest(PROMPT, width=side, seed=1).resolve(card)
        engine.generate(request)
        wall, processor_time = [], []
        for _ in range(options.runs):
            started, cpu_started = time.perf_counter(), time.process_time()
            engine.generate(request)
            wall.append(time.perf_counter() - started)
            processor_time.append(time.process_time() - cpu_started)
        print(
            f"{side}x{side}, {request.steps} steps    median {statistics.median(wall):5.2f} s, "
            f"slowest {max(wall):5.2f} s, processor time {statistics.median(processor_time):5.2f} s "
            f"(n={options.runs}, target {TARGET_SECONDS:.0f} s)"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2:.2f} GiB")


if __name__ == "__main__":
    main()
