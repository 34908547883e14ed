"""The flow of a verification: every conclusion that holds, and never more than the evidence carries."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from api.composition import Imprimatur
from api.conclusions import CONCLUSIONS, STATEMENTS, in_order
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError
from api.generate import Order
from api.keys import Caller

NEVER_PRINTED = ("authentic", "real photo", "100 %", "guaranteed", "lawful", "compliant", "tampered")


@pytest.fixture(scope="module")
def issued(services: Imprimatur, caller: Caller) -> tuple[str, bytes]:
    """A released image: its record and its bytes."""
    from generator.request import GenerationRequest

    request = GenerationRequest(prompt="a green tree on a white background", seed=21, steps=4)
    image = services.generation.run(Order(request, caller, "png")).images[0]
    assert image.data is not None
    return image.record_id, image.data


def _statuses(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(evidence["technique"], evidence["status"]) for evidence in document["evidence"]}


def _verify(services: Imprimatur, data: bytes) -> dict[str, Any]:
    return services.verification.verify(data, services.local_caller()).to_document()


def _encoded(image: Image.Image, image_format: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.convert("RGB").save(out, image_format, **options)
    return out.getvalue()


class TestOurOwn:
    def test_the_released_file_is_issued_here_by_ledger_credential_and_mark(
        self, services: Imprimatur, issued: tuple[str, bytes]
    ) -> None:
        record_id, data = issued
        document = _verify(services, data)
        assert document["conclusion"] == "issued_here"
        assert document["record_id"] == record_id
        assert _statuses(document) >= {("ledger", "matches"), ("credential", "ours"), ("watermark", "agrees")}
        assert document["record"]["created_or_altered"] == "created"
        assert document["record"]["image_sha256"] == hashlib.sha256(data).hexdigest()

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("JPEG quality 70", lambda image: _encoded(image, quality=70)),
            ("WebP quality 75", lambda image: _encoded(image, "WEBP", quality=75)),
            (
                "half and back",
                lambda image: _encoded(
                    image.resize((256, 256)).resize((512, 512), Image.Resampling.BICUBIC), quality=85
                ),
            ),
            ("half", lambda image: _encoded(image.resize((256, 256)), "PNG")),
            ("mirrored", lambda image: _encoded(ImageOps.mirror(image), "PNG")),
            ("turned", lambda image: _encoded(image.transpose(Image.Transpose.ROTATE_90), "PNG")),
        ],
    )
    def test_a_copy_without_metadata_is_recovered_through_the_mark(
        self, services: Imprimatur, issued: tuple[str, bytes], name: str, change: Callable[[Image.Image], bytes]
    ) -> None:
        record_id, data = issued
        with Image.open(io.BytesIO(data)) as image:
            document = _verify(services, change(image))
        assert document["conclusion"] == "issued_here", name
        assert document["record_id"] == record_id
        assert ("credential", "none") in _statuses(document)

    def test_one_changed_byte_of_the_pixels_breaks_the_credential_and_the_mark_still_leads_home(
        self, services: Imprimatur, issued: tuple[str, bytes]
    ) -> None:
        _, data = issued
        with Image.open(io.BytesIO(data)) as image:
            pixels = np.array(image.convert("RGB"))
        pixels[100:110, 100:110] = 0
        altered = _with_pixels(data, pixels)
        document = _verify(services, altered)
        assert document["conclusions"][:2] == ["credential_broken", "issued_here"]

    def test_a_mark_transplanted_onto_another_picture_is_a_conflict(
        self, services: Imprimatur, issued: tuple[str, bytes], shared_data: Path
    ) -> None:
        record_id, _ = issued
        photo = sorted((shared_data / "images/real/bsds-val").glob("*.jpg"))[3]
        with Image.open(photo) as image:
            pixels = np.array(ImageOps.fit(image.convert("RGB"), (768, 512)))
        forged = services.marking.embed(pixels, services.records.get(record_id))
        document = _verify(services, _encoded(Image.fromarray(forged), "PNG"))
        assert document["conclusion"] == "conflict"
        assert document["record_id"] is None

    def test_a_laboratory_mark_leads_to_no_record(self, services: Imprimatur, issued: tuple[str, bytes]) -> None:
        pixels = np.full((512, 512, 3), 180, np.uint8)
        payload = services.marking.payload(services.records.get(issued[0]))
        marked = services.marking.laboratory.embed(pixels, payload)
        document = _verify(services, _encoded(Image.fromarray(marked), "PNG"))
        assert document["conclusion"] == "inconclusive"
        assert ("watermark", "laboratory") in _statuses(document)

    def test_a_verification_is_logged_without_the_files_digest(
        self, services: Imprimatur, issued: tuple[str, bytes]
    ) -> None:
        _, data = issued
        _verify(services, data)
        event = services.log.recent(1)[0]
        assert event.kind == "verified"
        assert hashlib.sha256(data).hexdigest() not in event.body.decode() + event.private.decode()


def _with_pixels(png: bytes, pixels: np.ndarray[Any, Any]) -> bytes:
    """The PNG with other pixels and every other chunk as it was, the credential among them."""
    fresh = _encoded(Image.fromarray(pixels), "PNG")
    old, new = _chunks(png), _chunks(fresh)
    data = [chunk for kind, chunk in new if kind == b"IDAT"]
    out, done = bytearray(png[:8]), False
    for kind, chunk in old:
        if kind != b"IDAT":
            out += chunk
        elif not done:
            out += b"".join(data)
            done = True
    return bytes(out)


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position < len(png):
        length = int.from_bytes(png[position : position + 4], "big")
        chunks.append((png[position + 4 : position + 8], png[position : position + 12 + length]))
        position += 12 + length
    return chunks


# What verification says of each of the C2PA public test files (pinned to the SDK's version in pyproject.toml).
PUBLIC_TEST_FILES: dict[str, tuple[str, set[tuple[str, str]]]] = {
    "adobe-20220124-A.jpg": ("inconclusive", {("credential", "none")}),
    "adobe-20220124-I.jpg": ("inconclusive", {("credential", "none")}),
    "adobe-20220124-C.jpg": ("inconclusive", {("credential", "intact_untrusted")}),
    "adobe-20220124-CA.jpg": ("inconclusive", {("credential", "intact_untrusted")}),
    "adobe-20220124-CAI.jpg": ("inconclusive", {("credential", "intact_untrusted")}),
    "adobe-20220124-CACA.jpg": ("inconclusive", {("credential", "intact_untrusted")}),
    "adobe-20220124-CIE-sig-CA.jpg": (
        "inconclusive",
        {("credential", "intact_untrusted"), ("credential", "ingredient_integrity_problem")},
    ),
    "adobe-20220124-E-clm-CAICAI.jpg": ("credential_broken", {("credential", "broken")}),
    "adobe-20220124-E-dat-CA.jpg": ("credential_broken", {("credential", "broken")}),
    "adobe-20220124-E-sig-CA.jpg": ("credential_broken", {("credential", "broken")}),
    "adobe-20220124-XCA.jpg": ("credential_broken", {("credential", "broken")}),
}


class TestForeignFiles:
    @pytest.mark.parametrize("name", sorted(PUBLIC_TEST_FILES))
    def test_c2pa_public_test_files(self, services: Imprimatur, shared_data: Path, name: str) -> None:
        conclusion, evidence = PUBLIC_TEST_FILES[name]
        document = _verify(services, (shared_data / "c2pa/public-testfiles" / name).read_bytes())
        assert document["conclusion"] == conclusion, document["evidence"]
        assert _statuses(document) >= evidence

    def test_every_public_test_file_has_an_expectation(self, shared_data: Path) -> None:
        files = {path.name for path in (shared_data / "c2pa/public-testfiles").glob("*.jpg")}
        assert files == set(PUBLIC_TEST_FILES)

    def test_photographs_are_inconclusive_and_never_accused(self, services: Imprimatur, shared_data: Path) -> None:
        photos = sorted((shared_data / "images/real/imagenet-sample").iterdir())[:12]
        for photo in photos:
            document = _verify(services, photo.read_bytes())
            assert document["conclusions"] == ["inconclusive"], photo.name

    @pytest.mark.parametrize(
        ("data", "error"),
        [
            (b"", UndecodableImageError),
            (b"GIF is what this is not", UndecodableImageError),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), UndecodableImageError),
        ],
    )
    def test_what_is_no_image_gets_a_typed_error_and_an_event(
        self, services: Imprimatur, data: bytes, error: type[InvalidInputError]
    ) -> None:
        with pytest.raises(error):
            _verify(services, data)
        assert services.log.recent(1)[0].kind == "rejected"

    def test_too_many_bytes_are_refused_before_decoding(self, services: Imprimatur) -> None:
        with pytest.raises(ImageTooLargeError):
            _verify(services, bytes(services.settings.max_upload_bytes + 1))


def test_conclusions_come_in_the_order_of_precedence_and_inconclusive_only_alone() -> None:
    assert in_order({"likely_ai", "credential_broken"}) == ("credential_broken", "likely_ai")
    assert in_order(()) == ("inconclusive",)
    assert CONCLUSIONS[0] == "credential_broken"


def test_statements_claim_no_more_than_evidence_carries() -> None:
    for statement in STATEMENTS.values():
        assert not any(word in statement.lower() for word in NEVER_PRINTED)
