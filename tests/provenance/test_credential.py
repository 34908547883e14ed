from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from provenance.credential import sign_credential
from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image, thumbnail_jpeg
from provenance.errors import ManifestLintError, SignerError, SigningFailedError, UnsupportedFormatError
from provenance.manifest import SPEC_VERSION, SoftBinding
from provenance.reader import read_credential
from provenance.signer import Algorithm, PemSigner
from provenance.trust import TrustList, official_trust_list
from provenance.vocabulary import (
    GENERATION_ASSERTION,
    ISCC_ALGORITHM,
    TRAINED_ALGORITHMIC_MEDIA,
    WATERMARK_ALGORITHM,
)
from tests.provenance.pictures import NOW, decoded, description, encoded, now, textured

FIELDS = DisclosureFields("Example Press", "Imprimatur", "0.1.0", NOW, "018f-record")
FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "webp", "avif", "tiff")


@dataclass(frozen=True)
class FailingSigner:
    """A key service that is away."""

    certificate_chain_pem: str
    alg: Algorithm = "es256"
    is_development: bool = False

    def sign(self, data: bytes) -> bytes:
        raise ConnectionError("the key service is away")


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_signed_image_is_intact_and_says_how_it_was_made(
    signer: PemSigner, development_trust: TrustList, image_format: ImageFormat
) -> None:
    pixels = textured(1, 256)
    signed = sign_credential(encode_image(pixels, image_format, FIELDS), image_format, description(), signer, clock=now)

    report = read_credential(signed.data, image_format, development_trust)

    assert report.state == "trusted"
    assert report.claims == ("declared_ai",)
    assert report.actions[0].digital_source_type == TRAINED_ALGORITHMIC_MEDIA
    assert report.unique_id == "018f-record"
    assert report.manifest_label == signed.manifest_label
    assert {binding.alg for binding in report.soft_bindings} == {ISCC_ALGORITHM, WATERMARK_ALGORITHM}
    assert not report.failures


def test_without_a_trust_list_our_own_image_is_valid_never_trusted(signer: PemSigner) -> None:
    signed = sign_credential(encoded(textured(), "png"), "png", description(), signer, clock=now)
    assert signed.report.state == "valid"
    assert read_credential(signed.data, "png", official_trust_list()).state == "valid"


def test_signing_changes_no_pixel(signer: PemSigner) -> None:
    image = encoded(textured(2, 256), "png")
    signed = sign_credential(image, "png", description(), signer, clock=now)
    assert (decoded(signed.data) == decoded(image)).all()


def test_every_statement_of_ours_is_a_created_assertion(signer: PemSigner) -> None:
    """A gathered one would be "somebody else's word" (C2PA 2.4 §10.2.1), and fail a conformance check."""
    signed = sign_credential(encoded(textured(), "png"), "png", description(), signer, clock=now)

    manifest = json.loads(signed.report.raw_json)["manifests"][signed.manifest_label]

    labels = {entry["label"] for entry in manifest["assertions"] if entry.get("created")}
    assert labels >= {
        "c2pa.actions.v2",
        "c2pa.ai-disclosure",
        "c2pa.soft-binding",
        "cawg.training-mining",
        GENERATION_ASSERTION,
    }
    actions = next(entry["data"] for entry in manifest["assertions"] if entry["label"] == "c2pa.actions.v2")
    assert actions["allActionsIncluded"] is True
    assert [action["action"] for action in actions["actions"]] == ["c2pa.created", "c2pa.watermarked.bound"]
    assert manifest["claim_generator_info"][0]["specVersion"] == SPEC_VERSION


def test_without_a_watermark_none_is_claimed(signer: PemSigner) -> None:
    signed = sign_credential(encoded(textured(), "png"), "png", description(soft_bindings=()), signer, clock=now)
    assert [action.action for action in signed.report.actions] == ["c2pa.created"]


def test_the_credential_adds_no_more_than_the_small_thumbnail_and_signatures(signer: PemSigner) -> None:
    pixels = textured(3, 1024)
    image = encoded(pixels, "webp", lossless=True)
    thumbnail = thumbnail_jpeg(pixels)
    signed = sign_credential(image, "webp", description(thumbnail_jpeg=thumbnail), signer, clock=now)
    assert len(signed.data) - len(image) < len(thumbnail) + 20_000


def test_a_changed_file_is_invalid_and_says_what_failed(signer: PemSigner) -> None:
    signed = sign_credential(encoded(textured(), "png"), "png", description(), signer, clock=now)
    changed = bytearray(signed.data)
    changed[-4000] ^= 1

    report = read_credential(bytes(changed), "png", None)

    assert report.state == "invalid"
    assert [failure.code for failure in report.failures] == ["assertion.dataHash.mismatch"]
    assert report.failures[0].explanation == "The file's content changed since signing."


def test_the_cause_of_a_failing_signer_is_kept(signer: PemSigner, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SignerError, match="key service is away") as caught:
        sign_credential(
            encoded(textured(), "png"), "png", description(), FailingSigner(signer.certificate_chain_pem), clock=now
        )
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert not caplog.records  # the SDK would log the error a second time


def test_a_signature_of_the_wrong_key_is_found_before_release(signer: PemSigner) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec

    impostor = PemSigner(signer.certificate_chain_pem, ec.generate_private_key(ec.SECP256R1()))
    with pytest.raises(SigningFailedError):
        sign_credential(encoded(textured(), "png"), "png", description(), impostor, clock=now)


def test_bytes_that_are_no_image_are_refused(signer: PemSigner) -> None:
    with pytest.raises(SigningFailedError, match="could not be signed"):
        sign_credential(b"no image", "png", description(), signer, clock=now)


def test_other_formats_are_refused(signer: PemSigner) -> None:
    with pytest.raises(UnsupportedFormatError, match="bmp"):
        sign_credential(b"BM", "bmp", description(), signer, clock=now)


def test_a_description_the_specification_forbids_is_not_signed(signer: PemSigner) -> None:
    unlisted = (SoftBinding("com.example.unlisted", "x"),)
    with pytest.raises(ManifestLintError):
        sign_credential(encoded(textured(), "png"), "png", description(soft_bindings=unlisted), signer, clock=now)


def test_threads_sign_side_by_side(signer: PemSigner) -> None:
    image = encoded(textured(4, 256), "jpeg")

    def sign(number: int) -> str | None:
        return sign_credential(image, "jpeg", description(unique_id=str(number)), signer, clock=now).report.unique_id

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sign, range(16))) == [str(number) for number in range(16)]
