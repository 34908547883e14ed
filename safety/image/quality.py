"""The quality check: a blank, saturated or noise picture is a failed generation or a failed decode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety.checks import CheckDeclaration, Stage, outcome_of, require_rgb
from safety.findings import Finding, decimal

QUALITY = "quality"

DECLARATION = CheckDeclaration(
    id="image.quality",
    version="1",
    stage=Stage.IMAGE,
    categories=(QUALITY,),
    summary="Blank, noise and saturated pictures, by deviation, spatial autocorrelation and clipping.",
    measured_on="420 photographs and 380 generated images (no false alarm), eight kinds of failure",
    measured_in="benchmarks/results/image_quality.md",
)

THRESHOLD = 0.5
"""Each fault's score is 0.5 where its measure meets the limit below."""

BLANK_DEVIATION = 1.0
"""Standard deviation of the luma (0 to 255). Photographs: 12 at least; a small cloud on white: 2.4."""

BLANK_DETAIL_SHARE = 0.0005
"""Share of pixels more than `DETAIL_LEVELS` away from the median luma: some 130 pixels of 512x512."""

DETAIL_LEVELS = 8

NOISE_STRUCTURE = 0.25
"""Autocorrelation with the neighbouring pixel. Photographs: 0.55 at least; noise: 0.0."""

NOISE_ENTROPY_BITS = 5.0
NOISE_CHROMA = 16.0
"""What flat illustrations and pages of text lack: this entropy of the luma, or, for fine noise, this mean
spread of the channels."""

SPARSE_NOISE_STRUCTURE = 0.1
"""The limit for pictures without either: a page of small text measures 0.2."""

SATURATED_SHARE = 0.9
SATURATED_STRUCTURE = 0.45
SATURATED_CHROMA = 64.0
"""Nearly all values clipped, in colour, and ragged: what too much guidance leaves. Photographs clip 0.5 of
their values at most; flat illustrations in pure colours are smooth."""

_GRID = 64
_SIDE_MAX = 1024


@dataclass(frozen=True, slots=True)
class QualityMeasures:
    """What the check measures of a picture.

    `deviation` and `detail_share`: see `BLANK_DEVIATION` and `BLANK_DETAIL_SHARE`. `fine_structure` and
    `coarse_structure` are the least autocorrelation (-1 to 1) with the right and the lower neighbour, of
    the pixels and of a grid of about 64 cells a side. `entropy_bits` (0 to 8) is of the luma's histogram,
    `clipped_share` of channel values at 0, 1, 254 or 255, `chroma` the mean spread of the channels.
    """

    deviation: float
    detail_share: float
    fine_structure: float
    coarse_structure: float
    entropy_bits: float
    clipped_share: float
    chroma: float

    def faults(self) -> dict[str, float]:
        """Score in [0, 1] of each fault; `THRESHOLD` is where the measure meets its limit."""
        blank = max(_below(self.deviation, BLANK_DEVIATION), _below(self.detail_share, BLANK_DETAIL_SHARE))
        rich = self.entropy_bits >= NOISE_ENTROPY_BITS or self.chroma >= NOISE_CHROMA
        noise = _below(self.fine_structure, NOISE_STRUCTURE if rich else SPARSE_NOISE_STRUCTURE)
        if self.entropy_bits >= NOISE_ENTROPY_BITS:
            noise = max(noise, _below(self.coarse_structure, NOISE_STRUCTURE))
        saturated = 0.0
        if self.clipped_share >= SATURATED_SHARE and self.chroma >= SATURATED_CHROMA:
            structure = min(self.fine_structure, self.coarse_structure)
            saturated = _below(structure, SATURATED_STRUCTURE)
        if blank >= THRESHOLD:  # what is left of a blank picture is rounding noise
            noise = saturated = 0.0
        return {"blank": blank, "noise": noise, "saturated": saturated}


class QualityCheck:
    """An image check without weights. Immutable; safe to share between threads."""

    declaration = DECLARATION

    def __init__(self, thresholds: Mapping[str, float] | None = None) -> None:
        self._threshold = (thresholds or {}).get(QUALITY, THRESHOLD)

    def examine(self, pixels: NDArray[np.uint8]) -> list[Finding]:
        """One finding; its evidence names the worst fault and all measures. Raises `PixelsError`."""
        started = time.perf_counter()
        measures = measure(pixels)
        faults = measures.faults()
        fault, score = max(faults.items(), key=lambda item: item[1])
        evidence = {
            "fault": fault if score > 0.0 else "none",
            "deviation": decimal(measures.deviation),
            "detail_share": decimal(measures.detail_share),
            "fine_structure": decimal(measures.fine_structure),
            "coarse_structure": decimal(measures.coarse_structure),
            "entropy_bits": decimal(measures.entropy_bits),
            "clipped_share": decimal(measures.clipped_share),
            "chroma": decimal(measures.chroma),
        }
        return [
            Finding(
                check=DECLARATION.id,
                version=DECLARATION.version,
                category=QUALITY,
                score=score,
                threshold=self._threshold,
                outcome=outcome_of(score, self._threshold),
                evidence=evidence,
                elapsed_s=time.perf_counter() - started,
            )
        ]


def measure(pixels: NDArray[np.uint8]) -> QualityMeasures:
    """Measures of `pixels`, uint8 of shape (H, W, 3); where a side is over 1024 of every k-th pixel, and
    the fine structure of the central part.
    """
    require_rgb(pixels)
    whole = max(pixels.shape[:2]) <= _SIDE_MAX  # then the thinned and the central part are the picture itself
    centre, pixels = _centre(pixels), _thinned(pixels)
    luma = _luma(pixels)
    fine_structure = _neighbour_correlation(luma if whole else _luma(centre))
    levels = np.bincount(luma.astype(np.uint8).ravel(), minlength=256)
    present = levels[levels > 0] / luma.size
    median = int(np.searchsorted(np.cumsum(levels), luma.size / 2))
    near = levels[max(0, median - DETAIL_LEVELS) : median + DETAIL_LEVELS + 1].sum()
    values = np.bincount(pixels.ravel(), minlength=256)
    spread = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    spread -= np.minimum(np.minimum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return QualityMeasures(
        deviation=float(luma.std(dtype=np.float64)),
        detail_share=1.0 - float(near) / luma.size,
        fine_structure=fine_structure,
        coarse_structure=_neighbour_correlation(_grid(luma)),
        entropy_bits=max(0.0, float(-(present * np.log2(present)).sum())),
        clipped_share=float(values[[0, 1, 254, 255]].sum()) / pixels.size,
        chroma=float(spread.mean()),
    )


def _below(value: float, limit: float) -> float:
    """1 at 0 and under, 0.5 at `limit`, 0 from twice `limit` on."""
    return min(1.0, max(0.0, 1.0 - value / (2 * limit)))


def _luma(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """ITU-R BT.601 luma, 0 to 255."""
    # Converted first: a product of mixed types takes NumPy's slow path, ten times as long.
    luma: NDArray[np.float32] = pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return luma


def _thinned(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    step = -(-max(pixels.shape[:2]) // _SIDE_MAX)
    return pixels[::step, ::step]


def _centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    top, left = (max(0, (side - _SIDE_MAX) // 2) for side in pixels.shape[:2])
    return pixels[top : top + _SIDE_MAX, left : left + _SIDE_MAX]


def _grid(luma: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of square cells, about `_GRID` of them along the shorter side."""
    cell = max(1, min(luma.shape) // _GRID)
    rows, columns = (side // cell for side in luma.shape)
    cells = luma[: rows * cell, : columns * cell].reshape(rows, cell, columns, cell)
    means: NDArray[np.float32] = cells.mean(axis=(1, 3))
    return means


def _neighbour_correlation(luma: NDArray[np.float32]) -> float:
    """The lesser of the autocorrelations at a distance of one to the right and downwards; 1 if undefined."""
    centred = luma - luma.mean()
    variance = float(np.vdot(centred, centred)) / centred.size
    if variance < 1e-6 or min(luma.shape) < 2:
        return 1.0
    right = float((centred[:, 1:] * centred[:, :-1]).mean()) / variance
    down = float((centred[1:] * centred[:-1]).mean()) / variance
    return float(min(right, down))
