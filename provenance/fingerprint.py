"""Fingerprints of pixels: two perceptual hashes, and when two pictures agree.

The ISCC Image-Code (ISO 24138, soft-binding algorithm `io.iscc.v0`) at its full 256 bits, and a 256-bit
perceptual hash beside it; both look at low frequencies of the luma. Thresholds come from
`benchmarks/fingerprint.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from provenance.errors import FingerprintError
from provenance.pixels import Pixels, require_pixels

Verdict = Literal["agrees", "differs", "not_comparable"]

ISCC_BITS: Final = 256
PHASH_SIDE: Final = 16  # 16² = 256 bits
_ISCC_SIDE: Final = 32  # ISO 24138: the picture as 32×32 grey values

# Bits of 256. The same picture re-encoded, scaled or marked stays within AGREES in both hashes; different pictures
# are beyond DIFFERS in both. What lies between (overlays, strong edits, near-identical pictures) is not decided.
AGREES_WITHIN_BITS: Final = 24
DIFFERS_BEYOND_BITS: Final = 100

# Every quarter of an Image-Code has half of its bits set by construction (values above their median), except
# where a picture is so empty that most values are equal.
_SLICE_BYTES: Final = 8
_MINIMUM_SET_BITS: Final = 24


@dataclass(frozen=True)
class Fingerprint:
    """`iscc`: ISCC Image-Code with its prefix (`ISCC:EE…`). `phash`: perceptual hash, 64 hexadecimal digits."""

    iscc: str
    phash: str


@dataclass(frozen=True)
class Agreement:
    """Whether two fingerprints are of the same picture, with their Hamming distances in bits of 256.

    Distances are None where a picture has too little detail to have a fingerprint.
    """

    verdict: Verdict
    iscc_distance: int | None
    phash_distance: int | None


def fingerprint(pixels: Pixels) -> Fingerprint:
    """Fingerprint of uint8 RGB pixels (height, width, 3). No border is trimmed. Raises `PixelsError`."""
    import imagehash
    import iscc_core
    from PIL import Image

    image = Image.fromarray(require_pixels(pixels))
    grey = image.convert("L").resize((_ISCC_SIDE, _ISCC_SIDE), Image.Resampling.BICUBIC)
    code = iscc_core.gen_image_code_v0(list(grey.tobytes()), ISCC_BITS)
    return Fingerprint(str(code["iscc"]), str(imagehash.phash(image, hash_size=PHASH_SIDE)))


def compare(first: Fingerprint, second: Fingerprint) -> Agreement:
    """Compare two fingerprints of pictures that lie the same way (undo a mark's geometry first).

    Raises `FingerprintError` where one was not made by `fingerprint`.
    """
    codes = _code_bits(first.iscc), _code_bits(second.iscc)
    if any(_is_empty(code) for code in codes):
        return Agreement("not_comparable", None, None)
    iscc_distance = _distance(*codes)
    phash_distance = _distance(_phash_bits(first.phash), _phash_bits(second.phash))
    if max(iscc_distance, phash_distance) <= AGREES_WITHIN_BITS:
        verdict: Verdict = "agrees"
    elif min(iscc_distance, phash_distance) >= DIFFERS_BEYOND_BITS:
        verdict = "differs"
    else:
        verdict = "not_comparable"
    return Agreement(verdict, iscc_distance, phash_distance)


def image_code_bits(iscc: str) -> bytes | None:
    """The 32 bytes of an Image-Code; None where the picture is too empty to be told from others.

    Raises `FingerprintError`.
    """
    code = _code_bits(iscc)
    return None if _is_empty(code) else code


def _code_bits(iscc: str) -> bytes:
    import iscc_core

    try:
        main_type, sub_type, _, _, digest = iscc_core.iscc_decode(iscc)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise FingerprintError(f"{iscc!r} is no ISCC code ({error}).") from error
    if (main_type, sub_type) != (iscc_core.MT.CONTENT, iscc_core.ST_CC.IMAGE) or len(digest) * 8 != ISCC_BITS:
        raise FingerprintError(f"{iscc!r} is no ISCC Image-Code of {ISCC_BITS} bits.")
    return bytes(digest)


def _phash_bits(phash: str) -> bytes:
    try:
        bits = bytes.fromhex(phash)
    except ValueError as error:
        raise FingerprintError(f"{phash!r} is no perceptual hash; expected hexadecimal digits.") from error
    if len(bits) * 8 != PHASH_SIDE**2:
        raise FingerprintError(f"{phash!r} is no perceptual hash of {PHASH_SIDE**2} bits.")
    return bits


def _is_empty(code: bytes) -> bool:
    slices = (code[start : start + _SLICE_BYTES] for start in range(0, len(code), _SLICE_BYTES))
    return any(int.from_bytes(part, "big").bit_count() < _MINIMUM_SET_BITS for part in slices)


def _distance(first: bytes, second: bytes) -> int:
    difference: NDArray[np.uint8] = np.frombuffer(first, np.uint8) ^ np.frombuffer(second, np.uint8)
    return int(np.bitwise_count(difference).sum())
