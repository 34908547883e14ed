"""A process of its own for what hostile bytes may break: bounded in memory and time, and replaced when it dies.

Frames on the child's standard streams are an 8-byte big-endian length and that many bytes. No pickle: a child that was
taken over by a hostile file must not be able to run code in the service. It gets none of the service's settings in its
environment.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeVar

_LENGTH = struct.Struct(">Q")
_MAX_HEADER_BYTES = 64 * 1024
_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TMPDIR")

Frame = bytes | bytearray | memoryview
Answer = TypeVar("Answer")


class TooSlowError(Exception):
    """The child did not answer in time and was killed."""


class DiedError(Exception):
    """The child died on this input, or answered nonsense, and was killed."""


class Frames:
    """What the child answers, read frame by frame before a deadline; nothing in it is trusted."""

    def __init__(self, stream: IO[bytes], deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def frame(self, *, at_most: int) -> bytearray:
        """The next frame. Raises `ValueError` where it is longer than `at_most`."""
        return self._read(self._length(at_most))

    def frame_of(self, size: int) -> bytearray:
        """The next frame, which must have exactly `size` bytes; raises `ValueError`."""
        if self._length(size) != size:
            raise ValueError("the worker's answer is not as long as its header says")
        return self._read(size)

    def header(self) -> dict[str, Any]:
        """The next frame as a JSON object; raises `ValueError`."""
        try:
            header = json.loads(self.frame(at_most=_MAX_HEADER_BYTES))
        except RecursionError as error:
            raise ValueError("the worker's header is nested too deeply") from error
        if not isinstance(header, dict):
            raise ValueError("the worker's header is no object")
        return header

    def _length(self, at_most: int) -> int:
        length = int(_LENGTH.unpack(self._read(_LENGTH.size))[0])
        if length > at_most:
            raise ValueError(f"the worker announces {length} bytes, at most {at_most} fit")
        return length

    def _read(self, count: int) -> bytearray:
        """Read `count` bytes from an unbuffered pipe before the deadline (monotonic seconds)."""
        parts = bytearray(count)
        done = 0
        with selectors.DefaultSelector() as selector, memoryview(parts) as view:
            selector.register(self._stream, selectors.EVENT_READ)
            while done < count:
                remaining = self._deadline - time.monotonic()
                if remaining <= 0 or not selector.select(remaining):
                    raise TimeoutError
                received = os.readv(self._stream.fileno(), [view[done : done + (1 << 20)]])
                if not received:
                    raise EOFError("the worker ended")
                done += received
        return parts


class BoundedProcess:
    """A child process that answers one request after the other. Thread-safe.

    Args:
        module: run as `python -m`; it calls `serve`.
        arguments: for the module, after the memory limit.
        memory_bytes: of address space.
        timeout_s: for one request.
    """

    def __init__(self, module: str, arguments: Sequence[str], *, memory_bytes: int, timeout_s: float) -> None:
        self._module = module
        self._arguments = tuple(arguments)
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop the child process."""
        with self._lock:
            self._kill()

    def _ask(self, request: Sequence[Frame], answer: Callable[[Frames], Answer]) -> Answer:
        """Send the frames of one request, and read the answer.

        Raises:
            TooSlowError, DiedError: the child was killed; the next request gets a new one.
        """
        with self._lock:
            deadline = time.monotonic() + self._timeout_s
            try:
                return self._exchange_with_a_living(request, answer, deadline)
            except TimeoutError as error:
                self._kill()
                raise TooSlowError from error
            except (OSError, EOFError, ValueError) as error:
                self._kill()
                raise DiedError from error
            except BaseException:  # interrupted half-way: the next call must not read this answer
                self._kill()
                raise

    def _exchange_with_a_living(
        self, request: Sequence[Frame], answer: Callable[[Frames], Answer], deadline: float
    ) -> Answer:
        """Exchange with the child; once more with a new one if it had died of something else than this input."""
        used_before = self._process is not None
        try:
            return self._exchange(request, answer, deadline)
        except (BrokenPipeError, EOFError):
            if not used_before or time.monotonic() >= deadline:
                raise
        self._kill()
        return self._exchange(request, answer, deadline)

    def _exchange(self, request: Sequence[Frame], answer: Callable[[Frames], Answer], deadline: float) -> Answer:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        # The child reads its whole input before it answers, so this cannot dead-lock; a hung child is killed.
        watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), process.kill)
        watchdog.start()
        try:
            for frame in request:
                process.stdin.write(_LENGTH.pack(len(frame)))
                process.stdin.write(frame)
            process.stdin.flush()
        except BrokenPipeError as error:
            if time.monotonic() >= deadline:
                raise TimeoutError from error
            raise
        finally:
            watchdog.cancel()
        return answer(Frames(process.stdout, deadline))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._process = subprocess.Popen(
                # -P: the folder in which the service was started must not be searched for modules.
                [sys.executable, "-P", "-m", self._module, str(self._memory_bytes), *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
                | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )
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


def serve(memory_bytes: int, frames: int, answered: Callable[[list[bytes]], Sequence[Frame]]) -> None:
    """The child's loop: `frames` frames of a request, the frames of an answer, until its input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while prefix := source.read(_LENGTH.size):
        request = [source.read(_LENGTH.unpack(prefix)[0])]
        while len(request) < frames:
            request.append(source.read(_LENGTH.unpack(source.read(_LENGTH.size))[0]))
        for frame in answered(request):
            sink.write(_LENGTH.pack(len(frame)))
            sink.write(frame)
        sink.flush()
