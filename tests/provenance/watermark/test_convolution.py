from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from provenance.watermark.convolution import CONSTRAINT_LENGTH, GENERATORS, coded_length, decode, encode

BITS = 96
bit_lists = st.lists(st.integers(0, 1), min_size=BITS, max_size=BITS)


def soft(code: np.ndarray) -> np.ndarray:
    return (2.0 * code - 1.0).astype(np.float32)


def reference_encode(message: list[int]) -> list[int]:
    """The textbook's shift register, one bit at a time."""
    register, code = 0, []
    for bit in message + [0] * (CONSTRAINT_LENGTH - 1):
        register = ((register << 1) | bit) & ((1 << CONSTRAINT_LENGTH) - 1)
        code += [(register & generator).bit_count() & 1 for generator in GENERATORS]
    return code


@given(bit_lists)
def test_the_encoder_is_the_textbooks(message: list[int]) -> None:
    assert encode(np.array(message, np.uint8)).tolist() == reference_encode(message)


@settings(deadline=None)
@given(bit_lists, st.integers(0, 2**32 - 1))
def test_eleven_wrong_bits_anywhere_are_corrected(message: list[int], seed: int) -> None:
    """The free distance is 24: any eleven errors are fewer than half of it."""
    code = soft(encode(np.array(message, np.uint8)))
    wrong = np.random.default_rng(seed).choice(code.size, 11, replace=False)
    code[wrong] *= -1
    assert decode(code[None])[0].tolist() == message


def test_the_free_distance_is_24() -> None:
    """Lightest code word that leaves the zero state and returns, over all short messages."""
    messages = [[int(b) for b in f"{number:b}"] + [0] * 20 for number in range(1, 2048)]
    assert min(int(encode(np.array(message, np.uint8)).sum()) for message in messages) == 24


def test_erasures_of_two_thirds_are_filled() -> None:
    rng = np.random.default_rng(1)
    message = rng.integers(0, 2, BITS).astype(np.uint8)
    code = soft(encode(message))
    code[rng.random(code.size) < 0.6] = 0.0
    assert decode(code[None])[0].tolist() == message.tolist()


def test_hypotheses_do_not_mix() -> None:
    rng = np.random.default_rng(2)
    messages = rng.integers(0, 2, (5, BITS)).astype(np.uint8)
    codes = np.stack([soft(encode(message)) for message in messages])
    assert (decode(codes) == messages).all()


def test_the_length_includes_the_tail() -> None:
    assert encode(np.zeros(BITS, np.uint8)).size == coded_length(BITS) == (BITS + 8) * 4
