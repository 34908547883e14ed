"""False alarms and misses of the image quality check, by material, and its cost.

python -m benchmarks.image_quality --data ../shared/data/images --output benchmarks/results/image_quality.md --rates

`--rates` also writes the counts that the product states beside every verdict of this check.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.error_rates import write_error_rates
from benchmarks.machine import machine
from safety import Outcome
from safety.image.quality import DECLARATION, QUALITY, QualityCheck, measure
from safety.measurements import ErrorCount

Pixels = NDArray[np.uint8]

FOLDERS = {
    "BSDS500 training, photographs": "real/bsds-train",
    "BSDS500 validation, photographs": "real/bsds-val",
    "ImageNet sample, photographs": "real/imagenet-sample",
    "camera files (one is a blank frame)": "cleared/camera",
    "Stable Diffusion 1.5 family, generated": "generated/sd15-cheatsheet",
}
SEEDS = 50


def _pictures(folder: Path) -> Iterator[Pixels]:
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            yield np.asarray(image.convert("RGB"))


def _scenes() -> Iterator[Pixels]:
    from generator.training.render import render_scene
    from generator.training.scenes import sample_scene

    for seed in range(200):
        yield np.asarray(Image.fromarray(render_scene(sample_scene(seed), 128)).resize((512, 512)))


def _noise(seed: int, cell: int, low: int = 0, high: int = 256) -> Pixels:
    rng = np.random.default_rng(seed)
    small = rng.integers(low, high, (512 // cell, 512 // cell, 3), dtype=np.uint8)
    return small.repeat(cell, axis=0).repeat(cell, axis=1)


def _failures() -> dict[str, list[Pixels]]:
    """Pictures that must be caught, `SEEDS` of each kind."""
    seeds = range(SEEDS)
    smooth = {
        cell: [
            np.asarray(
                Image.fromarray(_noise(s, 1)[: 512 // cell, : 512 // cell]).resize((512, 512), Image.Resampling.BICUBIC)
            )
            for s in seeds
        ]
        for cell in (4, 8)
    }
    return {
        "one colour": [np.full((512, 512, 3), 5 * s, np.uint8) for s in seeds],
        "one colour, rounding noise": [_noise(s, 1, 4 * s, 4 * s + 2) for s in seeds],
        "white noise": [_noise(s, 1) for s in seeds],
        "dim white noise": [_noise(s, 1, 100, 140) for s in seeds],
        "blocks of 8 pixels, random colours": [_noise(s, 8) for s in seeds],
        "smoothed noise, 4 pixels": smooth[4],
        "smoothed noise, 8 pixels": smooth[8],
        "clipped blocks of 8 pixels": [np.where(_noise(s, 8) > 127, 255, 0).astype(np.uint8) for s in seeds],
    }


def table(data: Path) -> tuple[str, list[ErrorCount]]:
    """The whole result as Markdown, and its errors counted."""
    check = QualityCheck()
    counts: list[ErrorCount] = []
    lines = [
        "# Failed pictures",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()} with `python -m benchmarks.image_quality`. Nothing is "
        "trained; the limits were set by looking at the photographs below.",
        "",
        "## Pictures that should pass",
        "",
        "| material | n | blocked | least deviation | least fine structure | least coarse structure | most clipped |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    materials = {name: _pictures(data / folder) for name, folder in FOLDERS.items()}
    materials["flat scenes, as the embedded model draws them"] = _scenes()
    for name, pictures in materials.items():
        blocked, measures = 0, []
        for pixels in pictures:
            blocked += check.examine(pixels)[0].outcome is Outcome.BLOCK
            found = measure(pixels)
            measures.append((found.deviation, found.fine_structure, found.coarse_structure, -found.clipped_share))
        counts.append(ErrorCount("false_alarm", QUALITY, name, len(measures), blocked))
        least = np.array(measures).min(axis=0)
        lines.append(
            f"| {name} | {len(measures)} | {blocked} | {least[0]:.1f} | {least[1]:.2f} | {least[2]:.2f} | "
            f"{-least[3]:.2f} |"
        )
    lines += [
        "",
        "## Pictures that should be blocked",
        "",
        "| failure | n | blocked | faults named |",
        "| --- | ---: | ---: | --- |",
    ]
    for name, failures in _failures().items():
        findings = [check.examine(pixels)[0] for pixels in failures]
        blocked = sum(finding.outcome is Outcome.BLOCK for finding in findings)
        counts.append(ErrorCount("miss", QUALITY, name, len(findings), len(findings) - blocked))
        faults = ", ".join(sorted({str(finding.evidence["fault"]) for finding in findings}))
        lines.append(f"| {name} | {len(findings)} | {blocked} | {faults} |")
    pixels = _noise(0, 1)
    started = time.process_time()
    for _ in range(20):
        check.examine(pixels)
    milliseconds = 1000 * (time.process_time() - started) / 20
    lines += ["", f"Cost: {milliseconds:.1f} core-milliseconds for 512x512.", ""]
    return "\n".join(lines), counts


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with real, cleared and generated")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--rates", action="store_true", help="write safety/measured/image.quality.json")
    options = parser.parse_args()
    result, counts = table(options.data)
    print(result)
    if options.output is not None:
        options.output.write_text(result, encoding="utf-8")
    if options.rates:
        write_error_rates(DECLARATION, counts, "python -m benchmarks.image_quality")


if __name__ == "__main__":
    main()
