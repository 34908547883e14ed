from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from provenance.watermark.key_schedule import MESSAGE_BITS, checked_payload, message, numbers

SECRET = bytes(range(32))


def test_a_key_means_the_same_for_ever() -> None:
    """Pictures that were marked years ago must stay readable: these numbers may never change."""
    assert numbers(SECRET, b"order", 3).tolist() == PINNED_NUMBERS
    assert np.packbits(message(SECRET, 0x1122334455667788)).tobytes().hex() == PINNED_MESSAGE


PINNED_NUMBERS = [4250313252, 946926080, 1643652609]
PINNED_MESSAGE = "11223344556677884c390677"


def test_each_purpose_has_numbers_of_its_own() -> None:
    first, second = numbers(SECRET, b"order", 100), numbers(SECRET, b"sign", 100)
    assert not set(first.tolist()) & set(second.tolist())
    assert (numbers(SECRET, b"order", 10) == first[:10]).all()


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
