"""A thousand random places in a signed file of each format, each changed alone."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from provenance.credential import sign_credential
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.pixels import Pixels
from provenance.reader import read_credential
from provenance.signer import PemSigner
from tests.provenance.pictures import NOW, description, now, textured

PLACES = 1_000
FIELDS = DisclosureFields("Example Press", "Imprimatur", "0.1.0", NOW, "018f-record")


def shown(data: bytes) -> Pixels | None:
    """The pixels that a viewer would show; None where it shows nothing."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except Exception:  # noqa: BLE001  (viewers fail in many ways on a damaged file)
        return None


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_no_changed_picture_passes_as_intact_and_what_failed_is_named(
    signer: PemSigner, image_format: ImageFormat
) -> None:
    pixels = textured(8, 160)
    made = description(thumbnail_jpeg=thumbnail_jpeg(pixels))
    signed = sign_credential(encode_image(pixels, image_format, FIELDS), image_format, made, signer, clock=now).data
    original, before = read_credential(signed, image_format, None), shown(signed)
    assert before is not None
    random = np.random.default_rng(list(image_format.encode()))
    outcomes: Counter[str] = Counter()

    for position in random.integers(0, len(signed), PLACES):
        changed = bytearray(signed)
        changed[position] ^= int(random.integers(1, 256))
        report = read_credential(bytes(changed), image_format, None)
        outcomes[report.state] += 1
        if report.state == "invalid":
            assert report.failures, position  # which part, by its code
            assert all(failure.explanation for failure in report.failures)
        elif report.state == "valid":
            # Only what nobody signed may change unnoticed: padding, and the header beside the signature.
            assert (report.claims, report.actions, report.unique_id, report.title) == (
                original.claims, original.actions, original.unique_id, original.title,
            )  # fmt: skip
            after = shown(bytes(changed))
            assert after is None or (after == before).all(), position

    assert outcomes["invalid"] > PLACES / 2, outcomes  # a third of so small a file is the padding of its signature
    assert outcomes["trusted"] == 0
