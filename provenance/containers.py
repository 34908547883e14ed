"""Finding text metadata in image files without decoding a pixel; bounded on hostile input."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

MAX_BLOCKS: Final = 512
MAX_INFLATED_BYTES: Final = 1 << 20

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXIF: Final = b"Exif\0\0"
_PACKET_START: Final = b"<?xpacket begin="
_PACKET_END: Final = b"<?xpacket end="
_STANDALONE_MARKERS: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = 0xD9


@dataclass(frozen=True)
class MetadataBlock:
    """A piece of metadata: an XMP packet, an EXIF body (TIFF), or one PNG text entry (`key` names it)."""

    kind: Literal["xmp", "exif", "text"]
    key: str
    data: bytes


def metadata_blocks(image: bytes) -> tuple[MetadataBlock, ...]:
    """The metadata blocks of a file, at most `MAX_BLOCKS`; stops quietly where the file is broken."""
    if image.startswith(_PNG_SIGNATURE):
        blocks = _png(image)
    elif image.startswith(b"\xff\xd8"):
        blocks = _jpeg(image)
    elif image[:4] == b"RIFF" and image[8:12] == b"WEBP":
        blocks = _webp(image)
    elif image[:4] in (b"II*\0", b"MM\0*"):
        blocks = _tiff(image)
    elif image[4:8] == b"ftyp":
        blocks = _packets(image)
    else:
        return ()
    return tuple(block for block, _ in zip(blocks, range(MAX_BLOCKS), strict=False))


def _png(image: bytes) -> Iterator[MetadataBlock]:
    """PNG (W3C, third edition) §11.3.3: tEXt, zTXt, iTXt, eXIf."""
    position = len(_PNG_SIGNATURE)
    while position + 12 <= len(image):
        length = int.from_bytes(image[position : position + 4], "big")
        kind, body = image[position + 4 : position + 8], image[position + 8 : position + 8 + length]
        position += 12 + length
        if kind == b"eXIf":
            yield MetadataBlock("exif", "eXIf", body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            text = _png_text(kind, body)
            if text is not None:
                yield text


def _png_text(kind: bytes, body: bytes) -> MetadataBlock | None:
    keyword, separator, rest = body.partition(b"\0")
    if not separator:
        return None
    key = keyword.decode("latin-1")
    if kind == b"zTXt":
        data = _inflate(rest[1:])
    elif kind == b"iTXt":
        compressed = rest[:1] == b"\x01"
        parts = rest[2:].split(b"\0", 2)  # language tag, translated keyword, text
        data = parts[2] if len(parts) == 3 else None
        if compressed and data is not None:
            data = _inflate(data)
    else:
        data = rest
    if data is None:
        return None
    return MetadataBlock("xmp" if key == "XML:com.adobe.xmp" else "text", key, data)


def _inflate(data: bytes) -> bytes | None:
    try:
        return zlib.decompressobj().decompress(data, MAX_INFLATED_BYTES)
    except zlib.error:
        return None


def _jpeg(image: bytes) -> Iterator[MetadataBlock]:
    """JPEG marker segments (ITU-T T.81 annex B) up to the first scan."""
    position = 2
    while position + 4 <= len(image) and image[position] == 0xFF:
        marker = image[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE_MARKERS:
            position += 2
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return
        length = int.from_bytes(image[position + 2 : position + 4], "big")
        body = image[position + 4 : position + 2 + length]
        position += 2 + max(length, 2)
        if marker == 0xE1 and body.startswith(_JPEG_XMP):
            yield MetadataBlock("xmp", "APP1", body[len(_JPEG_XMP) :])
        elif marker == 0xE1 and body.startswith(_JPEG_EXIF):
            yield MetadataBlock("exif", "APP1", body[len(_JPEG_EXIF) :])
        elif marker == 0xFE:
            yield MetadataBlock("text", "Comment", body)


def _webp(image: bytes) -> Iterator[MetadataBlock]:
    """WebP container (RFC 9649 §2): `XMP ` and `EXIF` chunks."""
    position = 12
    while position + 8 <= len(image):
        kind = image[position : position + 4]
        length = int.from_bytes(image[position + 4 : position + 8], "little")
        body = image[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)
        if kind == b"XMP ":
            yield MetadataBlock("xmp", "XMP", body)
        elif kind == b"EXIF":
            yield MetadataBlock("exif", "EXIF", body.removeprefix(_JPEG_EXIF))


def _tiff(image: bytes) -> Iterator[MetadataBlock]:
    """TIFF 6.0: the file is its own EXIF body; XMP stands in it as a packet."""
    yield MetadataBlock("exif", "IFD0", image)
    yield from _packets(image)


def _packets(image: bytes) -> Iterator[MetadataBlock]:
    """XMP packets found by their markers (XMP specification part 3 §3), where a container's tables are not followed."""
    position = image.find(_PACKET_START)
    while position >= 0:
        end = image.find(_PACKET_END, position)
        if end < 0:
            return
        close = image.find(b"?>", end, end + 16)
        stop = end if close < 0 else close + 2
        yield MetadataBlock("xmp", "packet", image[position:stop])
        position = image.find(_PACKET_START, stop)
