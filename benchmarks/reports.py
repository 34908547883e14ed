"""How long a report takes by the number of its items, by step.

    python -m benchmarks.reports --items 10 100 1000 --output benchmarks/results/reports.md

The first items are releases of the service's own flow: received, examined, marked, signed, stored, with a prompt and a
user in the vault. Only the model is replaced, by pictures drawn at random: to a report it is all one how pixels came
about. The others repeat their events, rows and stored files under record ids of their own, which takes a hundredth of
the time: every item has events, proofs, a vault item, an object, and a credential to be read.
"""

from __future__ import annotations

import argparse
import itertools
import json
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
from sqlalchemy import text

from api.composition import Imprimatur
from api.generate import Order
from api.reports.gathering import Gatherer
from api.reports.questions import AboutPeriod, Period
from api.settings import Settings
from audit.canonical import canonical_json
from audit.events import commitment
from audit.log import _APPEND, time_ordered_id
from audit.reader import StoredEvent
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
BY_FLOW = 100
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
    """Release so many images by the flow."""
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


def repeat(services: Imprimatur, items: int) -> None:
    """Repeat the releases that there are until there are so many more."""
    engine = services.database.engine
    originals = services.records.opened(until=services.clock(), states=("released",))
    received = {one.parent_id: services.log.events(one.parent_id)[0] for one in originals}
    released = {one.record_id: services.log.events(one.record_id)[-1] for one in originals}
    for _, original in zip(range(items), itertools.cycle(originals), strict=False):
        with engine.begin() as connection:
            (copy,) = services.records.open(connection, tenant=original.tenant, count=1)
            for event in (received[original.parent_id], released[original.record_id]):
                connection.execute(_APPEND, _event_row(event, copy.record_id, services.clock()))
            services.records.close(connection, [copy.record_id], "released", image_sha256=original.image_sha256)
            connection.execute(_REPEAT_MANIFEST, {"copy": copy.record_id, "original": original.record_id})
    services.checkpoint()


def _event_row(event: StoredEvent, record_id: str, now: datetime) -> dict[str, Any]:
    """The event again, of another record."""
    body = canonical_json({**json.loads(event.body), "record": record_id})
    return {
        "id": time_ordered_id(now), "record_id": record_id, "kind": event.kind, "time": now, "salt": event.salt,
        "body": body, "private_salt": event.private_salt, "private": event.private,
        "commitment": commitment(event.salt, body),
    }  # fmt: skip


_COPIED = ("media_type", "fingerprint", "store_sha256", "store_subject", "store_size", "public_sha256", "public_size",
           "stamp_state", "stamp_attempts", "added_at")  # fmt: skip
_REPEAT_MANIFEST = text(
    f"INSERT INTO credential_manifests (manifest_id, record_id, {', '.join(_COPIED)})"
    f" SELECT CAST(:copy AS text), CAST(:copy AS text), {', '.join(_COPIED)} FROM credential_manifests"
    " WHERE record_id = :original"
)


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
                by_flow = max(0, min(BY_FLOW, count) - made)
                fill(services, by_flow)
                repeat(services, count - made - by_flow)
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
    yield f"Limit: {LIMIT_S} s for {LIMIT_ITEMS} items. Seconds of wall-clock time; images of {SIDE}×{SIDE} pixels. "
    yield f"The first {BY_FLOW} items are releases of the flow, the others repeat them under ids of their own.\n"
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
