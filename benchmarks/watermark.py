"""The built-in watermark against common changes, beside invisible-watermark's dwtDct and dwtDctSvd in the same run.

python -m benchmarks.watermark --write benchmarks/results/watermark.md

Needs the data folder beside the checkout, and for the peers `pip install --no-deps invisible-watermark` with
opencv-python-headless; without them the table says so. Similarity (SSIM) is scikit-image's.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.machine import machine
from benchmarks.watermark_attacks import ATTACKS, Pixels, illustrations, squares
from provenance.watermark import WatermarkKey
from provenance.watermark.block_mark import (
    FALSE_POSITIVE_RATE,
    FLAT_STRENGTH,
    MAXIMUM_STRENGTH,
    MINIMUM_PSNR_DB,
    TEXTURE_SHARE,
    BlockMark,
)

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
PEER_DETECTION_BITS = 26  # of 32: what a caller of the peer, which has no check bits, could call detected
PEER_BITS = 32


@dataclass
class Score:
    """Counts of one method on one population and attack."""

    pictures: int = 0
    exact: int = 0
    detected: int = 0
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.exact}/{self.pictures}"


class Method(Protocol):
    name: str

    def embed(self, pixels: Pixels, number: int) -> Pixels: ...

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool]:
        """Whether all bits of `number` came back, and whether a mark was detected at all."""
        ...


class Ours:
    name = "BlockMark (64 bit)"

    def __init__(self) -> None:
        self._mark = BlockMark(WatermarkKey(b"benchmark key of thirty-two byte", "laboratory"))

    def embed(self, pixels: Pixels, number: int) -> Pixels:
        return self._mark.embed(pixels, _payload(number))

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool]:
        detection = self._mark.detect(pixels)
        return detection.payload == _payload(number), detection.detected


class Peer:
    """invisible-watermark, whose payload has 32 bits and no check."""

    def __init__(self, method: str) -> None:
        self.name = f"{method} (32 bit)"
        self._method = method

    def embed(self, pixels: Pixels, number: int) -> Pixels:
        encoder = import_module("imwatermark").WatermarkEncoder()
        encoder.set_watermark("bits", _peer_bits(number))
        marked: Pixels = encoder.encode(np.ascontiguousarray(pixels[..., ::-1]), self._method)
        return np.ascontiguousarray(marked[..., ::-1])

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool]:
        decoder = import_module("imwatermark").WatermarkDecoder("bits", PEER_BITS)
        try:
            found = decoder.decode(np.ascontiguousarray(pixels[..., ::-1]), self._method)
        except (RuntimeError, ValueError):  # it refuses pictures below 256×256
            return False, False
        right = sum(int(bool(a)) == b for a, b in zip(found, _peer_bits(number), strict=True))
        return right == PEER_BITS, right >= PEER_DETECTION_BITS


def _payload(number: int) -> int:
    return int.from_bytes(np.random.default_rng(number).bytes(8), "big")


def _peer_bits(number: int) -> list[int]:
    return [int(bit) for bit in np.random.default_rng(number).integers(0, 2, PEER_BITS)]


def populations() -> dict[str, list[Pixels]]:
    bsds = sorted((DATA / "real" / "bsds-val").glob("*.jpg"))
    camera = sorted(path for path in (DATA / "cleared" / "camera").iterdir() if path.suffix.lower() == ".jpg")
    generated = sorted((DATA / "generated" / "sd15-cheatsheet").glob("*.webp"))
    return {
        "photographs 512": squares(bsds, 30, 512, native=False) + squares(camera, 20, 512, native=True),
        "generated 512": squares(generated, 20, 512, native=False),
        "illustrations 512": illustrations(20, 512),
        "photographs 1024": squares(camera, 12, 1024, native=True),
        "photographs 256": squares(bsds, 20, 256, native=True),
        "illustrations 256": illustrations(20, 256),
    }


def measure(method: Method, pictures: list[Pixels]) -> tuple[dict[str, Score], dict[str, float]]:
    structural_similarity = import_module("skimage.metrics").structural_similarity
    embed_seconds, marked, psnr, ssim = [], [], [], []
    for number, picture in enumerate(pictures):
        started = time.process_time()
        copy = method.embed(picture, number)
        embed_seconds.append(time.process_time() - started)
        marked.append(copy)
        mean_square = float(np.mean((picture.astype(np.float64) - copy) ** 2))
        psnr.append(10 * np.log10(255**2 / mean_square))
        ssim.append(float(structural_similarity(picture, copy, channel_axis=2)))
    scores: dict[str, Score] = {}
    for name, attack in ATTACKS.items():
        score = scores[name] = Score()
        for number, copy in enumerate(marked):
            attacked = np.ascontiguousarray(attack(copy))
            started = time.process_time()
            exact, detected = method.read(attacked, number)
            score.seconds.append(time.process_time() - started)
            score.pictures += 1
            score.exact += exact
            score.detected += detected
    invisibility = {
        "PSNR mean": statistics.mean(psnr),
        "PSNR min": min(psnr),
        "SSIM mean": statistics.mean(ssim),
        "SSIM min": min(ssim),
        "embed CPU ms": 1e3 * statistics.median(embed_seconds),
        "detect CPU ms": 1e3 * statistics.median(scores["none"].seconds),
    }
    return scores, invisibility


def false_positives(pictures: list[Pixels], keys: int) -> tuple[int, int]:
    """Detections in unmarked pictures under random keys, and how many pairs were tried."""
    found = 0
    for _ in range(keys):
        mark = BlockMark(WatermarkKey(secrets.token_bytes(32), "laboratory"))
        found += sum(mark.detect(picture).detected for picture in pictures)
    return found, keys * len(pictures)


def report(keys: int) -> Iterator[str]:
    pictures = populations()
    peers_here = find_spec("imwatermark") is not None and find_spec("cv2") is not None
    yield "# Watermark"
    yield ""
    yield f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. `python -m benchmarks.watermark --fpr-keys {keys}`."
    yield ""
    yield (
        f"Settings: flat strength {FLAT_STRENGTH}, texture share {TEXTURE_SHARE}, maximum strength "
        f"{MAXIMUM_STRENGTH}, PSNR floor {MINIMUM_PSNR_DB} dB. Each cell: pictures whose **whole payload** came back, "
        "of the pictures tried. Times are medians of the process's CPU milliseconds for one picture."
    )
    results = {name: measure(Ours(), sample) for name, sample in pictures.items()}
    yield from _tables("Built-in mark, 64 bits", results)
    if peers_here:
        for method in ("dwtDct", "dwtDctSvd"):
            sample = {
                "photographs 512": pictures["photographs 512"][::2],
                "generated 512": pictures["generated 512"][::2],
                "illustrations 512": pictures["illustrations 512"][::2],
            }
            peer = {name: measure(Peer(method), chosen) for name, chosen in sample.items()}
            yield from _tables(
                f"Peer: invisible-watermark {method}, 32 bits (in brackets: {PEER_DETECTION_BITS} or more right)",
                peer,
                with_detection=True,
            )
        yield ""
        yield "Peers ran on every second picture of the same populations. rivaGan was not run (weights to download)."
    else:
        yield ""
        yield "Peers: not run, `imwatermark` or `cv2` is not installed."
    yield ""
    yield "## False positives"
    yield ""
    unmarked = [p for name, sample in pictures.items() if name.endswith("512") for p in sample]
    found, tried = false_positives(unmarked, keys)
    yield (
        f"{found} detections in {tried:,} pairs of an unmarked picture and a random key ({len(unmarked)} pictures × "
        f"{keys} keys, eight orientations each). Pairs that share a picture or a key are not independent. By "
        f"construction the probability is at most {FALSE_POSITIVE_RATE:.1e} per picture and key; a measurement of "
        "this size can contradict that, not confirm it."
    )


def _tables(
    title: str, results: dict[str, tuple[dict[str, Score], dict[str, float]]], *, with_detection: bool = False
) -> Iterator[str]:
    names = list(results)
    yield ""
    yield f"## {title}"
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "| --- |" + " ---: |" * len(names)
    for quantity in next(iter(results.values()))[1]:
        digits = 4 if quantity.startswith("SSIM") else 1
        yield f"| {quantity} | " + " | ".join(f"{results[name][1][quantity]:.{digits}f}" for name in names) + " |"
    for attack in ATTACKS:
        cells = []
        for name in names:
            score = results[name][0][attack]
            cells.append(f"{score} ({score.detected})" if with_detection else str(score))
        yield f"| {attack} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fpr-keys", type=int, default=200)
    parser.add_argument("--write", type=Path, default=None, help="also write the tables to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report(options.fpr_keys):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
