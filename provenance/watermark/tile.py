"""The mark's pattern: a square tile, repeated over the picture, made of frequencies that a key deals out.

A tile that repeats puts all its energy on a lattice of frequencies. The lattice turns and stretches with the picture,
so that rotation and scale can be measured in the picture itself, and every crop that holds a few tiles holds the whole
message (M. Kutter, "Watermarking resisting to translation, rotation, and scaling", Proc. SPIE 3528, 1998). Some
frequencies have phases that only the key decides, which find the tile's place; the others carry the message.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from provenance.watermark import convolution
from provenance.watermark.key_schedule import MESSAGE_BITS, numbers

# In units of the grid on which a picture's shorter side measures 512. The tile is no multiple of JPEG's 8 pixels, so
# that what quantisation does to one tile is not repeated in the next.
TILE: Final = 81
_LOWEST: Final = 2.6  # cycles in a tile; below, pictures drown the mark
_HIGHEST: Final = 14.4  # 0.18 cycles a pixel: survives halving, JPEG 50 and WebP 60
_SYNCHRONISATION_SHARE: Final = 0.3

Complex = NDArray[np.complexfloating]


def lattice(lowest: float = _LOWEST, highest: float = _HIGHEST) -> NDArray[np.int32]:
    """Frequencies (n, 2), vertical and horizontal cycles in a tile, one of each conjugate pair."""
    side = int(highest)
    vertical, horizontal = np.mgrid[-side : side + 1, 0 : side + 1]
    radius = np.hypot(vertical, horizontal)
    half = (horizontal > 0) | (vertical > 0)
    chosen = half & (radius >= lowest) & (radius <= highest)
    return np.stack([vertical[chosen], horizontal[chosen]], axis=1).astype(np.int32)


class KeyedTile:
    """What one key makes of the lattice: which frequencies find the place, and which carry which code bit."""

    def __init__(self, secret: bytes) -> None:
        self.frequencies: Final = lattice()
        count = len(self.frequencies)
        order = np.argsort(numbers(secret, b"order", count), kind="stable")
        self.synchronisation: Final = order[: int(count * _SYNCHRONISATION_SHARE)]
        self._carriers = order[len(self.synchronisation) :]
        turns = numbers(secret, b"phase", len(self.synchronisation)) / 2.0**32
        self.phases: Final[Complex] = np.exp(2j * np.pi * turns).astype(np.complex64)
        parts = 2 * len(self._carriers)  # real and imaginary
        self._bits = convolution.coded_length(MESSAGE_BITS)
        self._dealt = np.argsort(numbers(secret, b"deal", parts), kind="stable")
        self._bit_of = np.arange(parts) % self._bits
        self._signs = np.where(numbers(secret, b"sign", parts) & 1, 1.0, -1.0)

    def pattern(self, code: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The tile (81, 81) that carries the code bits, with a root mean square of 1."""
        values = np.zeros(len(self.frequencies), np.complex128)
        values[self.synchronisation] = self.phases
        parts = np.zeros(len(self._dealt))
        parts[self._dealt] = np.where(code[self._bit_of], 1.0, -1.0) * self._signs
        values[self._carriers] = (parts[0::2] + 1j * parts[1::2]) / np.sqrt(2)
        spectrum = np.zeros((TILE, TILE), np.complex128)
        vertical, horizontal = self.frequencies.T
        spectrum[vertical % TILE, horizontal % TILE] = values
        spectrum[-vertical % TILE, -horizontal % TILE] = values.conj()
        tile = np.fft.ifft2(spectrum).real
        unit: NDArray[np.float32] = (tile / tile.std()).astype(np.float32)
        return unit

    def soft_values(self, values: Complex) -> NDArray[np.float32]:
        """Soft code values, positive meaning 1, of the complex values found at `frequencies`."""
        found = values[self._carriers]
        parts = np.stack([found.real, found.imag], axis=1).ravel()
        soft = np.bincount(self._bit_of, parts[self._dealt] * self._signs, self._bits)
        return soft.astype(np.float32)
