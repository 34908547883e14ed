from __future__ import annotations

import io
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from provenance.containers import MAX_BLOCKS, MAX_INFLATED_BYTES, metadata_blocks

PACKET = b"<x>packet</x>"


def png(info: PngInfo) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


@pytest.mark.parametrize("compressed", [False, True])
def test_png_text_is_found_compressed_or_not(compressed: bool) -> None:
    info = PngInfo()
    info.add_text("parameters", "Steps: 20", zip=compressed)
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=compressed)

    blocks = {(block.kind, block.key): block.data for block in metadata_blocks(png(info))}

    assert blocks == {("text", "parameters"): b"Steps: 20", ("xmp", "XML:com.adobe.xmp"): PACKET}


def test_text_after_the_pixels_is_found_too() -> None:
    plain = png(PngInfo())
    end = plain.index(b"IEND") - 4
    data = plain[:end] + chunk(b"tEXt", b"parameters\0late") + plain[end:]
    assert [block.data for block in metadata_blocks(data)] == [b"late"]


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_xmp_and_exif_are_found(image_format: str) -> None:
    exif = Image.Exif()
    exif[0x0131] = "some software"
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, image_format, xmp=PACKET, exif=exif)

    blocks = {block.kind: block.data for block in metadata_blocks(out.getvalue())}

    assert blocks["xmp"] == PACKET
    assert b"some software" in blocks["exif"]


def test_a_compression_bomb_is_bounded() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(50_000_000))
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"zTXt", bomb)
    (block,) = metadata_blocks(data)
    assert len(block.data) <= MAX_INFLATED_BYTES


def test_the_number_of_blocks_is_bounded() -> None:
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"a\0b") * (MAX_BLOCKS + 100)
    assert len(metadata_blocks(data)) == MAX_BLOCKS


@settings(max_examples=300)
@given(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"RIFF\0\0\0\0WEBP", b""]), st.binary(max_size=200))
def test_any_bytes_end_quietly(start: bytes, rest: bytes) -> None:
    for block in metadata_blocks(start + rest):
        assert len(block.data) <= len(rest) + MAX_INFLATED_BYTES


@settings(max_examples=100)
@given(st.data())
def test_a_file_cut_anywhere_ends_quietly(data: st.DataObject) -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", PACKET.decode(), zip=True)
    whole = png(info)
    metadata_blocks(whole[: data.draw(st.integers(0, len(whole)))])
