"""How long a report takes by the number of its items, by step.

    python -m benchmarks.reports --items 10 100 1000 --output benchmarks/results/reports.md

Every item is one release of the service's own flow: received, examined, marked, signed, stored, with a prompt and a
user in the vault. Only the model is replaced, by pictures drawn at random: to a report it is all one how pixels came
about.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api.composition import Imprimatur
from api.generate import Order
from api.reports.gathering import Gatherer
from api.reports.questions import AboutPeriod, Period
from api.settings import Settings
from audit.reports.bundle import write
from audit.reports.signing import sign_document
from audit.reports.typesetting import typeset
from benchmarks.machine import machine
from generator.card import ModelCard
from generator.engine import Draw, draws
from generator.image import GeneratedImage
from generator.request import GenerationRequest, ResolvedRequest

SIDE = 512
IMAGES_A_REQUEST = 10
LIMIT_ITEMS, LIMIT_S = 1000, 30


class DrawnPictures:
    """An engine whose pictures are smooth noise by their seed, which no check minds."""

    def __init__(self, card: ModelCard) -> None:
        self._card = card

    def generate(self, request: ResolvedRequest, progress: object = None) -> list[GeneratedImage]:
        return self.draw(draws(request), progress)

    def draw(self, batch: Sequence[Draw], progress: object = None) -> list[GeneratedImage]:  # noqa: ARG002
        return [self._image(draw, position, len(batch)) for position, draw in enumerate(batch)]

    def _image(self, draw: Draw, position: int, size: int) -> GeneratedImage:
        coarse = np.random.default_rng(draw.seed).integers(20, 236, (8, 8, 3), dtype=np.uint8)
        pixels: NDArray[np.uint8] = np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        return GeneratedImage(
            pixels=pixels, seed=draw.seed, index=position, model=self._card.id, model_digest=self._card.digest,
            width=SIDE, height=SIDE, steps=1, guidance=1.0, scheduler="none", batch_size=size, threads=1, device="cpu",
            dtype="float32", elapsed_s=0.0,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to give back."""


def fill(services: Imprimatur, items: int) -> None:
    """Release so many images."""
    card = services.card(None)
    services._engines[card.id] = DrawnPictures(card)
    made = 0
    while made < items:
        count = min(IMAGES_A_REQUEST, items - made)
        request = GenerationRequest(
            prompt=f"a red apple on a blue background, number {made}", seed=made, count=count, width=SIDE, height=SIDE
        )
        services.generation.run(Order(request, services.local_caller(), "png"))
        made += count


@contextmanager
def timed_steps() -> Iterator[dict[str, float]]:
    """Seconds by step of the reports that are made in the block."""
    seconds: dict[str, float] = defaultdict(float)

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                seconds[name] += time.perf_counter() - started

        return run

    with (
        patch.object(Gatherer, "gather", timed("gather", Gatherer.gather)),
        patch("audit.reports.bundle.typeset", timed("set", typeset)),
        patch("audit.reports.bundle.sign_document", timed("sign", sign_document)),
        patch("api.reports.flow.write", timed("write", write)),
    ):
        yield seconds


def measure(items: Sequence[int]) -> Iterator[str]:
    """The table, row by row."""
    yield "| items | s in all | gather and prove | set the PDF | sign | bundle | PDF pages | PDF MB | bundle MB |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    with tempfile.TemporaryDirectory(prefix="imprimatur-benchmark-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with Imprimatur(Settings(data_dir=home / "data")) as services:
            made = 0
            for count in sorted(items):
                fill(services, count - made)
                made = count
                yield _row(services, count, home / f"reports-{count}")


def _row(services: Imprimatur, count: int, folder: Path) -> str:
    now = services.clock()
    asked = AboutPeriod(Period(now - timedelta(days=1), now))
    with timed_steps() as seconds:
        started = time.perf_counter()
        written = services.reports.make(asked, services.local_caller(), edition="full", folder=folder)
        total = time.perf_counter() - started
    rest = seconds["write"] - seconds["set"] - seconds["sign"]
    sizes = [path.stat().st_size / 1e6 for path in (written.document, written.bundle)]
    return (
        f"| {count} | {total:.1f} | {seconds['gather']:.1f} | {seconds['set']:.1f} | {seconds['sign']:.1f} | {rest:.1f}"
        f" | {_pages(written.document)} | {sizes[0]:.1f} | {sizes[1]:.1f} |"
    )


def _pages(document: Path) -> int:
    from pyhanko.pdf_utils.reader import PdfFileReader

    with document.open("rb") as file:
        return int(PdfFileReader(file).root["/Pages"]["/Count"])


def report(items: Sequence[int]) -> Iterator[str]:
    """The whole result as Markdown."""
    yield "# Reports\n"
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {platform.python_version()}, load average "
        f"{os.getloadavg()[0]:.1f} at the start. `python -m benchmarks.reports --items {' '.join(map(str, items))}`.\n"
    )
    yield f"Limit: {LIMIT_S} s for {LIMIT_ITEMS} items. Seconds of wall-clock time; images of {SIDE}×{SIDE} pixels.\n"
    yield from measure(items)
    yield f"\nPeak memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB."


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    options = parser.parse_args()
    lines = []
    for line in report(options.items):
        print(line, flush=True)
        lines.append(line)
    if options.output is not None:
        options.output.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
