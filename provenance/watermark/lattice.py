"""Finding the lattice of a repeated tile in a picture's spectrum: its period, its angle, and the tile's orientation.

The search has three steps. The power at the lattice's frequencies, which needs no key, is summed for a grid of periods
and angles; the best peaks are refined; then the key's synchronisation phases are correlated at each, which is by far
the sharper test but too slow to run everywhere.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from provenance.watermark.masking import Luma
from provenance.watermark.tile import TILE, Complex, KeyedTile, lattice

ORIENTATIONS: Final = 8
_SIDE: Final = 1024  # of the transform: twice the grid, so that peaks between bins are met
_HALF: Final = _SIDE // 2
_WHITENING: Final = 15  # bins
_POWER_LIMIT: Final = 12.0
_AMPLITUDE_LIMIT: Final = 2.0

# A picture cut to a quarter of a side, or padded to 1.7 of it, keeps its period within these bounds.
_PERIODS: Final = np.exp(np.arange(np.log(0.58), np.log(2.45), 0.006)) * TILE
_ANGLES: Final = np.deg2rad(np.arange(-5.0, 5.01, 0.4))
_COARSE: Final = lattice(highest=8.0)
_FINE: Final = lattice()
_PEAKS: Final = 96
_PERIOD_STEPS: Final = np.exp(np.arange(-3, 4) * 0.0015)
_ANGLE_STEPS: Final = np.deg2rad(np.arange(-3, 4) * 0.1)
_PLACES: Final = 48  # a side of the map of shifts, in the search
_FINE_PLACES: Final = 256

Reals = NDArray[np.floating]
Pose = tuple[float, float]  # period in grid units, angle in radians


class Spectrum:
    """The whitened spectrum of normalised luma: the middle 1024×1024, its centre as origin."""

    def __init__(self, detail: Luma) -> None:
        height, width = detail.shape
        top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
        middle = detail[top : top + _SIDE, left : left + _SIDE]
        padded = np.zeros((_SIDE, _SIDE), np.float32)
        padded[: middle.shape[0], : middle.shape[1]] = middle
        centred = np.roll(padded, (-(middle.shape[0] // 2), -(middle.shape[1] // 2)), (0, 1))
        self._values = fft.rfft2(centred)
        power = self._values.real**2 + self._values.imag**2
        ring = _ring_means(power)
        local = ndimage.uniform_filter(np.minimum(power, 8 * ring), _WHITENING, mode=("wrap", "reflect")) + 1e-9
        self._power = np.minimum(power / local, _POWER_LIMIT)
        self._scale = np.sqrt(local)
        amplitude = np.sqrt(np.maximum(ring[0], 1e-12))
        weights = 1.0 / np.maximum(ndimage.uniform_filter1d(amplitude, 9), 1e-6)
        self._weights = (weights / weights[40:150].mean()).astype(np.float32)

    def peaks(self) -> tuple[Reals, Reals]:
        """Periods and angles where the power on the lattice stands out, the picture as it is among them."""
        scores = self._scores(_COARSE, np.repeat(_PERIODS, len(_ANGLES)), np.tile(_ANGLES, len(_PERIODS)))
        scores = scores.reshape(len(_PERIODS), len(_ANGLES))
        highest = np.flatnonzero(scores == ndimage.maximum_filter(scores, 3))
        best = highest[np.argsort(-scores.ravel()[highest])][:_PEAKS]
        near = (len(best), len(_PERIOD_STEPS), len(_ANGLE_STEPS))
        periods = np.broadcast_to(_PERIODS[best // len(_ANGLES), None, None] * _PERIOD_STEPS[None, :, None], near)
        angles = np.broadcast_to(_ANGLES[best % len(_ANGLES), None, None] + _ANGLE_STEPS[None, None, :], near)
        refined = self._scores(_FINE, periods.ravel(), angles.ravel()).reshape(len(best), -1).argmax(axis=1)
        rows = np.arange(len(best))
        return periods.reshape(len(best), -1)[rows, refined], angles.reshape(len(best), -1)[rows, refined]

    def coherence(self, tile: KeyedTile, periods: Reals, angles: Reals) -> tuple[Reals, NDArray[np.intp]]:
        """For each pose, how far the key's phases agree at the best shift (1 is chance), and in which orientation."""
        vertical, horizontal = tile.frequencies[tile.synchronisation].T
        found = np.empty((ORIENTATIONS, len(periods)), np.float32)
        for orientation in range(ORIENTATIONS):
            values = self.at(turned(tile, orientation)[tile.synchronisation], periods, angles) * tile.phases.conj()
            map_of_shifts = np.zeros((len(periods), _PLACES, _PLACES), np.complex64)
            map_of_shifts[:, vertical % _PLACES, horizontal % _PLACES] = values
            shifts = fft.ifft2(map_of_shifts, overwrite_x=True).real.reshape(len(periods), -1)
            found[orientation] = shifts.max(axis=1) * (_PLACES**2 / np.sqrt(len(vertical)))
        best = found.argmax(axis=0)
        return found[best, np.arange(len(periods))], best

    def at(self, frequencies: NDArray[np.int32], periods: Reals, angles: Reals) -> Complex:
        """Whitened complex values (poses, frequencies), limited in amplitude."""
        rows, columns, conjugated, inside = _bins(frequencies, periods, angles)
        values = self._values[rows, columns] / self._scale[rows, columns]
        values = np.where(inside, values / np.maximum(1.0, np.abs(values) / _AMPLITUDE_LIMIT), 0)
        return np.where(conjugated, values.conj(), values)

    def scale_at(self, frequencies: NDArray[np.int32], pose: Pose) -> Reals:
        """The picture's own amplitude around each frequency."""
        rows, columns, _, _ = _bins(frequencies, np.array([pose[0]]), np.array([pose[1]]))
        scale: Reals = self._scale[rows[0], columns[0]]
        return scale

    def _scores(self, frequencies: NDArray[np.int32], periods: Reals, angles: Reals) -> Reals:
        rows, columns, _, inside = _bins(frequencies, periods, angles)
        radius = np.hypot(np.minimum(rows, _SIDE - rows), columns).astype(np.int32)
        weights = self._weights[np.minimum(radius, _HALF - 1)] * inside
        excess = (weights * (self._power[rows, columns] - 1.0)).sum(axis=1)
        scores: Reals = excess / np.sqrt(np.maximum((weights**2).sum(axis=1), 1e-9))
        return scores


def turned(tile: KeyedTile, orientation: int) -> NDArray[np.int32]:
    """Where the tile's frequencies lie in a picture that an orientation (bits: 4 transpose, 2 upside down, 1 mirror)
    would lay right."""
    vertical, horizontal = tile.frequencies.T
    horizontal = -horizontal if orientation & 1 else horizontal
    vertical = -vertical if orientation & 2 else vertical
    return np.stack([horizontal, vertical] if orientation & 4 else [vertical, horizontal], axis=1)


def place(tile: KeyedTile, values: Complex) -> tuple[int, int, Complex]:
    """The shift of the tile in 256ths of its side, down and across, and the values with the shift undone."""
    vertical, horizontal = tile.frequencies.T
    chosen = tile.synchronisation
    spectrum = np.zeros((_FINE_PLACES, _FINE_PLACES), np.complex64)
    spectrum[vertical[chosen] % _FINE_PLACES, horizontal[chosen] % _FINE_PLACES] = values[chosen] * tile.phases.conj()
    shifts = fft.ifft2(spectrum).real
    down, across = np.unravel_index(int(shifts.argmax()), shifts.shape)
    undo = np.exp(2j * np.pi / _FINE_PLACES * (vertical * down + horizontal * across))
    return int(down), int(across), values * undo


def _bins(
    frequencies: NDArray[np.int32], periods: Reals, angles: Reals
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Rows and columns of the half spectrum for (poses, frequencies), whether conjugated, whether within the band."""
    cosine = (np.cos(angles) * _SIDE / periods).astype(np.float32)[:, None]
    sine = (np.sin(angles) * _SIDE / periods).astype(np.float32)[:, None]
    vertical, horizontal = (part.astype(np.float32)[None] for part in frequencies.T)
    down = cosine * vertical - sine * horizontal
    across = sine * vertical + cosine * horizontal
    conjugated = across < 0
    rows = np.rint(np.where(conjugated, -down, down)).astype(np.int32)
    columns = np.rint(np.abs(across)).astype(np.int32)
    inside = (np.abs(rows) < _HALF) & (columns < _HALF)
    return rows % _SIDE, np.minimum(columns, _HALF), conjugated, inside


def _ring_radius() -> NDArray[np.int32]:
    rows = np.minimum(np.arange(_SIDE), _SIDE - np.arange(_SIDE))[:, None]
    return np.minimum(np.hypot(rows, np.arange(_HALF + 1)[None]).astype(np.int32), _HALF - 1)


_RADIUS: Final = _ring_radius()
_RING_SIZES: Final = np.maximum(np.bincount(_RADIUS.ravel()), 1)


def _ring_means(power: Reals) -> Reals:
    """Mean power of each place's ring; row 0 runs along the radius."""
    means: Reals = (np.bincount(_RADIUS.ravel(), power.ravel()) / _RING_SIZES)[_RADIUS].astype(np.float32)
    return means
