"""What encoding, signing and validating cost: milliseconds of one core, and bytes.

python -m benchmarks.credentials --write benchmarks/results/credentials.md
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.machine import machine
from benchmarks.watermark_attacks import Pixels, illustrations, squares
from provenance.credential import sign_credential
from provenance.development_ca import development_signer
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.fingerprint import fingerprint
from provenance.manifest import ManifestDescription, ModelStatement, SoftBinding
from provenance.reader import read_credential
from provenance.signer import Signer
from provenance.trust import official_trust_list
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp")
Result = TypeVar("Result")


def timed(call: Callable[[], Result], runs: int) -> tuple[Result, float]:
    """The result, and the median of the process's CPU milliseconds."""
    call()
    spent = []
    for _ in range(runs):
        started = time.process_time()
        result = call()
        spent.append(1e3 * (time.process_time() - started))
    return result, statistics.median(spent)


def pictures() -> dict[str, Pixels]:
    camera = sorted(path for path in (DATA / "cleared" / "camera").iterdir() if path.suffix.lower() == ".jpg")
    return {
        "photograph 512": squares(camera, 1, 512, native=False)[0],
        "photograph 1024": squares(camera, 1, 1024, native=True)[0],
        "illustration 512": illustrations(1, 512)[0],
    }


def row(name: str, pixels: Pixels, image_format: ImageFormat, signer: Signer, runs: int) -> str:
    now = datetime.now(UTC)
    fields = DisclosureFields("Example Press", "Imprimatur", "0.1.0", now, "018f-record")
    prints, fingerprint_ms = timed(lambda: fingerprint(pixels), runs)
    thumbnail, thumbnail_ms = timed(lambda: thumbnail_jpeg(pixels), runs)
    image, encode_ms = timed(lambda: encode_image(pixels, image_format, fields), runs)
    description = ManifestDescription(
        title=f"picture.{image_format}",
        unique_id="018f-record",
        provider="Example Press",
        system="Imprimatur",
        system_version="0.1.0",
        model=ModelStatement("emblem", "1", "sha256:" + "0" * 64),
        created_at=now,
        soft_bindings=(
            SoftBinding(ISCC_ALGORITHM, prints.iscc),
            SoftBinding(WATERMARK_ALGORITHM, "1a2b3c4d5e6f7081", is_watermark=True),
        ),
        thumbnail_jpeg=thumbnail,
    )
    signed, sign_ms = timed(lambda: sign_credential(image, image_format, description, signer), runs)
    trust = official_trust_list()
    _, read_ms = timed(lambda: read_credential(signed.data, image_format, trust), runs)
    numbers = (fingerprint_ms, thumbnail_ms, encode_ms, sign_ms, read_ms)
    growth = len(signed.data) - len(image)
    return (
        f"| {name} | {image_format} | {len(image):,} | "
        + " | ".join(f"{number:.1f}" for number in numbers)
        + f" | {growth:,} | {len(thumbnail):,} |"
    )


def report(runs: int) -> Iterator[str]:
    yield "# Credentials"
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}, Python {platform.python_version()}. "
        f"`python -m benchmarks.credentials --runs {runs}`."
    )
    yield ""
    yield (
        "CPU milliseconds of the process, median. Signing includes the lint, the development signer (ES256), and "
        "the validation of the result; reading is against the official trust list."
    )
    yield ""
    yield (
        "| picture | format | file bytes | fingerprint | thumbnail | encode | sign and validate | read | "
        "credential bytes | of which thumbnail |"
    )
    yield "| --- | --- |" + " ---: |" * 8
    with tempfile.TemporaryDirectory() as folder:
        signer = development_signer(Path(folder), lambda: datetime.now(UTC))
        for name, pixels in pictures().items():
            for image_format in FORMATS:
                yield row(name, pixels, image_format, signer, runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--write", type=Path, default=None, help="also write the table to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report(options.runs):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
