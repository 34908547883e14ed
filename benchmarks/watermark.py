"""The built-in watermark against common changes and removal, beside invisible-watermark's methods in the same run.

python -m benchmarks.watermark --write benchmarks/results/watermark.md

Needs the data folder beside the checkout, and for the peers `pip install --no-deps invisible-watermark` and
`pip install onnxruntime` with opencv-python-headless; without them the table says so. Similarity (SSIM) is
scikit-image's. Nothing here was used to choose the method's settings: those were chosen on `real/bsds-train` and on
generated pictures of other files.
"""

from __future__ import annotations

import argparse
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.machine import machine
from benchmarks.tiny_autoencoder import TinyAutoencoder
from benchmarks.watermark_attacks import ATTACKS, REMOVALS, Attack, Pixels, illustrations, squares
from benchmarks.watermark_averaging import averaging
from provenance.watermark import WatermarkKey, convolution
from provenance.watermark.key_schedule import checked_payload
from provenance.watermark.lattice import Spectrum
from provenance.watermark.lattice_mark import LatticeMark, fold, grid_luma, soft_values
from provenance.watermark.masking import MAXIMUM_STRENGTH, MINIMUM_PSNR_DB, SIMILARITY_LOSS, normalised
from provenance.watermark.tile import TILE, KeyedTile

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
KEY = WatermarkKey(b"benchmark key of thirty-two byte", "laboratory")
PEER_DETECTION_BITS = 26  # of 32: what a caller of the peer, which has no check bits, could call detected
PEER_BITS = 32


@dataclass
class Score:
    """Counts of one method on one population and attack."""

    pictures: int = 0
    exact: int = 0
    detected: int = 0
    bits_right: float = 0.0
    seconds: list[float] = field(default_factory=list)


@dataclass
class Measured:
    """One method on one population: scores by attack, and how visible the mark is."""

    scores: dict[str, Score]
    psnr: list[float]
    ssim: list[float]
    embed_seconds: list[float]


class Method(Protocol):
    name: str

    def embed(self, pixels: Pixels, number: int) -> Pixels: ...

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool, float]:
        """Whether all bits of `number` came back, whether a mark was detected, and the share of right bits."""
        ...


class Ours:
    name = "built in (64 bit)"

    def __init__(self) -> None:
        self._mark = LatticeMark(KEY)

    def embed(self, pixels: Pixels, number: int) -> Pixels:
        return self._mark.embed(pixels, _payload(number))

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool, float]:
        detection = self._mark.detect(pixels)
        right = detection.payload == _payload(number)
        return right, detection.detected, float(right)


class Peer:
    """invisible-watermark, whose payload has 32 bits and no check."""

    def __init__(self, method: str) -> None:
        self.name = f"{method} (32 bit)"
        self._method = method
        if method == "rivaGan":
            import_module("imwatermark").WatermarkEncoder.loadModel()
            import_module("imwatermark").WatermarkDecoder.loadModel()

    def embed(self, pixels: Pixels, number: int) -> Pixels:
        encoder = import_module("imwatermark").WatermarkEncoder()
        encoder.set_watermark("bits", _peer_bits(number))
        marked: Pixels = encoder.encode(np.ascontiguousarray(pixels[..., ::-1]), self._method)
        return np.ascontiguousarray(marked[..., ::-1])

    def read(self, pixels: Pixels, number: int) -> tuple[bool, bool, float]:
        decoder = import_module("imwatermark").WatermarkDecoder("bits", PEER_BITS)
        try:
            found = decoder.decode(np.ascontiguousarray(pixels[..., ::-1]), self._method)
        except (RuntimeError, ValueError):  # it refuses pictures below 256×256
            return False, False, 0.5
        right = sum(int(bool(a)) == b for a, b in zip(found, _peer_bits(number), strict=True))
        return right == PEER_BITS, right >= PEER_DETECTION_BITS, right / PEER_BITS


def _payload(number: int) -> int:
    return int.from_bytes(np.random.default_rng(number).bytes(8), "big")


def _peer_bits(number: int) -> list[int]:
    return [int(bit) for bit in np.random.default_rng(number).integers(0, 2, PEER_BITS)]


def populations(share: int) -> dict[str, list[Pixels]]:
    """Pictures by source and size; every `share`-th of each."""
    images = DATA / "images"
    bsds = sorted((images / "real" / "bsds-val").glob("*.jpg"))
    camera = sorted(path for path in (images / "cleared" / "camera").iterdir() if path.suffix.lower() == ".jpg")
    generated = sorted((images / "generated" / "sd15-cheatsheet").glob("*.webp"))
    other_files = [path for index, path in enumerate(generated) if index % 5 not in (0, 1)]
    found = {
        "photographs 512": squares(bsds, 75, 512, native=False) + squares(camera, 40, 512, native=True),
        "generated 512": squares(other_files, 50, 512, native=False),
        "illustrations 512": illustrations(20, 512),
        "photographs 1024": squares(camera, 12, 1024, native=True),
        "photographs 256": squares(bsds, 20, 256, native=True),
    }
    return {name: pictures[::share] for name, pictures in found.items()}


def measure(method: Method, pictures: Sequence[Pixels], attacks: Mapping[str, Attack]) -> Measured:
    structural_similarity = import_module("skimage.metrics").structural_similarity
    result = Measured({name: Score() for name in attacks}, [], [], [])
    for number, picture in enumerate(pictures):
        started = time.process_time()
        copy = method.embed(picture, number)
        result.embed_seconds.append(time.process_time() - started)
        mean_square = float(np.mean((picture.astype(np.float64) - copy) ** 2))
        result.psnr.append(10 * float(np.log10(255**2 / mean_square)))
        result.ssim.append(float(structural_similarity(picture, copy, channel_axis=2)))
        for name, attack in attacks.items():
            attacked = np.ascontiguousarray(attack(copy))
            started = time.process_time()
            exact, detected, right = method.read(attacked, number)
            score = result.scores[name]
            score.seconds.append(time.process_time() - started)
            score.pictures += 1
            score.exact += exact
            score.detected += detected
            score.bits_right += right
    return result


def regenerations() -> dict[str, Attack]:
    """Through the tiny autoencoder, with noise of several strengths in its latents."""
    autoencoder = TinyAutoencoder(DATA / "weights" / "taef2")

    def attack(noise: float) -> Attack:
        return lambda pixels: autoencoder.regenerate(pixels, noise)

    return {f"autoencoder, latent noise {noise}": attack(noise) for noise in (0.0, 0.2, 0.4)}


def false_positives(pictures: Sequence[Pixels], keys: int) -> tuple[int, int]:
    """Fitting check bits in unmarked pictures under random keys, read as the pictures lie; and pairs tried."""
    some = [secrets.token_bytes(32) for _ in range(keys)]
    tiles = [KeyedTile(secret) for secret in some]
    pose = np.array([float(TILE)]), np.array([0.0])
    found = 0
    for picture in pictures:
        detail = normalised(grid_luma(picture))
        spectrum = Spectrum(detail)
        folded = fold(detail, (float(TILE), 0.0))
        soft = []
        for tile in tiles:
            orientation = int(spectrum.coherence(tile, *pose)[1][0])
            soft.append(soft_values(folded, spectrum, tile, (float(TILE), 0.0), orientation)[0])
        decoded = convolution.decode(np.stack(soft))
        found += sum(checked_payload(secret, bits) is not None for secret, bits in zip(some, decoded, strict=True))
    return found, keys * len(pictures)


def timed(sides: Sequence[int]) -> Iterator[str]:
    """Marking and reading by size, a photograph enlarged where there is none of that size."""
    camera = sorted(path for path in (DATA / "images/cleared/camera").iterdir() if path.suffix.lower() == ".jpg")
    mark = LatticeMark(KEY)
    yield "| side | mark | read, marked | read, cropped to 75 % | say there is none |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for side in sides:
        cells: list[list[float]] = [[], [], [], []]
        for picture in squares(camera, 4, 1024, native=True):
            sized = _resized(picture, side)
            marked = mark.embed(sized, 5)
            part = ATTACKS["cropped to 75 % of the area"](marked)
            tasks: list[Callable[[], object]] = [
                partial(mark.embed, sized, 5),
                *(partial(mark.detect, pixels) for pixels in (marked, part, sized)),
            ]
            for cell, task in zip(cells, tasks, strict=True):
                started = time.process_time()
                task()
                cell.append(1e3 * (time.process_time() - started))
        yield f"| {side} | " + " | ".join(f"{statistics.median(cell):.0f} ms" for cell in cells) + " |"


def _resized(pixels: Pixels, side: int) -> Pixels:
    from PIL import Image

    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def report(keys: int, share: int, riva_share: int) -> Iterator[str]:
    pictures = populations(share)
    yield from ("# Watermark", "")
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. `python -m benchmarks.watermark --fpr-keys {keys} "
        f"--share {share} --riva-share {riva_share}`."
    )
    yield ""
    yield (
        f"Settings: loss of similarity {SIMILARITY_LOSS} in each window, strength at most {MAXIMUM_STRENGTH} levels, "
        f"PSNR floor {MINIMUM_PSNR_DB} dB. Each cell: pictures whose **whole payload of 64 bits** came back, of the "
        "pictures tried; in square brackets the 95 % interval (Wilson)."
    )
    yield ""
    ours = {name: measure(Ours(), sample, ATTACKS | REMOVALS) for name, sample in pictures.items()}
    yield from _visibility(ours)
    yield from _ours("What it should survive", ours, list(ATTACKS))
    yield from _ours("What removes it, or may", ours, list(REMOVALS))
    regenerated = regenerations()
    some = {name: sample[::6][:12] for name, sample in pictures.items() if name in ("photographs 512", "generated 512")}
    yield from _ours(
        "Regeneration through an autoencoder",
        {name: measure(Ours(), sample, regenerated) for name, sample in some.items()},
        list(regenerated),
    )
    yield from _peers(pictures, riva_share)
    yield from ("", "## Time of one core", "")
    yield from timed((256, 512, 1024, 2048, 4096))
    yield from ("", "## Averaging many marked pictures", "")
    yield from averaging(pictures["photographs 512"] + pictures["generated 512"], KEY)
    unmarked = [p for name, sample in pictures.items() if name.endswith("512") for p in sample]
    found, tried = false_positives(unmarked, keys)
    yield from ("", "## False positives", "")
    yield (
        f"{found} detections in {tried:,} pairs of an unmarked picture and a random key ({len(unmarked)} pictures × "
        f"the same {keys} keys, each picture read as it lies). Pairs that share a picture or a key are not "
        f"independent. By construction the probability is at most {LatticeMark(KEY).false_positive_rate:.1e} per "
        "picture and key, every pose that is tried counted; a measurement of this size can contradict that, not "
        "confirm it."
    )


def _visibility(measured: Mapping[str, Measured]) -> Iterator[str]:
    yield "| | " + " | ".join(measured) + " |"
    yield "| --- |" + " ---: |" * len(measured)
    rows: dict[str, Callable[[Measured], str]] = {
        "PSNR, mean (least)": lambda one: f"{statistics.mean(one.psnr):.1f} ({min(one.psnr):.1f}) dB",
        "SSIM, mean (least)": lambda one: f"{statistics.mean(one.ssim):.4f} ({min(one.ssim):.4f})",
        "embedding, median": lambda one: f"{1e3 * statistics.median(one.embed_seconds):.0f} ms",
    }
    for name, cell in rows.items():
        yield f"| {name} | " + " | ".join(cell(one) for one in measured.values()) + " |"


def _ours(title: str, measured: Mapping[str, Measured], attacks: Sequence[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "")
    yield "| | " + " | ".join(measured) + " |"
    yield "| --- |" + " ---: |" * len(measured)
    for attack in attacks:
        cells = [f"{one.scores[attack].exact}/{one.scores[attack].pictures}" for one in measured.values()]
        yield f"| {attack} | " + " | ".join(cells) + " |"
    sums = []
    for one in measured.values():
        exact = sum(one.scores[attack].exact for attack in attacks)
        tried = sum(one.scores[attack].pictures for attack in attacks)
        low, high = _wilson(exact, tried)
        sums.append(f"{exact / tried:.3f} [{low:.3f}, {high:.3f}]")
    yield "| **all of these** | " + " | ".join(sums) + " |"


def _peers(pictures: Mapping[str, list[Pixels]], riva_share: int) -> Iterator[str]:
    yield from ("", "## Beside invisible-watermark", "")
    if find_spec("imwatermark") is None or find_spec("cv2") is None or find_spec("onnxruntime") is None:
        yield "Not run: `imwatermark`, `cv2` or `onnxruntime` is not installed."
        return
    sample = (pictures["photographs 512"] + pictures["generated 512"])[::riva_share]
    methods: list[Method] = [Ours(), Peer("dwtDct"), Peer("dwtDctSvd"), Peer("rivaGan")]
    attacks = ATTACKS | {name: REMOVALS[name] for name in ("median 5×5", "one of four in a collage")}
    measured = {method.name: measure(method, sample, attacks) for method in methods}
    yield (
        f"The same {len(sample)} pictures of 512×512 (photographs and generated) for all. Each cell: whole payload "
        f"back (in brackets: detected, which for the peers means {PEER_DETECTION_BITS} of {PEER_BITS} bits or more; "
        "share of right bits). The peers carry half the bits and change pictures more."
    )
    yield ""
    yield from _visibility(measured)
    reading = [f"{1e3 * statistics.median(one.scores['none'].seconds):.0f} ms" for one in measured.values()]
    yield "| reading, median | " + " | ".join(reading) + " |"
    for attack in attacks:
        cells = [
            f"{score.exact}/{score.pictures} ({score.detected}; {score.bits_right / score.pictures:.2f})"
            for score in (one.scores[attack] for one in measured.values())
        ]
        yield f"| {attack} | " + " | ".join(cells) + " |"
    means = []
    for one in measured.values():
        tried = sum(score.pictures for score in one.scores.values())
        exact = sum(score.exact for score in one.scores.values())
        means.append(f"{exact / tried:.3f} ({sum(s.detected for s in one.scores.values()) / tried:.3f})")
    yield "| **all of these** | " + " | ".join(means) + " |"


def _wilson(successes: int, trials: int) -> tuple[float, float]:
    z = 1.959964
    share = successes / trials
    middle = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z * ((share * (1 - share) + z**2 / (4 * trials)) / trials) ** 0.5 / (1 + z**2 / trials)
    return middle - half, middle + half


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fpr-keys", type=int, default=1000)
    parser.add_argument("--share", type=int, default=1, help="measure every n-th picture only")
    parser.add_argument("--riva-share", type=int, default=8, help="every n-th of these for the comparison")
    parser.add_argument("--write", type=Path, default=None, help="also write the tables to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report(options.fpr_keys, options.share, options.riva_share):
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
