"""Reading credentials in a bounded process: a manifest store may be a parser's bomb.

A request is three frames: a JSON header (media type, the SDK's settings), the image, and a manifest store (empty for
the image's own). An answer is a JSON header and the SDK's three JSON texts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, get_args

from api.bounded_process import BoundedProcess, DiedError, Frame, Frames, TooSlowError, serve
from provenance.raw_store import RawKind, RawStore, read_raw

_MEMORY_BASE_BYTES = 1024 * 1024 * 1024  # interpreter and the SDK's library, with room for its parsers
_COPIES_OF_THE_FILE = 6  # the SDK reads it whole, hashes it, and decompresses manifests in it
_MAX_TEXT_BYTES = 32 * 1024 * 1024
_KINDS: tuple[RawKind, ...] = get_args(RawKind)


class CredentialWorker(BoundedProcess):
    """Runs the SDK over foreign files in a child with a memory and a time limit. Thread-safe."""

    def __init__(self, max_bytes: int, *, timeout_s: float = 20.0) -> None:
        super().__init__(
            "api.credential_worker",
            (),
            memory_bytes=_MEMORY_BASE_BYTES + _COPIES_OF_THE_FILE * max_bytes,
            timeout_s=timeout_s,
        )

    def read(
        self, image: bytes, media_type: str | None, settings: Mapping[str, Any], manifest_store: bytes | None = None
    ) -> RawStore:
        """As `provenance.raw_store.read_raw`; where the child dies or dawdles it `gave_up`."""
        header = json.dumps({"media_type": media_type, "settings": settings}).encode()
        try:
            return self._ask([header, image, manifest_store or b""], _answer)
        except TooSlowError:
            return RawStore("gave_up", message=f"reading took longer than {self._timeout_s:g} s and was stopped")
        except DiedError:
            return RawStore("gave_up", message="the credential made its reader fail")


def _answer(frames: Frames) -> RawStore:
    header = frames.header()
    message = header.get("message")
    kind: RawKind | None = next((known for known in _KINDS if known == header.get("kind")), None)
    if kind is None or not isinstance(message, str):
        raise ValueError("the worker's header is not as expected")
    if kind != "store":
        return RawStore(kind, message=message)
    texts = [frames.frame(at_most=_MAX_TEXT_BYTES).decode("utf-8") for _ in range(3)]
    return RawStore("store", *texts)


def _answered(request: list[bytes]) -> list[Frame]:
    header = json.loads(request[0])
    raw = read_raw(request[1], header["media_type"], header["settings"], request[2] or None)
    texts = [text.encode() for text in (raw.summary_json, raw.detailed_json, raw.crjson)]
    shown = json.dumps({"kind": raw.kind, "message": raw.message[:1000]}).encode()
    return [shown, *texts] if raw.kind == "store" else [shown]


if __name__ == "__main__":
    serve(int(sys.argv[1]), 3, _answered)
