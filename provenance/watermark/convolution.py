"""The error-correcting code of the mark: rate 1/4, constraint length 9, terminated, decoded softly.

Generators 463, 535, 733, 745 (octal), free distance 24 (J. G. Proakis, Digital Communications, 4th ed.,
table 8.2-4). Decoding is maximum likelihood over soft values (Viterbi 1967).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

GENERATORS: Final = (0o463, 0o535, 0o733, 0o745)
CONSTRAINT_LENGTH: Final = 9
RATE_INVERSE: Final = len(GENERATORS)
_TAIL: Final = CONSTRAINT_LENGTH - 1
_STATES: Final = 1 << _TAIL


def coded_length(bits: int) -> int:
    """Number of code bits for `bits` message bits."""
    return (bits + _TAIL) * RATE_INVERSE


def encode(message: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Message bits (n,) of 0 and 1 → code bits (`coded_length(n)`,), the register flushed with zeros."""
    padded = np.concatenate([np.zeros(_TAIL, np.uint8), message, np.zeros(_TAIL, np.uint8)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, CONSTRAINT_LENGTH)
    # Bit k of a generator taps the input k steps back; the newest input is the last of a window.
    taps = np.array([[g >> k & 1 for k in range(_TAIL, -1, -1)] for g in GENERATORS], np.uint8)
    return ((windows @ taps.T) & 1).astype(np.uint8).ravel()


def decode(soft: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The most likely messages for soft code values (hypotheses, code bits), positive meaning 1.

    All hypotheses are decoded side by side. Returns (hypotheses, message bits).
    """
    hypotheses, length = soft.shape
    steps = length // RATE_INVERSE
    values = soft.reshape(hypotheses, steps, RATE_INVERSE)
    predecessors, outputs = _trellis()
    metric = np.full((hypotheses, _STATES), -np.inf, np.float32)
    metric[:, 0] = 0.0
    choices = np.empty((steps, hypotheses, _STATES), np.bool_)
    for step in range(steps):
        branch = values[:, step] @ outputs  # (hypotheses, 2 * states)
        first = metric[:, predecessors[0]] + branch[:, :_STATES]
        second = metric[:, predecessors[1]] + branch[:, _STATES:]
        choices[step] = second > first
        metric = np.maximum(first, second)
    return _trace_back(choices, predecessors)[:, : steps - _TAIL]


def _trellis() -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each state its two predecessors, and ±1 code bits on the two branches into it (4, 2 * states).

    A state holds the last eight inputs, the newest in its lowest bit.
    """
    states = np.arange(_STATES)
    predecessors = np.stack([states >> 1, (states >> 1) | (_STATES >> 1)])
    registers = np.concatenate([(p << 1) | (states & 1) for p in predecessors])  # nine inputs
    parity = np.array([[int(r & g).bit_count() & 1 for r in registers] for g in GENERATORS], np.float32)
    return predecessors, 2.0 * parity - 1.0


def _trace_back(choices: NDArray[np.bool_], predecessors: NDArray[np.intp]) -> NDArray[np.uint8]:
    steps, hypotheses, _ = choices.shape
    rows = np.arange(hypotheses)
    state = np.zeros(hypotheses, np.intp)  # terminated: the path ends in state zero
    bits = np.empty((hypotheses, steps), np.uint8)
    for step in range(steps - 1, -1, -1):
        bits[:, step] = state & 1
        state = predecessors[choices[step, rows, state].astype(np.intp), state]
    return bits
