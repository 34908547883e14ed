"""Decoding in a bounded process: it may crash, run out of memory or be killed; the service goes on.

A request is the image; an answer is a JSON header frame and, on success, a frame of raw pixels.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any

import numpy as np

from api.bounded_process import BoundedProcess, DiedError, Frame, Frames, TooSlowError, serve
from api.decoding import FORMATS, DecodedImage, DecodeLimits, decode
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError

_ERRORS: dict[str, type[InvalidInputError]] = {
    "undecodable_image": UndecodableImageError,
    "image_too_large": ImageTooLargeError,
}
_MEMORY_BYTES_A_PIXEL = 24  # decoded source, upright copy, colour and opacity, RGB copy, bytes, and codec buffers
_MEMORY_BASE_BYTES = 512 * 1024 * 1024  # interpreter, NumPy, Pillow and its codecs


class DecodeWorker(BoundedProcess):
    """Decodes in a child process with a memory and a time limit; a dead child is replaced. Thread-safe."""

    def __init__(self, limits: DecodeLimits, *, timeout_s: float = 20.0) -> None:
        super().__init__(
            "api.decode_worker",
            (str(limits.max_bytes), str(limits.max_pixels)),
            memory_bytes=_MEMORY_BASE_BYTES + limits.max_bytes + limits.max_pixels * _MEMORY_BYTES_A_PIXEL,
            timeout_s=timeout_s,
        )
        self._limits = limits

    def decode(self, data: bytes) -> DecodedImage:
        """Decode one still image; see `api.decoding.decode`.

        Raises:
            UndecodableImageError: also when the worker died on the file.
            ImageTooLargeError: also when decoding took longer or more memory than is allowed.
        """
        if len(data) > self._limits.max_bytes:
            raise ImageTooLargeError(f"file has {len(data)} bytes; at most {self._limits.max_bytes} are accepted")
        try:
            answer = self._ask([data], lambda frames: self._answer(frames, data))
        except TooSlowError as error:
            raise ImageTooLargeError(f"decoding took longer than {self._timeout_s:g} s and was stopped") from error
        except DiedError as error:
            raise UndecodableImageError("the image made the decoder fail; it may be damaged") from error
        if isinstance(answer, InvalidInputError):
            raise answer
        return answer

    def _answer(self, frames: Frames, data: bytes) -> DecodedImage | InvalidInputError:
        """Read an answer, trusting nothing in it; raises `ValueError` if it is none."""
        header = frames.header()
        if "error" in header:
            return _ERRORS.get(_text(header, "error"), UndecodableImageError)(_text(header, "message"))
        width, height, file_format = _count(header, "width"), _count(header, "height"), _text(header, "format")
        notes = header.get("notes")
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise ValueError("the worker's notes are no list of text")
        if width * height > self._limits.max_pixels or file_format not in FORMATS:
            raise ValueError("the worker's answer is not within the limits")
        pixels = np.frombuffer(frames.frame_of(width * height * 3), dtype=np.uint8).reshape(height, width, 3)
        pixels.setflags(write=False)
        return DecodedImage(pixels, data, hashlib.sha256(data).hexdigest(), file_format, tuple(notes))


def _text(header: dict[str, Any], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str):
        raise ValueError(f"the worker's header has no text '{name}'")
    return value


def _count(header: dict[str, Any], name: str) -> int:
    value = header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"the worker's header has no positive number '{name}'")
    return value


def _answered(data: bytes, limits: DecodeLimits) -> list[Frame]:
    """The frames of an answer; the pixels are not copied."""
    try:
        image = decode(data, limits)
    except InvalidInputError as error:
        return [json.dumps({"error": error.code, "message": error.message}).encode()]
    header = {"width": image.width, "height": image.height, "format": image.format, "notes": image.notes}
    return [json.dumps(header).encode(), image.pixels.data.cast("B")]


if __name__ == "__main__":
    _limits = DecodeLimits(max_bytes=int(sys.argv[2]), max_pixels=int(sys.argv[3]))
    serve(int(sys.argv[1]), 1, lambda request: _answered(request[0], _limits))
