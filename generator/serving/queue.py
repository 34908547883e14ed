"""The line before the models of one device: bounded, fair between tenants, and run in batches by one worker."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from generator.engine import Draw, Engine, draws
from generator.errors import (
    GenerationCancelledError,
    GenerationFailedError,
    GeneratorError,
    QueueClosedError,
    QueueFullError,
    UnsupportedRequestError,
)
from generator.image import GeneratedImage
from generator.request import ResolvedRequest
from generator.serving.line import FairLine
from generator.serving.ticket import Ticket

_LOGGER = logging.getLogger(__name__)

_FIRST_GUESS_S_AN_IMAGE = 2.0
_WEIGHT_OF_NEWEST = 0.3
_LONGEST_RETRY_S = 120


@dataclass(frozen=True, slots=True)
class _Entry:
    draw: Draw
    ticket: Ticket


class GenerationQueue:
    """Admits requests, and runs their images in batches of those that go together. Thread-safe.

    Each batch is headed by the tenant whose turn it is and filled with whatever has the same `batch_key`. A batch
    that fails is tried again in halves, so that no request fails for what it was batched with, and memory that is
    short costs speed before it costs results. The worker outlives every failure.

    Args:
        engine_of: the engine of a model, by its id.
        places: requests that may be inside at once, from admission to the end of what is done with their images.
            A tenant with none inside gets one of a quarter as many extra places when the others have filled these.
        batch_size: images made together, at most.
        timeout_s: for a request, waiting included.
    """

    def __init__(self, engine_of: Callable[[str], Engine], *, places: int, batch_size: int, timeout_s: float) -> None:
        self._engine_of = engine_of
        self._places = places
        self._batch_size = batch_size
        self._timeout_s = timeout_s
        self._changed = threading.Condition()
        self._line: FairLine[_Entry] = FairLine()
        self._inside: Counter[str] = Counter()
        self._running = 0
        self._s_an_image = _FIRST_GUESS_S_AN_IMAGE
        self._worker: threading.Thread | None = None
        self._closed = False

    @contextmanager
    def admit(self, tenant: str) -> Iterator[Place]:
        """Hold one place while the block runs.

        Raises QueueFullError, which says when to come back.
        """
        with self._changed:
            inside = self._inside.total()
            extra = 0 if self._inside[tenant] else max(1, self._places // 4)
            if inside >= self._places + extra:
                retry_after_s = self._retry_after_s()
                raise QueueFullError(
                    f"{inside} requests wait already; try again in {retry_after_s} s", retry_after_s=retry_after_s
                )
            self._inside[tenant] += 1
        try:
            yield Place(self, tenant)
        finally:
            with self._changed:
                self._inside[tenant] -= 1
                if not self._inside[tenant]:
                    del self._inside[tenant]

    def close(self) -> None:
        """Fail what waits, call off what runs, and end the worker."""
        with self._changed:
            self._closed = True
            worker = self._worker
            self._line.remove(self._refuse_at_closing)
            self._changed.notify_all()
        if worker is not None:
            worker.join()

    def _submit(self, tenant: str, request: ResolvedRequest) -> Ticket:
        ticket = Ticket(request, time.monotonic() + self._timeout_s)
        with self._changed:
            if self._closed:
                raise QueueClosedError("the service is closing; nothing was generated")
            for draw in draws(request):
                self._line.add(tenant, request.batch_key, _Entry(draw, ticket))
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="generation", daemon=True)
                self._worker.start()
            self._changed.notify_all()
        return ticket

    @staticmethod
    def _refuse_at_closing(entry: _Entry) -> bool:
        entry.ticket.fail(QueueClosedError("the service is closing; nothing was generated"))
        return True

    def _retry_after_s(self) -> int:
        """When the images that are inside now will be done, as the last ones went."""
        images = max(len(self._line) + self._running, self._inside.total())
        return min(_LONGEST_RETRY_S, max(1, math.ceil(images * self._s_an_image)))

    def _work(self) -> None:
        while batch := self._next():
            started = time.monotonic()
            try:
                self._run(batch)
            except Exception as error:
                _LOGGER.exception("a batch of %d images failed", len(batch))
                named = error if isinstance(error, GeneratorError) else GenerationFailedError(repr(error))
                for entry in batch:
                    entry.ticket.fail(named)
            with self._changed:
                self._running = 0
                newest = (time.monotonic() - started) / len(batch)
                self._s_an_image += _WEIGHT_OF_NEWEST * (newest - self._s_an_image)

    def _next(self) -> list[_Entry]:
        """The next batch; empty when the queue is closed."""
        with self._changed:
            while not self._closed:
                self._line.remove(lambda entry: not entry.ticket.wanted)
                batch = self._line.take(self._batch_size)
                if batch:
                    self._running = len(batch)
                    return batch
                self._changed.wait()
        return []

    def _run(self, batch: Sequence[_Entry]) -> None:
        batch = [entry for entry in batch if entry.ticket.wanted]
        if not batch:
            return
        try:
            for entry, image in zip(batch, self._draw(batch), strict=True):
                entry.ticket.give(entry.draw.position, image)
        except GenerationCancelledError:
            return  # nobody waits any more
        except (GenerationFailedError, UnsupportedRequestError) as error:
            if len(batch) == 1:
                _LOGGER.warning("generation failed: %s", error)
                batch[0].ticket.fail(error)
                return
            _LOGGER.warning("a batch of %d failed and is tried again in halves: %s", len(batch), error)
            middle = len(batch) // 2
            self._run(batch[:middle])
            self._run(batch[middle:])

    def _draw(self, batch: Sequence[_Entry]) -> list[GeneratedImage]:
        def step_done(done: int, total: int) -> None:
            if self._closed:
                for entry in batch:
                    entry.ticket.fail(QueueClosedError("the service is closing; nothing was generated"))
            if not any(entry.ticket.wanted for entry in batch):
                raise GenerationCancelledError("nobody waits for these images any more")
            for entry in batch:
                entry.ticket.tell_steps(entry.draw.position, done, total)

        engine = self._engine_of(batch[0].draw.request.model)
        return engine.draw([entry.draw for entry in batch], step_done)


@dataclass(frozen=True, slots=True)
class Place:
    """A request's place inside; get it from `GenerationQueue.admit`."""

    _queue: GenerationQueue
    _tenant: str

    def submit(self, request: ResolvedRequest) -> Ticket:
        """Put all images of a request into the line. Raises QueueClosedError."""
        return self._queue._submit(self._tenant, request)
