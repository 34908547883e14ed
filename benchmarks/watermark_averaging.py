"""What somebody without the key learns from many marked pictures, and what can be done with it.

The attacker knows the method but not the key, brings every picture to the grid, weighs it as reading does, sums its
tiles, and averages over pictures. What all marks share (the synchronisation phases, and what layout version and key
number fix in the code) adds up; everything else averages out. The estimate is then subtracted from another picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.watermark_attacks import Pixels
from provenance.watermark import RecordMark, WatermarkKey
from provenance.watermark.lattice_mark import LatticeMark, fold, grid_luma
from provenance.watermark.masking import normalised, strength, within_psnr
from provenance.watermark.tile import TILE, KeyedTile

TARGETS = 12


def averaging(pictures: Sequence[Pixels], key: WatermarkKey) -> Iterator[str]:
    """A table: pictures averaged, agreement with the true phases, and marks that survive the subtraction."""
    mark, tile = LatticeMark(key), KeyedTile(key.secret)
    vertical, horizontal = tile.frequencies.T
    total = np.zeros(len(tile.frequencies), np.complex128)
    targets, sources = pictures[:TARGETS], pictures[TARGETS:]
    yield "| pictures averaged | agreement with the key's phases | targets still read after subtraction |"
    yield "| ---: | ---: | ---: |"
    checkpoints = {2**k for k in range(3, 20)} | {len(sources)}
    for number, picture in enumerate(sources, 1):
        payload = RecordMark(int(np.random.default_rng(number).integers(1 << 56))).pack()
        folded = np.fft.fft2(fold(normalised(grid_luma(mark.embed(picture, payload))), (float(TILE), 0.0)))
        values = folded[vertical % TILE, horizontal % TILE]
        total += values / np.sqrt(np.mean(np.abs(values) ** 2))
        if number in checkpoints:
            guess = total / np.maximum(np.abs(total), 1e-9)
            agreement = float(np.mean((guess[tile.synchronisation] * tile.phases.conj()).real))
            survived = sum(_survives(mark, tile, guess, target, n) for n, target in enumerate(targets))
            yield f"| {number} | {agreement:.2f} | {survived}/{len(targets)} |"


def _survives(mark: LatticeMark, tile: KeyedTile, guess: np.ndarray, picture: Pixels, number: int) -> bool:
    """Whether a fresh mark is read after the guessed pattern was subtracted at the mark's own strength."""
    payload = RecordMark(number).pack()
    marked = mark.embed(picture, payload)
    spectrum = np.zeros((TILE, TILE), np.complex128)
    vertical, horizontal = tile.frequencies.T
    spectrum[vertical % TILE, horizontal % TILE] = guess
    spectrum[-vertical % TILE, -horizontal % TILE] = guess.conj()
    pattern = np.fft.ifft2(spectrum).real
    luma = grid_luma(marked)
    rows, columns = luma.shape
    repeated = np.tile(pattern / pattern.std(), (-(-rows // TILE), -(-columns // TILE)))[:rows, :columns]
    change = within_psnr((repeated * strength(luma)).astype(np.float32))
    cleaned: Pixels = np.clip(np.rint(marked - change[..., None]), 0, 255).astype(np.uint8)
    return mark.detect(cleaned).payload == payload
