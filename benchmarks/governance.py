"""What governance costs: core-milliseconds of every step around a generation, memory, and whole answers.

    python -m benchmarks.governance [--requests 20] [--write benchmarks/results/governance.md]

The steps are measured with a picture handed in by an engine that returns it at once, so that the model's own time is
not among them: one of the embedded model at 512×512 and enlarged to 1024×1024, and a photograph, whose detail costs
more to encode. Core-milliseconds are the CPU time of all threads of the service, and beside it that of the database's
processes over the whole request.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from PIL import Image

from api.composition import Imprimatur
from api.generate import Order, Step
from api.settings import Settings
from benchmarks.machine import machine
from generator.engine import Draw
from generator.image import GeneratedImage
from generator.request import GenerationRequest

PROMPT = "a red apple on a blue background"
LIMIT_CORE_MS = 250
"""At 1024×1024."""

LIMIT_GENERATION_S = 3.0
LIMIT_MEMORY_MB = 2500
LIMIT_COMMAND_S = 15.0
LIMIT_ANSWER_OVERHEAD_S = 0.5


class _Ready:
    """An engine that has its picture already."""

    def __init__(self, image: GeneratedImage) -> None:
        self._image = image

    def draw(self, batch: Sequence[Draw], _progress: object = None) -> list[GeneratedImage]:
        return [self._image for _ in batch]

    def close(self) -> None:
        """Nothing to give back."""


@dataclass(frozen=True)
class _Measured:
    """Core and wall-clock milliseconds by step, and the database's core-milliseconds a request."""

    cpu: dict[str, list[float]]
    wall: dict[str, list[float]]
    database_ms: float

    @property
    def own_ms(self) -> float:
        return float(sum(np.median(values) for values in self.cpu.values()))


def _pictures(made: GeneratedImage) -> dict[str, GeneratedImage]:
    """What goes through the steps, by its name in the table."""
    from skimage import data

    def of(pixels: NDArray[np.uint8], side: int) -> GeneratedImage:
        resized = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.LANCZOS))
        return replace(made, pixels=resized, width=side, height=side)

    untyped: Any = data
    photograph: NDArray[np.uint8] = untyped.astronaut()
    return {
        "512² emblem": of(made.pixels, 512),
        "512² photograph": of(photograph, 512),
        "1024² emblem": of(made.pixels, 1024),
        "1024² photograph": of(photograph, 1024),
    }


def _database_cpu_s(data: Path) -> float:
    """CPU seconds of all processes of the embedded server so far, those that have ended excluded."""
    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        try:
            if process.info["name"] == "postgres" and _belongs(process, data):
                times = process.cpu_times()
                total += times.user + times.system
        except psutil.Error:
            continue
    return total


def _belongs(process: Any, data: Path) -> bool:
    return str(data) in " ".join([process.cwd(), *process.info["cmdline"]])


def _steps(services: Imprimatur, image: GeneratedImage, requests: int) -> _Measured:
    request = GenerationRequest(prompt=PROMPT, seed=1)
    services._engines["emblem"] = _Ready(image)  # type: ignore[assignment]
    order = Order(request, services.local_caller(), "png")
    cpu: dict[str, list[float]] = defaultdict(list)
    wall: dict[str, list[float]] = defaultdict(list)

    def run(*, keep: bool) -> None:
        last = [time.process_time(), time.perf_counter()]

        def observe(step: Step) -> None:
            now = [time.process_time(), time.perf_counter()]
            if keep and step is not Step.GENERATED:
                cpu[step.value].append((now[0] - last[0]) * 1000)
                wall[step.value].append((now[1] - last[1]) * 1000)
            last[:] = now

        services.generation.run(order, observe=observe)

    for _ in range(3):
        run(keep=False)
    before = _database_cpu_s(services.settings.data_dir)
    for _ in range(requests):
        run(keep=True)
    database_ms = (_database_cpu_s(services.settings.data_dir) - before) * 1000 / requests
    return _Measured(cpu, wall, database_ms)


def _generation_s(services: Imprimatur, repeats: int) -> list[float]:
    engine, request = services.engine("emblem"), GenerationRequest(prompt=PROMPT).resolve(services.card(None))
    engine.generate(request)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        engine.generate(request)
        times.append(time.perf_counter() - started)
    return times


def _command_s(data: Path, folder: Path) -> tuple[float, float]:
    """Seconds of `imprimatur generate` on a warm installation, and its peak memory in MB (all its children)."""
    environment = {**os.environ, "IMPRIMATUR_DATA_DIR": str(data)}
    command = [
        str(Path(sys.executable).parent / "imprimatur"),
        "generate",
        PROMPT,
        "-o",
        str(folder / "x.png"),
        "--json",
    ]
    times = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, env=environment, check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


@contextmanager
def _server(services: Imprimatur) -> Iterator[tuple[str, str]]:
    """The HTTP API on a free port of loopback, and a key."""
    import socket
    import threading

    import uvicorn

    from api.http import create_app

    key = services.create_key(tenant="benchmark", name="", roles=("generate",))[1]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", key
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _answers_s(services: Imprimatur, repeats: int) -> list[float]:
    import httpx

    with _server(services) as (address, key), httpx.Client(timeout=60) as client:
        times = []
        for _ in range(repeats + 1):
            started = time.perf_counter()
            answer = client.post(
                f"{address}/v1/images/generations",
                json={"prompt": PROMPT},
                headers={"Authorization": f"Bearer {key}"},
            )
            answer.raise_for_status()
            times.append(time.perf_counter() - started)
    return times[1:]


def _report(requests: int) -> str:
    with tempfile.TemporaryDirectory(prefix="imprimatur-benchmark-") as folder:
        data = Path(folder) / "data"
        with Imprimatur(Settings(data_dir=data)) as services:
            services.warm_up()
            generation = _generation_s(services, 7)
            answers = _answers_s(services, 7)
            made = services.engine("emblem").generate(
                GenerationRequest(prompt=PROMPT, seed=1).resolve(services.card(None))
            )[0]
            measured = {name: _steps(services, image, requests) for name, image in _pictures(made).items()}
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        command, command_memory = _command_s(data, Path(folder))
    return "\n".join(_lines(measured, generation, answers, memory, command, command_memory, requests))


def _lines(
    measured: Mapping[str, _Measured],
    generation: Sequence[float],
    answers: Sequence[float],
    memory: float,
    command: float,
    command_memory: float,
    requests: int,
) -> Iterator[str]:
    load = os.getloadavg()[0]
    yield "# What governance costs"
    yield ""
    yield f"`python -m benchmarks.governance --requests {requests}`, {datetime.now(UTC):%Y-%m-%d}, {machine()},"
    yield f"load average {load:.1f}."
    yield ""
    yield "PNG; medians of core-milliseconds, and in brackets of wall-clock milliseconds."
    yield ""
    yield f"| step | {' | '.join(measured)} |"
    yield f"| --- |{' ---: |' * len(measured)}"
    for step in next(iter(measured.values())).cpu:
        cells = [f"{np.median(one.cpu[step]):.1f} ({np.median(one.wall[step]):.1f})" for one in measured.values()]
        yield f"| {step} | {' | '.join(cells)} |"
    cells = [f"{one.database_ms:.1f}" for one in measured.values()]
    yield f"| database's processes, whole request | {' | '.join(cells)} |"
    cells = [f"**{one.own_ms + one.database_ms:.0f}**" for one in measured.values()]
    yield f"| **all of governance** (limit at 1024²: {LIMIT_CORE_MS}) | {' | '.join(cells)} |"
    yield ""
    yield "| whole answers | measured | limit |"
    yield "| --- | ---: | ---: |"
    made, answered = statistics.median(generation), statistics.median(answers)
    yield f"| embedded generation, default steps | {made:.2f} s | {LIMIT_GENERATION_S:g} s |"
    yield f"| server's answer beyond generation | {answered - made:.2f} s | {LIMIT_ANSWER_OVERHEAD_S:g} s |"
    yield f"| `imprimatur generate`, warm installation | {command:.1f} s | {LIMIT_COMMAND_S:g} s |"
    yield f"| peak memory of the service | {memory:.0f} MB | {LIMIT_MEMORY_MB} MB |"
    yield f"| peak memory of the command | {command_memory:.0f} MB | {LIMIT_MEMORY_MB} MB |"


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    report = _report(arguments.requests)
    print(report)
    if arguments.write is not None:
        arguments.write.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
