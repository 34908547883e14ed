from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from provenance.exif import ExifTexts, read_texts


def body(software: str | None, comment: bytes | None, order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    if software is not None:
        exif[0x0131] = software
    if comment is not None:
        exif.get_ifd(0x8769)[0x9286] = comment
    return exif.tobytes().removeprefix(b"Exif\0\0")


def test_both_texts_are_read_among_other_tags() -> None:
    exif = Image.Exif()
    exif[0x010F] = "A maker"
    exif[0x0112] = 6
    exif[0x0131] = "NovelAI"
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0Steps: 20"
    exif.get_ifd(0x8769)[0x9000] = b"0232"
    assert read_texts(exif.tobytes().removeprefix(b"Exif\0\0")) == ExifTexts("NovelAI", "Steps: 20")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"UNICODE\0" + "Zoë".encode("utf-16-be"), "Zoë"),
        (b"UNICODE\0" + "Zoë".encode("utf-16-le"), "Zoë"),
        (b"\0" * 8 + b"plain", "plain"),
        (b"no code at all", "no code at all"),
        (b"ASCII\0\0\0caf\xe9", "café"),
    ],
)
def test_every_way_to_write_a_comment_is_read(raw: bytes, text: str) -> None:
    assert read_texts(body(None, raw)).user_comment == text


def test_big_endian_files_are_read() -> None:
    entry = struct.pack(">HHL", 0x0131, 2, 3) + b"ab\0\0"
    assert read_texts(b"MM\0*" + struct.pack(">LH", 8, 1) + entry).software == "ab"


@pytest.mark.parametrize("data", [b"", b"II*\0", b"XX*\0aaaa", b"II*\0\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff"])
def test_broken_bodies_have_no_text(data: bytes) -> None:
    assert read_texts(data) == ExifTexts(None, None)


@given(st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"]), st.binary(max_size=400))
def test_any_bytes_are_survived(header: bytes, rest: bytes) -> None:
    texts = read_texts(header + rest)
    assert texts.software is None or len(texts.software) <= len(rest)
