"""Everything that a secret key decides about a mark: where bits go, their signs, and the check bits.

Derived with SHAKE-256 and HMAC-SHA-256, so that a key means the same on every machine and for ever; the
random generators of numpy promise no such thing.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

CHECK_BITS: Final = 32
_CHECK_BYTES: Final = CHECK_BITS // 8
PAYLOAD_BYTES: Final = 8
MESSAGE_BITS: Final = 8 * PAYLOAD_BYTES + CHECK_BITS


@dataclass(frozen=True)
class Spreading:
    """For each code bit the coefficients that carry it (code bits, repetitions), as flat indices, and ±1 signs."""

    carriers: NDArray[np.intp]
    signs: NDArray[np.float32]


def spreading(secret: bytes, blocks: int, choices: int, code_bits: int) -> Spreading:
    """Choose one of `choices` coefficients in each of `blocks` blocks, and deal them out to the code bits."""
    choice = _numbers(secret, b"coefficient", blocks) % choices
    carriers = np.arange(blocks, dtype=np.intp) * choices + choice.astype(np.intp)
    order = np.argsort(_numbers(secret, b"order", blocks), kind="stable")
    repetitions = blocks // code_bits
    dealt = carriers[order][: repetitions * code_bits].reshape(repetitions, code_bits).T
    signs = np.where(_numbers(secret, b"sign", dealt.size) & 1, 1.0, -1.0).astype(np.float32)
    return Spreading(np.ascontiguousarray(dealt), signs.reshape(dealt.shape))


def message(secret: bytes, payload: int) -> NDArray[np.uint8]:
    """The bits that are coded: the payload, then check bits that only the key's holder can compute."""
    data = payload.to_bytes(PAYLOAD_BYTES, "big")
    return np.unpackbits(np.frombuffer(data + _check(secret, data), np.uint8))


def checked_payload(secret: bytes, bits: NDArray[np.uint8]) -> int | None:
    """The payload of decoded bits where the check bits fit, else None.

    For bits that were decoded from anything that does not depend on the key, the check fits with probability
    2^-32 over the choice of the key, whatever the picture.
    """
    data = np.packbits(bits).tobytes()
    payload, check = data[:PAYLOAD_BYTES], data[PAYLOAD_BYTES:]
    return int.from_bytes(payload, "big") if hmac.compare_digest(check, _check(secret, payload)) else None


def _check(secret: bytes, data: bytes) -> bytes:
    return hmac.new(secret, b"imprimatur watermark 1 check" + data, hashlib.sha256).digest()[:_CHECK_BYTES]


def _numbers(secret: bytes, purpose: bytes, count: int) -> NDArray[np.uint32]:
    seed = hmac.new(secret, b"imprimatur watermark 1 " + purpose, hashlib.sha256).digest()
    return np.frombuffer(hashlib.shake_256(seed).digest(4 * count), "<u4").astype(np.uint32)
