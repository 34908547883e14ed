from __future__ import annotations

import numpy as np
import pytest

from provenance.errors import FingerprintError, PixelsError
from provenance.fingerprint import Fingerprint, compare, fingerprint
from provenance.pixels import Pixels
from tests.provenance.pictures import flat, recoded, resized, textured


def verdict(first: Pixels, second: Pixels) -> str:
    return compare(fingerprint(first), fingerprint(second)).verdict


@pytest.mark.parametrize("picture", [textured(1), flat(1)], ids=["textured", "flat"])
def test_a_picture_agrees_with_itself_recoded_scaled_and_brightened(picture: Pixels) -> None:
    assert verdict(picture, picture) == "agrees"
    assert verdict(picture, recoded(picture, "jpeg", 50)) == "agrees"
    assert verdict(picture, resized(picture, 170, 150)) == "agrees"
    assert verdict(picture, np.clip(picture.astype(int) + 20, 0, 255).astype(np.uint8)) == "agrees"


def test_different_pictures_differ() -> None:
    assert verdict(textured(1), textured(2)) == "differs"
    assert verdict(textured(1), flat(2)) == "differs"


def test_a_picture_in_part_covered_is_neither() -> None:
    covered = textured(1).copy()
    covered[300:400] = 255
    assert verdict(textured(1), covered) == "not_comparable"


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_empty_picture_is_not_comparable(value: int) -> None:
    empty = np.full((64, 64, 3), value, np.uint8)
    assert verdict(empty, textured(1)) == "not_comparable"
    assert verdict(empty, empty) == "not_comparable"


def test_codes_are_iscc_image_codes_of_256_bits() -> None:
    import iscc_core

    found = fingerprint(textured(1))
    main_type, sub_type, version, length, digest = iscc_core.iscc_decode(found.iscc)
    assert (main_type, sub_type, version) == (iscc_core.MT.CONTENT, iscc_core.ST_CC.IMAGE, iscc_core.VS.V0)
    assert len(digest) == 32
    assert len(found.phash) == 64
    assert length is not None


def test_distances_are_told() -> None:
    agreement = compare(fingerprint(textured(1)), fingerprint(textured(1)))
    assert (agreement.iscc_distance, agreement.phash_distance) == (0, 0)


@pytest.mark.parametrize(
    "broken",
    [
        Fingerprint("", "0" * 64),
        Fingerprint("ISCC:nonsense", "0" * 64),
        Fingerprint("ISCC:KACYPXW445FTYNJ3CYSXHAFJMA2HUWULUNRFE3BLHRSCXYH2M5AEGQY", "0" * 64),  # ISO 24138, no image
        Fingerprint(fingerprint(textured(1)).iscc, "xyz"),
        Fingerprint(fingerprint(textured(1)).iscc, "00"),
    ],
)
def test_what_is_no_fingerprint_is_a_typed_error(broken: Fingerprint) -> None:
    with pytest.raises(FingerprintError):
        compare(broken, fingerprint(textured(2)))


def test_pixels_are_required() -> None:
    with pytest.raises(PixelsError):
        fingerprint(np.zeros((4, 4), np.uint8))
