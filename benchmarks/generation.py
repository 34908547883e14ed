"""The bare diffusers pipeline beside the governed flow, in one run: same weights, same steps, same batch size.

    python -m benchmarks.generation [--images 16] [--concurrency 1 4 16] [--write benchmarks/results/generation.md]
    python -m benchmarks.generation --sdxl [--side 1024] [--device cuda]

Bare: `EmblemPipeline` is called as diffusers' users call it, with as many prompts at once as the queue would batch.
Governed: as many clients as the concurrency says, each sending its next request when the last is answered; every image
is checked, marked, signed, stored, logged and included in a checkpoint. Throughput is images over the whole time,
latency a request's time from sending to the signed file.

`--sdxl` measures what governance leaves of a large model's throughput: the architecture of Stable Diffusion XL with
random weights (time does not depend on their values), and images a second against batch size. It needs an accelerator
with 16 GB or more; no figures of it are committed, because none was at hand.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from api.composition import Imprimatur
from api.generate import Order, Step
from api.settings import Settings
from benchmarks.machine import machine
from generator.diffusion import DiffusionEngine
from generator.engine import Draw, Progress, draws
from generator.image import GeneratedImage
from generator.request import GenerationRequest, ResolvedRequest

PROMPT = "a red apple on a blue background"
TARGET_S = 3.0
TARGET_RATIO_ON_GPU = 0.97


@dataclass(frozen=True)
class _Load:
    """One concurrency: images a second and the median seconds a request, bare and governed; governed batch sizes."""

    concurrency: int
    bare: tuple[float, float]
    governed: tuple[float, float, list[int]]


def _bare(engine: DiffusionEngine, request: ResolvedRequest, images: int, batch: int) -> tuple[float, float]:
    """Images a second and median seconds a call of the pipeline alone."""
    engine.load()
    pipeline, times = engine._pipeline(request.task), []
    import torch

    for start in range(0, images, batch):
        began = time.perf_counter()
        pipeline(
            prompt=[request.prompt] * batch,
            height=request.height,
            width=request.width,
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            generator=[torch.Generator("cpu").manual_seed(start + index) for index in range(batch)],
            output_type="np",
        )
        times.append(time.perf_counter() - began)
    return len(times) * batch / sum(times), statistics.median(times)


def _governed(services: Imprimatur, order: Order, images: int, concurrency: int) -> tuple[float, float, list[int]]:
    """Images a second, median seconds a request, and the batch size of each image."""
    times: list[float] = []
    records: list[str] = []

    def ask(seed: int) -> None:
        began = time.perf_counter()
        result = services.generation.run(replace(order, request=replace(order.request, seed=seed)))
        times.append(time.perf_counter() - began)
        records.append(result.record_id)

    began = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as clients:
        list(clients.map(ask, range(images)))
    elapsed = time.perf_counter() - began
    batches = [_batch(services, record_id) for record_id in records]
    return images / elapsed, statistics.median(times), batches


def _batch(services: Imprimatur, record_id: str) -> int:
    sampling: Any = services.log.events(record_id)[-1].fields()["sampling"]
    return int(sampling["batch"])


def _by_step(services: Imprimatur, order: Order, requests: int) -> dict[str, float]:
    """Median wall-clock milliseconds of each step of a request alone."""
    times: dict[str, list[float]] = defaultdict(list)
    for seed in range(requests):
        last = [time.perf_counter()]

        def observe(step: Step, last: list[float] = last) -> None:
            now = time.perf_counter()
            times[step.value].append((now - last[0]) * 1000)
            last[0] = now

        services.generation.run(replace(order, request=replace(order.request, seed=seed)), observe=observe)
    return {step: statistics.median(values) for step, values in times.items()}


def _alone(engine: DiffusionEngine, side: int, runs: int) -> tuple[int, list[float]]:
    """Default steps, and the seconds of each image of the embedded model by itself."""
    request = GenerationRequest(PROMPT, width=side, seed=1).resolve(engine.card)
    engine.generate(request)
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        engine.generate(request)
        times.append(time.perf_counter() - began)
    return request.steps, times


def embedded(images: int, concurrencies: Sequence[int], runs: int) -> Iterator[str]:
    """The report on the embedded model, in Markdown."""
    with tempfile.TemporaryDirectory(prefix="imprimatur-benchmark-") as folder:
        settings = Settings(data_dir=Path(folder), queue_length=max(concurrencies))
        with Imprimatur(settings) as services:
            began = time.perf_counter()
            services.warm_up()
            load_s = time.perf_counter() - began
            engine: Any = services.engine("emblem")
            card = engine.card
            alone = {side: _alone(engine, side, runs) for side in (256, 512)}
            order = Order(GenerationRequest(PROMPT), services.local_caller(), "png")
            request = order.request.resolve(card)
            services.generation.run(order)
            loads = []
            for concurrency in concurrencies:
                batch = min(concurrency, settings.batch_size)
                bare = _bare(engine, request, max(images, concurrency), batch)
                governed = _governed(services, order, max(images, concurrency), concurrency)
                loads.append(_Load(concurrency, bare, governed))
            steps = _by_step(services, order, runs)
    yield "# Generating with the embedded model, bare and governed"
    yield ""
    yield f"`python -m benchmarks.generation --images {images} --runs {runs}`, {datetime.now(UTC):%Y-%m-%d},"
    yield f"{machine()}, load average {os.getloadavg()[0]:.1f} at the end; model {card.id} {card.digest[:12]},"
    yield f"{request.width}×{request.height}, {request.steps} steps, PNG. Batches of at most {settings.batch_size}."
    yield ""
    yield f"| image by the model alone (target: {TARGET_S:g} s) | median | slowest |"
    yield "| --- | ---: | ---: |"
    for side, (count, times) in alone.items():
        yield f"| {side}×{side}, {count} steps | {statistics.median(times):.2f} s | {max(times):.2f} s |"
    yield ""
    yield "| clients | bare, images/s | governed, images/s | ratio | bare call | governed request | mean batch |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for one in loads:
        (bare_rate, bare_s), (rate, request_s, batches) = one.bare, one.governed
        yield (
            f"| {one.concurrency} | {bare_rate:.2f} | {rate:.2f} | {rate / bare_rate:.2f} "
            f"| {bare_s:.2f} s | {request_s:.2f} s | {statistics.mean(batches):.1f} |"
        )
    yield ""
    yield "The bare call makes a whole batch; the governed request waits for its place in the line as well. Without an"
    yield "accelerator model and governance share the cores, so that the ratio is what the model's own time is of the"
    yield "whole; `benchmarks/results/governance.md` has governance by itself."
    yield ""
    yield "| step of a request alone | wall-clock ms |"
    yield "| --- | ---: |"
    for step, milliseconds in steps.items():
        yield f"| {step} | {milliseconds:.1f} |"
    yield ""
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    yield f"Opening the service, models and digest checks included: {load_s:.1f} s. Peak memory: {peak_gib:.2f} GiB."


class _Photographing:
    """Runs a model whose weights are random and hands out a photograph: what governance meets must pass its checks."""

    def __init__(self, engine: DiffusionEngine, side: int) -> None:
        import numpy as np
        from PIL import Image
        from skimage import data

        photograph: Any = data
        self._engine = engine
        self._pixels = np.asarray(Image.fromarray(photograph.astronaut()).resize((side, side)))

    def draw(self, batch: Sequence[Draw], progress: Progress | None = None) -> list[GeneratedImage]:
        return [replace(image, pixels=self._pixels) for image in self._engine.draw(batch, progress)]

    def close(self) -> None:
        self._engine.close()


def sdxl(folder: Path, side: int, steps: int, images: int, device: str, *, small: bool) -> Iterator[str]:
    """The report on Stable Diffusion XL's architecture with random weights, in Markdown."""
    from benchmarks.random_models import save_sdxl
    from generator.adding import Statement, describe_folder, write_card

    save_sdxl(folder / "sdxl", small=small)
    card = describe_folder(folder / "sdxl", Statement("none", "none: random weights", id="random-sdxl"))
    settings = Settings(data_dir=folder / "data", device=device, batch_size=8, queue_length=32, model=card.id)
    write_card(replace(card, sizes=((side, side),), defaults=replace(card.defaults, width=side, height=side)),
               settings.model_cards_dir)  # fmt: skip
    with Imprimatur(settings) as services:
        services.warm_up()
        engine: Any = services.engine(card.id)
        services._engines[card.id] = _Photographing(engine, side)  # type: ignore[assignment]
        order = Order(GenerationRequest(PROMPT, steps=steps, model=card.id), services.local_caller(), "png")
        made = "a model of its structure in small" if small else "Stable Diffusion XL's architecture"
        yield f"# {made}, random weights, {side}×{side}, {steps} steps, {device}"
        yield ""
        yield f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. Target: ratio at least {TARGET_RATIO_ON_GPU:g}."
        yield ""
        yield "| batch | images/s |"
        yield "| ---: | ---: |"
        for batch in (1, 2, 4, 8):
            asked = replace(order.request, count=batch, seed=1).resolve(engine.card)
            engine.draw(draws(asked))
            began = time.perf_counter()
            engine.draw([Draw(asked, position) for position in range(batch)])
            yield f"| {batch} | {batch / (time.perf_counter() - began):.2f} |"
        yield ""
        yield "| clients | bare, images/s | governed, images/s | ratio |"
        yield "| ---: | ---: | ---: | ---: |"
        for concurrency in (1, 4, 16):
            batch = min(concurrency, settings.batch_size)
            rate, _ = _bare(engine, order.request.resolve(engine.card), max(images, concurrency), batch)
            governed, _, _ = _governed(services, order, max(images, concurrency), concurrency)
            yield f"| {concurrency} | {rate:.2f} | {governed:.2f} | {governed / rate:.2f} |"


def main() -> None:
    """Measure, print, and write where `--write` says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--sdxl", action="store_true")
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="with --sdxl: few channels, to try the benchmark itself")
    parser.add_argument("--write", type=Path, help="file for the table")
    options = parser.parse_args()
    if options.sdxl:
        with tempfile.TemporaryDirectory(prefix="imprimatur-benchmark-") as folder:
            asked = (options.side, options.steps, options.images, options.device)
            lines = list(sdxl(Path(folder), *asked, small=options.small))
    else:
        lines = list(embedded(options.images, options.concurrency, options.runs))
    report = "\n".join(lines) + "\n"
    print(report, end="")
    if options.write is not None:
        options.write.write_text(report, encoding="utf-8")


if __name__ == "__main__":
    main()
