from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from provenance.disclosure import DisclosureFields
from provenance.encode import ImageFormat, encode_image
from provenance.metadata import MetadataEvidence, read_disclosure
from tests.provenance.pictures import NOW, encoded, flat, textured

FIELDS = DisclosureFields("Example <Press> & Co", "Imprimatur", "0.1.0", NOW, "018f-record")
PARAMETERS = "a red apple\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1"


def png_with(key: str, text: str) -> bytes:
    info = PngInfo()
    info.add_itxt(key, text)
    return encoded(flat(0, 32), "png", pnginfo=info)


def only(data: bytes) -> MetadataEvidence:
    (evidence,) = read_disclosure(data).evidence
    return evidence


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_our_own_disclosure_is_read_back_from_every_format(image_format: ImageFormat) -> None:
    report = read_disclosure(encode_image(textured(0, 128), image_format, FIELDS))

    assert report.unique_id == "018f-record"
    assert {(e.kind, e.indicates) for e in report.evidence} == {
        ("digital_source_type", "generated"),
        ("ai_system", "unspecified"),
        ("aigc_label", "generated"),
    }
    assert not report.problems


def test_an_altered_picture_reads_as_partly_generated() -> None:
    fields = DisclosureFields("P", "S", "1", NOW, "id", created_or_altered="altered")
    first = read_disclosure(encode_image(flat(0, 64), "png", fields)).evidence[0]
    assert (first.kind, first.indicates) == ("digital_source_type", "partly_generated")


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_exiftool_reads_it_too(tmp_path: Path, image_format: ImageFormat) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed (Debian package libimage-exiftool-perl)")
    path = tmp_path / f"picture.{image_format}"
    path.write_bytes(encode_image(flat(0, 64), image_format, FIELDS))

    out = subprocess.run(["exiftool", "-json", "-XMP:all", str(path)], capture_output=True, check=True, text=True)

    (tags,) = json.loads(out.stdout)
    assert tags["DigitalSourceType"] == FIELDS.digital_source_type
    assert tags["AISystemUsed"] == "Imprimatur"
    assert tags["AISystemVersionUsed"] == "0.1.0"
    assert tags["Credit"] == FIELDS.provider
    assert tags["Identifier"] == "018f-record"
    assert tags["CreateDate"] == "2026:11:22 12:00:00Z"
    label = tags["Aigc"] if isinstance(tags["Aigc"], dict) else json.loads(tags["Aigc"])
    assert label["ProduceID"] == "018f-record"


def test_a_plain_picture_has_no_evidence() -> None:
    assert read_disclosure(encoded(flat(0, 64), "jpeg")).evidence == ()


@pytest.mark.parametrize("key", ["parameters", "prompt", "workflow", "Dream", "sd-metadata", "invokeai_metadata"])
def test_generation_parameters_in_png_text_are_evidence(key: str) -> None:
    evidence = only(png_with(key, PARAMETERS))
    assert (evidence.kind, evidence.where, evidence.indicates) == ("generation_parameters", "text", "generated")
    assert evidence.name == key


def test_a_comment_counts_only_where_it_reads_like_parameters() -> None:
    assert only(png_with("Comment", PARAMETERS)).kind == "generation_parameters"
    assert read_disclosure(png_with("Comment", "Steps: to the beach")).evidence == ()


def test_parameters_in_exif_are_evidence() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + PARAMETERS.encode("utf-16-be")
    out = io.BytesIO()
    Image.fromarray(flat(0, 32)).save(out, "JPEG", exif=exif)
    evidence = only(out.getvalue())
    assert (evidence.kind, evidence.where) == ("generation_parameters", "exif")
    assert "Sampler: Euler a" in evidence.value


@pytest.mark.parametrize(("label", "indicates"), [("1", "generated"), ("2", "unspecified"), ("3", "unspecified")])
def test_an_aigc_label_means_what_its_number_says(label: str, indicates: str) -> None:
    evidence = only(png_with("AIGC", json.dumps({"Label": label, "ContentProducer": "X"})))
    assert (evidence.kind, evidence.indicates) == ("aigc_label", indicates)


@pytest.mark.parametrize("value", ["", "no json", "[1]", "{" * 5000, '{"Label": null}'])
def test_a_broken_aigc_label_indicates_nothing(value: str) -> None:
    assert only(png_with("AIGC", value or " ")).indicates == "unspecified"


def test_a_camera_claim_in_xmp_is_told_as_what_it_is() -> None:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:e="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        'e:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/></rdf:RDF></x:xmpmeta>'
    )
    assert only(encoded(flat(0, 32), "jpeg", xmp=packet.encode())).indicates == "capture"


def test_hostile_xmp_is_a_problem_not_an_error() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "cccccccccc">]><a>&b;&b;</a>'
    report = read_disclosure(encoded(flat(0, 32), "jpeg", xmp=bomb))
    assert report.evidence == ()
    assert "document type" in report.problems[0]


def test_control_characters_in_values_are_shown_not_sent() -> None:
    assert only(png_with("parameters", "a\x1b[2Jb")).value == "a\\u{1b}[2Jb"


@given(st.binary(max_size=120))
def test_any_exif_is_read_or_reported(body: bytes) -> None:
    segment = b"Exif\0\0" + body
    read_disclosure(b"\xff\xd8\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + b"\xff\xd9")


@given(st.binary(max_size=120))
def test_tiff_headed_exif_is_read_or_reported(body: bytes) -> None:
    segment = b"Exif\0\0II*\0\x08\0\0\0" + body
    read_disclosure(b"\xff\xd8\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment + b"\xff\xd9")
