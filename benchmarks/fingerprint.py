"""Distances of fingerprints: the same picture changed, and different pictures; where the thresholds come from.

python -m benchmarks.fingerprint --write benchmarks/results/fingerprint.md
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.watermark_attacks import ATTACKS, REMOVALS, Pixels, chained, coded, cropped, illustrations, squares
from provenance.fingerprint import (
    AGREES_WITHIN_BITS,
    DIFFERS_BEYOND_BITS,
    Agreement,
    Fingerprint,
    compare,
    fingerprint,
)
from provenance.region import AGREES_FROM, find_region
from provenance.watermark import WatermarkKey
from provenance.watermark.lattice_mark import LatticeMark

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "images"
EVERY = 4  # changed copies are made of every fourth picture


def populations() -> dict[str, list[Pixels]]:
    bsds = sorted((DATA / "real" / "bsds-val").glob("*.jpg"))
    generated = sorted((DATA / "generated" / "sd15-cheatsheet").glob("*.webp"))
    return {
        "photographs": squares(bsds, 100, 512, native=False),
        "generated": squares(generated, 60, 512, native=False),
        "illustrations": illustrations(150, 512),
    }


def cells(agreements: Iterable[Agreement]) -> str:
    found = list(agreements)
    verdicts = Counter(agreement.verdict for agreement in found)
    distances = np.array(
        [(a.iscc_distance, a.phash_distance) for a in found if a.iscc_distance is not None], dtype=np.float64
    ).reshape(-1, 2)
    spread = " | ".join(
        "/".join(f"{value:.0f}" for value in np.percentile(distances[:, column], [0, 1, 50, 99, 100]))
        for column in (0, 1)
    )
    share = " | ".join(str(verdicts[verdict]) for verdict in ("agrees", "not_comparable", "differs"))
    return f"{len(found)} | {share} | {spread}"


def report() -> Iterator[str]:
    mark = LatticeMark(WatermarkKey(b"benchmark key of thirty-two byte", "laboratory"))
    yield "# Fingerprints"
    yield ""
    yield (
        f"{datetime.now(UTC):%Y-%m-%d}. `python -m benchmarks.fingerprint`. Hamming distances of 256 bits: "
        "minimum/1 %/median/99 %/maximum. "
        f"*Agrees*: both distances at most {AGREES_WITHIN_BITS}; *differs*: both at least {DIFFERS_BEYOND_BITS}."
    )
    for name, pictures in populations().items():
        prints: list[Fingerprint] = [fingerprint(picture) for picture in pictures]
        yield ""
        yield f"## {name.capitalize()} ({len(pictures)})"
        yield ""
        yield "| compared | pairs | agrees | not comparable | differs | ISCC | perceptual hash |"
        yield "| --- | ---: | ---: | ---: | ---: | --- | --- |"
        different = (compare(first, second) for first, second in itertools.combinations(prints, 2))
        yield f"| different pictures | {cells(different)} |"
        marked = (compare(prints[i], fingerprint(mark.embed(pictures[i], 1))) for i in range(0, len(prints), EVERY))
        yield f"| marked | {cells(marked)} |"
        for attack_name, attack in ATTACKS.items():
            changed = (compare(prints[i], fingerprint(attack(pictures[i]))) for i in range(0, len(prints), EVERY))
            yield f"| {attack_name} | {cells(changed)} |"
        yield from parts(pictures[:60:2])


def parts(pictures: list[Pixels]) -> Iterator[str]:
    """How well parts correlate with their own picture and with others, at the true scale."""
    yield ""
    yield f"Parts looked for in whole pictures ({len(pictures)}); found from a correlation of {AGREES_FROM} on."
    yield ""
    yield "| part | looked for in | pairs | found | least, median and highest correlation |"
    yield "| --- | --- | ---: | ---: | --- |"
    attacks = {
        "half of the area": cropped(0.5),
        "half of the area, JPEG 50": chained(cropped(0.5), coded("JPEG", 50)),
        "three tenths of the area": REMOVALS["cropped to 30 % of the area"],
    }
    for name, attack in attacks.items():
        for whose, step in (("its own picture", 0), ("another", 1)):
            found = []
            for index, picture in enumerate(pictures):
                other = pictures[(index + step) % len(pictures)]
                region = find_region(attack(picture), other, 1.0, least=-1.0)
                if region is not None:  # else too plain to be compared
                    found.append(region.correlation)
            several = "/".join(f"{value:.2f}" for value in np.percentile(found, [0, 50, 100]))
            yield f"| {name} | {whose} | {len(found)} | {sum(c >= AGREES_FROM for c in found)} | {several} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, default=None, help="also write the tables to this file")
    options: Any = parser.parse_args()
    lines = []
    for line in report():
        print(line, flush=True)
        lines.append(line)
    if options.write:
        options.write.parent.mkdir(parents=True, exist_ok=True)
        options.write.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
