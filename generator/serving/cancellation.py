"""Calling a request off, from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable

from generator.errors import GenerationCancelledError


class Cancellation:
    """Set once by whoever waits for a request; whoever works on it asks, or is told. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._listeners: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the request was called off."""
        return self._cancelled

    def cancel(self) -> None:
        """Call the request off; a second time does nothing."""
        with self._lock:
            self._cancelled = True
            listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener()

    def on_cancel(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the request is called off; at once if it was already."""
        with self._lock:
            if not self._cancelled:
                self._listeners.append(listener)
                return
        listener()

    def check(self) -> None:
        """Raise GenerationCancelledError if the request was called off."""
        if self._cancelled:
            raise GenerationCancelledError("cancelled by the caller")
