"""The bounded decoder process: it may die, hang, grow or lie, and the service goes on."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import api.decode_worker
from api.decode_worker import DecodeWorker
from api.decoding import DecodeLimits, decode
from api.errors import ImageTooLargeError, InvalidInputError, UndecodableImageError

LIMITS = DecodeLimits(max_bytes=8 * 1024 * 1024, max_pixels=4_000_000)
TIMEOUT_S = 20.0  # generous where the limit is not what is tested: the machine may be busy


def _png(seed: int = 0, size: int = 64) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


LARGE = _png(99, size=1000)  # above any pipe's capacity: writing it needs a child that reads


@pytest.fixture
def worker() -> Iterator[DecodeWorker]:
    worker = DecodeWorker(LIMITS, timeout_s=TIMEOUT_S)
    yield worker
    worker.close()


def _child(worker: DecodeWorker) -> subprocess.Popen[bytes]:
    process = worker._process
    assert process is not None
    return process


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_child_gives_the_same_as_decoding_here(worker: DecodeWorker) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGBA", (5, 3), (10, 20, 30, 0)).save(buffer, "PNG", exif=exif)

    for data in (_png(), LARGE, buffer.getvalue()):
        here, there = decode(data, LIMITS), worker.decode(data)
        np.testing.assert_array_equal(there.pixels, here.pixels)
        assert (there.sha256, there.format, there.notes) == (here.sha256, here.format, here.notes)
        assert there.source == data
        assert not there.pixels.flags.writeable


def test_errors_are_those_of_decoding_here(worker: DecodeWorker) -> None:
    for data in (b"", b"no image", _png()[:500], _png(size=2001)[:5000]):
        with pytest.raises(InvalidInputError) as here:
            decode(data, LIMITS)
        with pytest.raises(type(here.value)) as there:
            worker.decode(data)
        assert there.value.message == here.value.message


def test_one_child_serves_many_calls_and_errors(worker: DecodeWorker) -> None:
    worker.decode(_png())
    pid = _child(worker).pid
    with pytest.raises(UndecodableImageError):
        worker.decode(b"no image")
    worker.decode(_png(1))

    assert _child(worker).pid == pid


def test_too_many_bytes_never_reach_the_child(worker: DecodeWorker) -> None:
    with pytest.raises(ImageTooLargeError, match="bytes"):
        worker.decode(bytes(LIMITS.max_bytes + 1))

    assert worker._process is None


def test_a_child_killed_between_calls_is_replaced_unnoticed(worker: DecodeWorker) -> None:
    for data in (_png(), LARGE):
        worker.decode(_png())
        first = _child(worker)
        os.kill(first.pid, signal.SIGKILL)

        np.testing.assert_array_equal(worker.decode(data).pixels, decode(data, LIMITS).pixels)
        assert _child(worker).pid != first.pid


@pytest.mark.parametrize("data", [_png(), LARGE], ids=["small", "large"])
def test_a_child_killed_during_a_call_is_replaced_and_the_file_decoded(worker: DecodeWorker, data: bytes) -> None:
    worker.decode(_png())
    first = _child(worker)
    os.kill(first.pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (first.pid, signal.SIGKILL))
    killer.start()

    np.testing.assert_array_equal(worker.decode(data).pixels, decode(data, LIMITS).pixels)
    assert _child(worker).pid != first.pid


@pytest.mark.parametrize("data", [_png(), LARGE], ids=["small", "large"])
def test_a_hung_child_meets_the_time_limit_and_the_next_call_works(data: bytes) -> None:
    worker = DecodeWorker(LIMITS, timeout_s=1.5)
    with contextlib.closing(worker):
        _warm(worker)
        hung = _child(worker)
        os.kill(hung.pid, signal.SIGSTOP)
        started = time.monotonic()

        with pytest.raises(ImageTooLargeError, match=r"longer than 1\.5 s"):
            worker.decode(data)

        assert 1.4 < time.monotonic() - started < 5
        assert not _is_running(hung.pid)
        _warm(worker)


def _warm(worker: DecodeWorker) -> None:
    """Start the child, with as much time as the machine needs."""
    limit_s, worker._timeout_s = worker._timeout_s, TIMEOUT_S
    assert worker.decode(_png()).width == 64
    worker._timeout_s = limit_s


def test_a_file_that_decodes_slowly_meets_the_time_limit() -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(5).integers(0, 256, (1900, 1900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(buffer, "WEBP", lossless=True, method=0, quality=0)
    limits = DecodeLimits(max_bytes=64 * 1024 * 1024, max_pixels=4_000_000)
    worker = DecodeWorker(limits, timeout_s=0.02)
    with contextlib.closing(worker):
        _warm(worker)
        with pytest.raises(ImageTooLargeError, match="longer than"):
            worker.decode(buffer.getvalue())
        _warm(worker)


def test_a_child_that_needs_too_much_memory_gives_a_typed_error_and_the_next_call_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = DecodeLimits(max_bytes=8 * 1024 * 1024, max_pixels=100_000_000)
    monkeypatch.setattr(api.decode_worker, "_MEMORY_BYTES_A_PIXEL", 0)
    buffer = io.BytesIO()
    Image.new("RGB", (10_000, 9_900)).save(buffer, "PNG", compress_level=1)
    with contextlib.closing(DecodeWorker(limits, timeout_s=60)) as worker:
        with pytest.raises(InvalidInputError, match=r"memory|decoder fail"):
            worker.decode(buffer.getvalue())
        assert worker.decode(_png()).width == 64


def test_many_threads_share_one_worker(worker: DecodeWorker) -> None:
    files = [_png(seed, size=50 + seed) for seed in range(24)]

    with ThreadPoolExecutor(4) as pool:
        decoded = list(pool.map(worker.decode, files))

    for data, image in zip(files, decoded, strict=True):
        np.testing.assert_array_equal(image.pixels, decode(data, LIMITS).pixels)


def test_threads_go_on_while_children_are_killed_under_them(worker: DecodeWorker) -> None:
    files = [_png(seed, size=120) for seed in range(16)]
    worker.decode(files[0])

    def decoded(index: int) -> bool:
        if index in (4, 9):
            process = worker._process
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
        try:
            return bool((worker.decode(files[index]).pixels == decode(files[index], LIMITS).pixels).all())
        except InvalidInputError:
            return True  # its child was killed twice; a typed answer is what is asked for

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(decoded, range(len(files))))
    assert worker.decode(files[0]).width == 120


def test_close_leaves_no_process_and_can_be_repeated(worker: DecodeWorker) -> None:
    worker.close()
    worker.decode(_png())
    pid = _child(worker).pid
    worker.close()
    worker.close()

    assert not _is_running(pid)
    assert worker.decode(_png()).width == 64


def test_the_child_ends_when_its_service_is_killed() -> None:
    script = (
        "import sys, os, signal; from api.decode_worker import DecodeWorker; from api.decoding import DecodeLimits\n"
        "worker = DecodeWorker(DecodeLimits(), timeout_s=30)\n"
        "try: worker.decode(b'no image')\n"
        "except Exception: pass\n"
        "print(worker._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, timeout=60, check=False)
    pid = int(done.stdout)

    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(pid)


def _is_alive(pid: int) -> bool:
    """Running and not only waiting to be reaped, which in a container nobody may do."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_the_child_does_not_get_the_services_secrets(worker: DecodeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPRIMATUR_DATABASE_URL", "postgresql://user:swordfish@host/db")
    worker.decode(_png())

    environment = Path(f"/proc/{_child(worker).pid}/environ").read_bytes()
    assert b"OPENBLAS_NUM_THREADS" in environment
    assert b"swordfish" not in environment


def test_modules_in_the_working_folder_are_not_run(
    worker: DecodeWorker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json.py", "numpy.py", "PIL.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'was_run')!r}, 'w').close(); raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)

    assert worker.decode(_png()).width == 64
    assert not (tmp_path / "was_run").exists()


def _frame(body: bytes) -> bytes:
    return struct.pack(">Q", len(body)) + body


def _answer(width: Any = 1, height: Any = 1, pixels: bytes = b"abc", **more: Any) -> bytes:
    header = {"width": width, "height": height, "format": "PNG", "notes": []} | more
    return _frame(json.dumps(header).encode()) + _frame(pixels)


class _RunsCode:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.putenv, ("TAKEN_OVER_BY_A_PICKLE",)


HOSTILE = {
    "no JSON": _frame(b"\xff\xfe not json"),
    "no object": _frame(b"[1, 2]"),
    "nested deeply": _frame(b"[" * 60_000),
    "an endless header": struct.pack(">Q", 2**63) + bytes(100),
    "nothing in the header": _frame(b"{}"),
    "an error without message": _frame(b'{"error": "undecodable_image"}'),
    "an error that is no text": _frame(b'{"error": {"a": 1}, "message": 3}'),
    "negative size": _answer(width=-1, height=-3),
    "fractional size": _answer(width=1.5),
    "size as text": _answer(width="1"),
    "truth as size": _answer(width=True),
    "fewer pixels than said": _answer(width=2),
    "more pixels than said": _answer(pixels=bytes(6)),
    "pixels above the limit": _answer(width=LIMITS.max_pixels + 1),
    "gigabytes announced": _frame(json.dumps({"width": 1, "height": 1, "format": "PNG", "notes": []}).encode())
    + struct.pack(">Q", 2**40),
    "unknown format": _answer(format="<script>"),
    "notes that are no list": _answer(notes="x"),
    "notes that are no text": _answer(notes=[{"a": 1}]),
    "a pickle": _frame(pickle.dumps(_RunsCode())),
    "an ended stream": b"\0\0",
    "nothing": b"",
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_answers_give_a_typed_error_and_the_next_call_works(
    worker: DecodeWorker, hostile: str, tmp_path: Path
) -> None:
    answer = tmp_path / "answer"
    answer.write_bytes(HOSTILE[hostile])
    script = f"import sys; sys.stdin.buffer.read(8); sys.stdout.buffer.write(open({str(answer)!r}, 'rb').read())"
    taken_over = subprocess.Popen(
        [sys.executable, "-S", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    worker._process = taken_over
    fresh = worker._running
    worker._running = lambda: worker._process or fresh()  # type: ignore[method-assign]

    if hostile in ("nothing", "an ended stream"):  # like a child that died: a new one gets the file
        assert worker.decode(_png()).width == 64
    else:
        with pytest.raises(UndecodableImageError, match="made the decoder fail"):
            worker.decode(_png())
    assert taken_over.poll() is not None
    assert worker.decode(_png()).width == 64


def test_a_file_that_kills_every_child_gives_a_typed_error(
    worker: DecodeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UndecodableImageError, match="made the decoder fail"):
        worker.decode(_png())
    with pytest.raises(UndecodableImageError, match="made the decoder fail"):
        worker.decode(LARGE)
    monkeypatch.undo()

    assert worker.decode(_png()).width == 64
