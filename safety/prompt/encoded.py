"""Spans of a text that are text in another encoding: base64, hexadecimal, percent signs, character references."""

from __future__ import annotations

import base64
import binascii
import html
import re
from urllib.parse import unquote

_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{12,}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX = re.compile(r"(?<![A-Za-z0-9])(?:0x)?((?:[0-9a-fA-F]{2}[ :]?){5,}[0-9a-fA-F]{2})(?![A-Za-z0-9])")
_PERCENT = re.compile(r"(?:%[0-9a-fA-F]{2}){2,}|%[2-7][0-9a-fA-F](?=\w)")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|amp|lt|gt|quot|apos|nbsp|shy|zwnj|zwj);")
_ESCAPE = re.compile(r"\\u\{?([0-9a-fA-F]{4,6})\}?|\\x([0-9a-fA-F]{2})")
_DECODED_LENGTH_MIN = 6
_WORDLIKE = re.compile(r"[A-Za-z][A-Za-z'-]*")
_LETTERS_SHARE_MIN = 0.75


def decode_spans(text: str) -> tuple[str, int]:
    """`text` with spans that decode to readable text replaced by it, and their number.

    A span that decodes to anything else stays as it is, so that long words, digests and file names do.
    """
    count = 0

    def replace(span: str, decoded: str | None) -> str:
        nonlocal count
        if decoded is None or decoded == span:
            return span
        count += 1
        return decoded

    text = _REFERENCE.sub(lambda match: replace(match.group(), html.unescape(match.group())), text)
    text = _ESCAPE.sub(lambda match: replace(match.group(), _character(match.group(1) or match.group(2))), text)
    text = _PERCENT.sub(lambda match: replace(match.group(), unquote(match.group(), errors="replace")), text)
    text = _HEX.sub(lambda match: replace(match.group(), _from_hex(match.group(1))), text)
    text = _BASE64.sub(lambda match: replace(match.group(), _from_base64(match.group())), text)
    return text, count


def _character(digits: str) -> str | None:
    code = int(digits, 16)
    return None if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF else chr(code)


def _from_hex(digits: str) -> str | None:
    compact = re.sub("[ :]", "", digits)
    return None if compact.isdigit() and len(compact) < 16 else _readable(bytes.fromhex(compact))


def _from_base64(span: str) -> str | None:
    standard = span.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(standard + "=" * (-len(standard) % 4), validate=True))
    except (binascii.Error, ValueError):
        return None


def _readable(content: bytes) -> str | None:
    """`content` as text if it is mostly words in ASCII."""
    try:
        text = content.decode("ascii")
    except UnicodeDecodeError:
        return None
    if len(text) < _DECODED_LENGTH_MIN or not all(c.isprintable() or c in "\n\t" for c in text):
        return None
    letters = sum(map(len, _WORDLIKE.findall(text))) + text.count(" ")
    return text if letters >= _LETTERS_SHARE_MIN * len(text) and any(c in "aeiouyAEIOUY" for c in text) else None
