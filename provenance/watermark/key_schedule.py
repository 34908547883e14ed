"""What a secret key decides about a mark: the check bits, and the numbers that its tile is drawn from.

Derived with SHAKE-256 and HMAC-SHA-256, so that a key means the same on every machine and for ever; the
random generators of numpy promise no such thing.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

import numpy as np
from numpy.typing import NDArray

CHECK_BITS: Final = 32
_CHECK_BYTES: Final = CHECK_BITS // 8
PAYLOAD_BYTES: Final = 8
MESSAGE_BITS: Final = 8 * PAYLOAD_BYTES + CHECK_BITS


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


def numbers(secret: bytes, purpose: bytes, count: int) -> NDArray[np.uint32]:
    """`count` numbers of 32 bits that only the key's holder can compute, others for each purpose."""
    seed = hmac.new(secret, b"imprimatur watermark 1 " + purpose, hashlib.sha256).digest()
    return np.frombuffer(hashlib.shake_256(seed).digest(4 * count), "<u4").astype(np.uint32)
