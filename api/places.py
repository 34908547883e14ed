"""How many requests may be inside at once: a bounded line before the model, so that overload is told, not felt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import BusyError


class Places:
    """Admits up to `count` requests; further ones get `BusyError`. Thread-safe."""

    def __init__(self, count: int, *, retry_after_s: int = 5) -> None:
        self._free = threading.BoundedSemaphore(count)
        self._count = count
        self._retry_after_s = retry_after_s

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold one place while the block runs.

        Raises:
            BusyError: none is free.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError(
                f"{self._count} requests wait already; try again in {self._retry_after_s} s",
                retry_after_s=self._retry_after_s,
            )
        try:
            yield
        finally:
            self._free.release()
