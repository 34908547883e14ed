"""How well perceptual hashes find copies: recall per transformation and false matches, beside other hashes.

    python -m benchmarks.duplicates --data ../shared/data/images/real --output benchmarks/results/duplicates.md

References: the photographs of bsds-val, among them every distractor (bsds-train, imagenet-sample). Queries:
each reference under each transformation. A copy is found if its own reference is within the match distance.
A false match is any unrelated picture within it. `--rates` also writes the counts that the product states beside every
verdict of this check.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.error_rates import write_error_rates
from benchmarks.machine import machine
from safety.duplicates.check import DECLARATION, LISTED_WORK
from safety.duplicates.hashes import INFORMATION_MIN, perceptual_hash
from safety.duplicates.matches import MATCH_DISTANCE_BITS
from safety.measurements import ErrorCount

Pixels = NDArray[np.uint8]
Bits = NDArray[np.bool_]
Hash = Callable[[Image.Image], Bits]

FALSE_MATCHES_PER_QUERY = 1e-3
"""The peers' match distances are the largest at which the distractors give no more than this."""


def _jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def transform(image: Image.Image) -> Image.Image:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality)
        return Image.open(stream).convert("RGB")

    return transform


def _resized(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.resize((round(image.width * factor), round(image.height * factor)))


def _brighter(factor: float) -> Callable[[Image.Image], Image.Image]:
    return lambda image: image.point(lambda value: min(255, round(value * factor)))


def _cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def transform(image: Image.Image) -> Image.Image:
        cut_x, cut_y = (round(side * (1 - share**0.5) / 2) for side in image.size)
        return image.crop((cut_x, cut_y, image.width - cut_x, image.height - cut_y))

    return transform


TRANSFORMATIONS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 90": _jpeg(90),
    "JPEG 60": _jpeg(60),
    "JPEG 30": _jpeg(30),
    "resize 0.3": _resized(0.3),
    "resize 0.5": _resized(0.5),
    "resize 2": _resized(2.0),
    "brightness 0.7": _brighter(0.7),
    "brightness 1.3": _brighter(1.3),
    "crop to 75 % of the area": _cropped(0.75),
    "pad 20 %": lambda image: ImageOps.expand(image, round(0.1 * min(image.size)), (255, 255, 255)),
    "flip": ImageOps.mirror,
}


def _ours(image: Image.Image) -> Bits:
    return np.array([bit == "1" for bit in perceptual_hash(np.asarray(image)).bits])


HASHES: dict[str, Hash] = {
    "ours (pHash, 256 bit)": _ours,
    "dHash, 256 bit": lambda image: imagehash.dhash(image, hash_size=16).hash.ravel(),
    "wHash, 256 bit": lambda image: imagehash.whash(image, hash_size=16).hash.ravel(),
}


def _load(folder: Path, pattern: str = "*") -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(folder.glob(pattern))]


def _flat_scenes(count: int) -> tuple[list[Image.Image], list[set[int]]]:
    """Emoji objects on one colour, as the embedded model draws them, and which objects they show."""
    from generator.training.render import render_scene
    from generator.training.scenes import sample_scene

    scenes = [sample_scene(seed) for seed in range(count)]
    images = [Image.fromarray(render_scene(scene, 128)).resize((512, 512)) for scene in scenes]
    return images, [{entity.glyph for entity in scene.entities} for scene in scenes]


def _distances(queries: Sequence[Bits], references: Sequence[Bits]) -> NDArray[np.int64]:
    """Hamming distances, one row a query."""
    rows = np.stack(references)
    return np.stack([(rows != query).sum(axis=1) for query in queries])


def _largest_distance(unrelated: NDArray[np.int64], rate: float) -> int:
    """The largest distance at which at most `rate` of the queries (rows) have an unrelated match."""
    nearest = np.sort(unrelated.min(axis=1))
    return int(nearest[int(rate * len(nearest))]) - 1


def table(data: Path) -> tuple[str, list[ErrorCount]]:
    """The whole result as Markdown, and the shipped check's errors counted."""
    counts: list[ErrorCount] = []
    references = _load(data / "bsds-val", "*.jpg")
    distractors = _load(data / "bsds-train", "*.jpg") + _load(data / "imagenet-sample")
    scenes, shown = _flat_scenes(200)
    shared = np.array([[bool(one & other) for other in shown] for one in shown])
    queries = {name: [transform(image) for image in references] for name, transform in TRANSFORMATIONS.items()}
    columns, limits, distributions, seconds = {}, {}, [], {}
    for name, hash_of in HASHES.items():
        hashed = [hash_of(image) for image in references]
        unrelated = _distances([hash_of(image) for image in distractors], hashed)
        ours = name.startswith("ours")
        limit = MATCH_DISTANCE_BITS if ours else _largest_distance(unrelated, FALSE_MATCHES_PER_QUERY)
        limits[name] = limit
        started = time.perf_counter()
        columns[name] = {
            transformation: float((np.diag(_distances([hash_of(image) for image in images], hashed)) <= limit).mean())
            for transformation, images in queries.items()
        }
        if ours:
            counts += [
                ErrorCount("miss", LISTED_WORK, f"copies: {one}", len(images), round(len(images) * (1 - recall)))
                for (one, images), recall in zip(queries.items(), columns[name].values(), strict=True)
            ]
        seconds[name] = (time.perf_counter() - started) / (len(queries) * len(references))
        flat = [hash_of(image) for image in scenes]
        among_scenes = _distances(flat, flat)
        among_others = np.where(shared, 256, among_scenes)
        np.fill_diagonal(among_scenes, 256)
        among_photographs = _distances(hashed, hashed)
        np.fill_diagonal(among_photographs, 256)
        for label, distances in (
            ("distractors against references", unrelated),
            ("references against each other", among_photographs),
            ("flat scenes against each other", among_scenes),
            ("flat scenes of other objects", among_others),
        ):
            nearest = distances.min(axis=1)
            if ours:
                matched = int((nearest <= limit).sum())
                counts.append(ErrorCount("false_alarm", LISTED_WORK, label, len(distances), matched))
            distributions.append(
                f"| {name} | {label} | {len(distances)} x {distances.shape[1]} | {nearest.min()} | "
                f"{int(np.percentile(nearest, 1))} | {int(np.median(nearest))} | "
                f"{float(np.median(distances)):.0f} | {int((nearest <= limit).sum())} |"
            )
    information = [
        (label, np.array([perceptual_hash(np.asarray(image)).information for image in images]))
        for label, images in (("photographs", references + distractors), ("flat scenes", scenes))
    ]
    lines = [
        "# Finding copies by perceptual hash",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {machine()} with `python -m benchmarks.duplicates`. "
        f"References: {len(references)} photographs of BSDS500 (validation). Distractors: {len(distractors)} other "
        "photographs (BSDS500 training, ImageNet sample). Flat scenes: 200 renders of the embedded model's "
        "training scenes; those of other objects leave out pairs that show the same glyph. No photograph of "
        "this measurement trained anything.",
        "",
        "## Recall at the match distance",
        "",
        "Ours uses the shipped distance; each peer the largest one at which at most one distractor in a "
        "thousand matches anything.",
        "",
        "| transformation | " + " | ".join(HASHES) + " |",
        "| --- |" + " ---: |" * len(HASHES),
    ]
    lines += [
        f"| {transformation} | " + " | ".join(f"{columns[name][transformation]:.2f}" for name in HASHES) + " |"
        for transformation in TRANSFORMATIONS
    ]
    lines += [
        "| **mean** | " + " | ".join(f"**{np.mean(list(columns[name].values())):.2f}**" for name in HASHES) + " |",
        "| match distance, bits | " + " | ".join(str(limits[name]) for name in HASHES) + " |",
        "| ms a picture | " + " | ".join(f"{1000 * seconds[name]:.1f}" for name in HASHES) + " |",
        "",
        "Crops, padding and flips are not found: a global hash describes the whole frame. The check does not "
        "claim to find them.",
        "",
        "## Distances of unrelated pictures",
        "",
        "| hash | pictures | compared | nearest: least | nearest: 1st percentile | nearest: median | "
        "all pairs: median | pictures with a false match |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *distributions,
        "",
        "With no false match among n pictures, the rate is at most 3/n at 95 % confidence.",
        "",
        "## Structure",
        "",
        f"`information` is the deviation of the luma at 64x64; below {INFORMATION_MIN} a picture is not hashed.",
        "",
        "| pictures | least | median | largest |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {label} | {values.min():.1f} | {np.median(values):.1f} | {values.max():.1f} |"
            for label, values in information
        ),
        "",
    ]
    return "\n".join(lines), counts


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with bsds-val, bsds-train, imagenet-sample")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--rates", action="store_true", help="write safety/measured/image.duplicates.json")
    options = parser.parse_args()
    result, counts = table(options.data)
    print(result)
    if options.output is not None:
        options.output.write_text(result, encoding="utf-8")
    if options.rates:
        write_error_rates(DECLARATION, counts, "python -m benchmarks.duplicates")


if __name__ == "__main__":
    main()
