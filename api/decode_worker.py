"""Decoding in a bounded worker: a process of its own that may crash, run out of memory or be killed.

Frames on the worker's standard streams are an 8-byte big-endian length and that many bytes. A request is the image;
an answer is a JSON header frame and, on success, a frame of raw pixels. No pickle: a worker that was taken over by a
hostile file must not be able to run code in the service. It gets none of the service's settings in its environment.
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

from api.decoding import FORMATS, DecodedImage, DecodeLimits, decode
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError

_LENGTH = struct.Struct(">Q")
_ERRORS: dict[str, type[InvalidInputError]] = {
    "undecodable_image": UndecodableImageError,
    "image_too_large": ImageTooLargeError,
}
_MEMORY_BYTES_A_PIXEL = 24  # decoded source, upright copy, colour and opacity, RGB copy, bytes, and codec buffers
_MEMORY_BASE_BYTES = 512 * 1024 * 1024  # interpreter, NumPy, Pillow and its codecs
_MAX_HEADER_BYTES = 64 * 1024
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")


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
                answer = self._exchange_with_a_living(data, deadline)
            except TimeoutError as error:
                self._kill()
                raise ImageTooLargeError(f"decoding took longer than {self._timeout_s:g} s and was stopped") from error
            except (OSError, EOFError, ValueError) as error:
                self._kill()
                raise UndecodableImageError("the image made the decoder fail; it may be damaged") from error
            except BaseException:  # interrupted half-way: the next call must not read this answer
                self._kill()
                raise
        if isinstance(answer, InvalidInputError):
            raise answer
        return answer

    def close(self) -> None:
        """Stop the child process."""
        with self._lock:
            self._kill()

    def _exchange_with_a_living(self, data: bytes, deadline: float) -> DecodedImage | InvalidInputError:
        """Exchange with the child; once more with a new one if it had died of something else than this file."""
        used_before = self._process is not None
        try:
            return self._exchange(data, deadline)
        except (BrokenPipeError, EOFError):
            if not used_before or time.monotonic() >= deadline:
                raise
        self._kill()
        return self._exchange(data, deadline)

    def _exchange(self, data: bytes, deadline: float) -> DecodedImage | InvalidInputError:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        # The child reads its whole input before it answers, so this cannot dead-lock; a hung child is killed.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), process.kill)
        watchdog.start()
        try:
            process.stdin.write(_LENGTH.pack(len(data)))
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError from error
            raise
        finally:
            watchdog.cancel()
        return self._answer(process.stdout, data, deadline)

    def _answer(self, stream: IO[bytes], data: bytes, deadline: float) -> DecodedImage | InvalidInputError:
        """Read an answer, trusting nothing in it; raises `ValueError` if it is none."""
        header = _header(_read_exactly(stream, _read_length(stream, deadline, at_most=_MAX_HEADER_BYTES), deadline))
        if "error" in header:
            return _ERRORS.get(_text(header, "error"), UndecodableImageError)(_text(header, "message"))
        width, height, file_format = _count(header, "width"), _count(header, "height"), _text(header, "format")
        notes = header.get("notes")
        if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
            raise ValueError("the worker's notes are no list of text")
        if width * height > self._limits.max_pixels or file_format not in FORMATS:
            raise ValueError("the worker's answer is not within the limits")
        size = width * height * 3
        if _read_length(stream, deadline, at_most=size) != size:
            raise ValueError("the worker's pixels are not as many as its header says")
        pixels = np.frombuffer(_read_exactly(stream, size, deadline), dtype=np.uint8).reshape(height, width, 3)
        pixels.setflags(write=False)
        return DecodedImage(pixels, data, hashlib.sha256(data).hexdigest(), file_format, tuple(notes))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            memory = _MEMORY_BASE_BYTES + self._limits.max_bytes + self._limits.max_pixels * _MEMORY_BYTES_A_PIXEL
            self._process = subprocess.Popen(
                # -P: the folder in which the service was started must not be searched for modules.
                [sys.executable, "-P", "-m", "api.decode_worker", str(memory),
                 str(self._limits.max_bytes), str(self._limits.max_pixels)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
                | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
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


def _header(frame: bytes | bytearray) -> dict[str, Any]:
    try:
        header = json.loads(frame)
    except RecursionError as error:
        raise ValueError("the worker's header is nested too deeply") from error
    if not isinstance(header, dict):
        raise ValueError("the worker's header is no object")
    return header


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


def _read_length(stream: IO[bytes], deadline: float, *, at_most: int) -> int:
    length = int(_LENGTH.unpack(_read_exactly(stream, _LENGTH.size, deadline))[0])
    if length > at_most:
        raise ValueError(f"the worker announces {length} bytes, at most {at_most} fit")
    return length


def _read_exactly(stream: IO[bytes], count: int, deadline: float) -> bytearray:
    """Read `count` bytes from an unbuffered pipe before `deadline` (monotonic seconds)."""
    parts = bytearray(count)
    done = 0
    with selectors.DefaultSelector() as selector, memoryview(parts) as view:
        selector.register(stream, selectors.EVENT_READ)
        while done < count:
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not selector.select(remaining):
                raise TimeoutError
            received = os.readv(stream.fileno(), [view[done : done + (1 << 20)]])
            if not received:
                raise EOFError("the worker ended")
            done += received
    return parts


def _serve(memory_bytes: int, limits: DecodeLimits) -> None:
    """The child's loop: one request, one answer, until its input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while prefix := source.read(_LENGTH.size):
        for frame in _answered(source.read(_LENGTH.unpack(prefix)[0]), limits):
            sink.write(_LENGTH.pack(len(frame)))
            sink.write(frame)
        sink.flush()


def _answered(data: bytes, limits: DecodeLimits) -> list[bytes | memoryview]:
    """The frames of an answer; the pixels are not copied."""
    try:
        image = decode(data, limits)
    except InvalidInputError as error:
        return [json.dumps({"error": error.code, "message": error.message}).encode()]
    header = {"width": image.width, "height": image.height, "format": image.format, "notes": image.notes}
    return [json.dumps(header).encode(), image.pixels.data.cast("B")]


if __name__ == "__main__":
    _serve(int(sys.argv[1]), DecodeLimits(max_bytes=int(sys.argv[2]), max_pixels=int(sys.argv[3])))
