"""Decoding in a bounded worker: a process of its own that may crash, run out of memory or be killed.

Frames on the worker's standard streams are a 4-byte big-endian length and that many bytes. A request is the image;
an answer is a JSON header frame and, on success, a frame of raw pixels. No pickle: a worker that was taken over by a
hostile file must not be able to run code in the service.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import selectors
import struct
import subprocess
import sys
import threading
import time
from typing import IO, Any

import numpy as np

from api.decoding import DecodedImage, DecodeLimits, decode
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError

_LENGTH = struct.Struct(">I")
_ERRORS: dict[str, type[InvalidInputError]] = {
    "undecodable_image": UndecodableImageError,
    "image_too_large": ImageTooLargeError,
}
_MEMORY_BYTES_A_PIXEL = 16  # decoded source, RGBA copy, RGB copy, and codec buffers
_MEMORY_FLOOR_BYTES = 1 << 30


class DecodeWorker:
    """Decodes in a child process with a memory and a time limit; a dead child is replaced. Thread-safe."""

    def __init__(self, limits: DecodeLimits, *, timeout_s: float = 20.0) -> None:
        self._limits = limits
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def decode(self, data: bytes) -> DecodedImage:
        """Decode one still image; see `api.decoding.decode`.

        Raises:
            UndecodableImageError: also when the worker died on the file.
            ImageTooLargeError: also when decoding took longer or more memory than is allowed.
        """
        if len(data) > self._limits.max_bytes:
            raise ImageTooLargeError(f"file has {len(data)} bytes; at most {self._limits.max_bytes} are accepted")
        with self._lock:
            deadline = time.monotonic() + self._timeout_s
            try:
                header, raw = self._exchange(data, deadline)
            except TimeoutError as error:
                self._kill()
                raise ImageTooLargeError(f"decoding took longer than {self._timeout_s:g} s and was stopped") from error
            except (OSError, EOFError, ValueError) as error:
                self._kill()
                raise UndecodableImageError("the image made the decoder fail; it may be damaged") from error
        if "error" in header:
            raise _ERRORS.get(str(header["error"]), UndecodableImageError)(str(header["message"]))
        pixels = np.frombuffer(raw, dtype=np.uint8).reshape(header["height"], header["width"], 3)
        return DecodedImage(
            pixels, data, hashlib.sha256(data).hexdigest(), str(header["format"]), tuple(header["notes"])
        )

    def close(self) -> None:
        """Stop the child process."""
        with self._lock:
            self._kill()

    def _exchange(self, data: bytes, deadline: float) -> tuple[dict[str, Any], bytes]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        # The child reads its whole input before it answers, so this cannot dead-lock; a hung child is killed.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), process.kill)
        watchdog.start()
        try:
            process.stdin.write(_LENGTH.pack(len(data)) + data)
            process.stdin.flush()
        finally:
            watchdog.cancel()
        header = json.loads(_read_frame(process.stdout, deadline))
        if not isinstance(header, dict):
            raise ValueError("worker's header is no object")
        return header, b"" if "error" in header else _read_frame(process.stdout, deadline)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            memory = max(_MEMORY_FLOOR_BYTES, self._limits.max_pixels * _MEMORY_BYTES_A_PIXEL)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api.decode_worker", str(memory),
                 str(self._limits.max_bytes), str(self._limits.max_pixels)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        return self._process

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _read_frame(stream: IO[bytes], deadline: float) -> bytes:
    (length,) = _LENGTH.unpack(_read_exactly(stream, _LENGTH.size, deadline))
    return _read_exactly(stream, length, deadline)


def _read_exactly(stream: IO[bytes], count: int, deadline: float) -> bytes:
    """Read `count` bytes from an unbuffered pipe before `deadline` (monotonic seconds)."""
    parts = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(parts) < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not selector.select(remaining):
                raise TimeoutError
            chunk = os.read(stream.fileno(), min(count - len(parts), 1 << 20))
            if not chunk:
                raise EOFError("the worker ended")
            parts += chunk
    return bytes(parts)


def _serve(memory_bytes: int, limits: DecodeLimits) -> None:
    """The child's loop: one request, one answer, until its input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while prefix := source.read(_LENGTH.size):
        data = source.read(_LENGTH.unpack(prefix)[0])
        frames: list[bytes]
        try:
            image = decode(data, limits)
        except InvalidInputError as error:
            frames = [json.dumps({"error": error.code, "message": error.message}).encode()]
        else:
            header = {
                "width": image.width,
                "height": image.height,
                "format": image.format,
                "notes": image.notes,
            }
            frames = [json.dumps(header).encode(), image.pixels.tobytes()]
        for frame in frames:
            sink.write(_LENGTH.pack(len(frame)) + frame)
        sink.flush()


if __name__ == "__main__":
    _serve(int(sys.argv[1]), DecodeLimits(max_bytes=int(sys.argv[2]), max_pixels=int(sys.argv[3])))
