"""The two EXIF entries in which image generators leave traces, read without following anything else.

Written by hand because general parsers decode every tag, and warn through global state about broken ones.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

MAX_ENTRIES: Final = 512
_SOFTWARE, _EXIF_IFD, _USER_COMMENT = 0x0131, 0x8769, 0x9286
_INLINE_BYTES: Final = 4
_ELEMENT_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1}  # EXIF 2.32 §4.6.2: BYTE, ASCII, SHORT, LONG, UNDEFINED


@dataclass(frozen=True)
class ExifTexts:
    """`software` (tag 0x0131) and `user_comment` (tag 0x9286), decoded; None where absent or broken."""

    software: str | None
    user_comment: str | None


def read_texts(tiff: bytes) -> ExifTexts:
    """Read an EXIF body that starts with its TIFF header. Never raises; broken entries count as absent."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return ExifTexts(None, None)
    first = _entries(tiff, struct.unpack_from(order + "L", tiff, 4)[0], order)
    pointer = first.get(_EXIF_IFD, b"")
    second = _entries(tiff, struct.unpack(order + "L", pointer)[0], order) if len(pointer) == 4 else {}
    software, comment = first.get(_SOFTWARE), second.get(_USER_COMMENT)
    return ExifTexts(
        None if software is None else _text(software.split(b"\0")[0]),
        None if comment is None else _user_comment(comment, order),
    )


def _entries(tiff: bytes, offset: int, order: str) -> dict[int, bytes]:
    """Raw values of one image file directory (TIFF 6.0 §2)."""
    if offset + 2 > len(tiff):
        return {}
    count = min(struct.unpack_from(order + "H", tiff, offset)[0], MAX_ENTRIES)
    values: dict[int, bytes] = {}
    for position in range(offset + 2, min(offset + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, elements = struct.unpack_from(order + "HHL", tiff, position)
        size = elements * _ELEMENT_BYTES.get(kind, 0)
        start = position + 8
        if size > _INLINE_BYTES:
            start = struct.unpack_from(order + "L", tiff, start)[0]
        value = tiff[start : start + size]
        if size and len(value) == size:
            values.setdefault(tag, value)
    return values


def _user_comment(raw: bytes, order: str) -> str:
    """EXIF 2.32 §4.6.5: eight bytes of character code, then the text."""
    code, text = raw[:8], raw[8:]
    if code.startswith(b"UNICODE"):
        # Written in the file's byte order by some, always big-endian by others: a zero byte of Latin text tells.
        little = text[1:2] == b"\0" or (text[:1] != b"\0" and order == "<")
        return text.decode("utf-16-le" if little else "utf-16-be", "replace").strip("\0 ")
    return _text(text if code.rstrip(b"\0 ") in (b"ASCII", b"") else raw).strip("\0 ")


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
