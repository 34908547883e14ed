"""Just enough of JUMBF (ISO 19566-5) to take one manifest out of a manifest store."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from provenance.errors import ManifestStoreError

_HEADER: Final = struct.Struct(">I4s")
_SUPERBOX, _DESCRIPTION = b"jumb", b"jumd"
MAX_MANIFESTS: Final = 1_000


def only_active_manifest(store: bytes) -> bytes:
    """A store with the active manifest alone: the last one in it (C2PA 2.4 §11.1.4.2). Raises `ManifestStoreError`."""
    kind, content = _first_box(store)
    if kind != _SUPERBOX:
        raise ManifestStoreError("The bytes are no manifest store; expected a JUMBF superbox.")
    boxes = list(_boxes(content))
    if len(boxes) < 2 or boxes[0][0] != _DESCRIPTION:
        raise ManifestStoreError("The manifest store holds no manifest.")
    inner = boxes[0][1] + boxes[-1][1]
    return _HEADER.pack(_HEADER.size + len(inner), _SUPERBOX) + inner


def _first_box(data: bytes) -> tuple[bytes, bytes]:
    for kind, box in _boxes(data):
        return kind, box[_HEADER.size :]
    raise ManifestStoreError("The manifest store is empty.")


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and bytes (header included) of each box in a row; stores of 4 GiB and more are not read."""
    position = 0
    for _ in range(MAX_MANIFESTS):
        if position == len(data):
            return
        if position + _HEADER.size > len(data):
            break
        length, kind = _HEADER.unpack_from(data, position)
        if length < _HEADER.size or position + length > len(data):
            break
        yield kind, data[position : position + length]
        position += length
    raise ManifestStoreError("The manifest store's boxes do not fit into each other.")
