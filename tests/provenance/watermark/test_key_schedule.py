from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from provenance.watermark.key_schedule import MESSAGE_BITS, checked_payload, message, spreading

SECRET = bytes(range(32))


def test_a_key_means_the_same_for_ever() -> None:
    """Pictures that were marked years ago must stay readable: these numbers may never change."""
    spread = spreading(SECRET, 4096, 3, 416)
    assert spread.carriers[0].tolist() == PINNED_CARRIERS
    assert spread.signs[0].astype(int).tolist() == PINNED_SIGNS
    assert np.packbits(message(SECRET, 0x1122334455667788)).tobytes().hex() == PINNED_MESSAGE


PINNED_CARRIERS = [2701, 272, 133, 8083, 8859, 3488, 8300, 2607, 7328]
PINNED_SIGNS = [-1, -1, -1, 1, -1, -1, -1, 1, 1]
PINNED_MESSAGE = "11223344556677884c390677"


def test_every_block_carries_at_most_once() -> None:
    spread = spreading(SECRET, 4096, 3, 416)
    blocks = spread.carriers.ravel() // 3
    assert len(set(blocks.tolist())) == blocks.size == 9 * 416


def test_keys_share_nothing_but_chance() -> None:
    first, second = (spreading(bytes([n]) * 32, 4096, 3, 416) for n in (1, 2))
    assert np.mean(first.carriers == second.carriers) < 0.01
    assert abs(np.mean(first.signs * second.signs)) < 0.1
    assert abs(np.mean(first.signs)) < 0.1


@given(st.integers(0, 2**64 - 1))
def test_a_message_checks_under_its_key_only(payload: int) -> None:
    bits = message(SECRET, payload)
    assert bits.size == MESSAGE_BITS
    assert checked_payload(SECRET, bits) == payload
    assert checked_payload(b"another secret key", bits) is None


@given(st.integers(0, 2**64 - 1), st.integers(0, MESSAGE_BITS - 1))
def test_one_wrong_bit_fails_the_check(payload: int, position: int) -> None:
    bits = message(SECRET, payload)
    bits[position] ^= 1
    assert checked_payload(SECRET, bits) is None


def test_random_bits_fail_the_check() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        assert checked_payload(SECRET, rng.integers(0, 2, MESSAGE_BITS).astype(np.uint8)) is None
