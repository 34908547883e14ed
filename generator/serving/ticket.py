"""What a caller holds while its request is in the line or being worked on."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from generator.engine import Progress
from generator.errors import GenerationCancelledError, GenerationTimeoutError
from generator.image import GeneratedImage
from generator.request import ResolvedRequest


class Ticket:
    """One request in the line. A context manager: leaving the block calls off what is not done.

    `deadline` is in seconds of `time.monotonic`. The worker tells it of steps, images and failures; the caller's
    thread takes them from `images`, so that nothing of the caller's runs in the worker.
    """

    def __init__(self, request: ResolvedRequest, deadline: float) -> None:
        self.request = request
        self.deadline = deadline
        self._changed = threading.Condition()
        self._images: dict[int, GeneratedImage] = {}
        self._steps_done: dict[int, int] = {}
        self._untold: deque[tuple[int, int]] = deque()
        self._error: Exception | None = None
        self._ended = False

    @property
    def wanted(self) -> bool:
        """Whether anybody still waits for the images."""
        return not self._ended and self._error is None and time.monotonic() < self.deadline

    def images(self, progress: Progress | None = None) -> Iterator[GeneratedImage]:
        """The images in order, each as soon as it and those before it are there.

        `progress` is called with (image steps done, image steps in all), in this thread; what it raises calls the
        request off.

        Raises GenerationCancelledError, GenerationTimeoutError, and what the engine raised.
        """
        for position in range(self.request.count):
            yield self._wait_for(position, progress)

    def cancel(self) -> None:
        """Call off what is not done; whoever waits in `images` gets GenerationCancelledError. From any thread."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    # -- for the worker ------------------------------------------------------------------------------------------

    def tell_steps(self, position: int, done: int, total: int) -> None:
        """`done` of `total` steps of one image are done."""
        with self._changed:
            self._steps_done[position] = done
            self._untold.append((sum(self._steps_done.values()), total * self.request.count))
            self._changed.notify_all()

    def give(self, position: int, image: GeneratedImage) -> None:
        """One image is there."""
        with self._changed:
            self._images[position] = image
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """No further image will come."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _wait_for(self, position: int, progress: Progress | None) -> GeneratedImage:
        while True:
            with self._changed:
                while not self._untold and position not in self._images:
                    self._raise_what_ended_it()
                    self._changed.wait(max(0.0, self.deadline - time.monotonic()))
                if self._ended:
                    raise GenerationCancelledError("cancelled by the caller")
                told = list(self._untold)
                self._untold.clear()
                image = self._images.pop(position, None)
            if progress is not None:
                for done, total in told:
                    progress(done, total)
            if image is not None:
                return image

    def _raise_what_ended_it(self) -> None:
        if self._ended:
            raise GenerationCancelledError("cancelled by the caller")
        if self._error is not None:
            raise self._error
        if time.monotonic() >= self.deadline:
            self._ended = True
            raise GenerationTimeoutError("the request was not done in its time, waiting included; try again later")
