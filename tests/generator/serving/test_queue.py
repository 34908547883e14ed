"""The line before the models, with an engine whose batches the test can hold, count and break."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from generator import (
    GenerationCancelledError,
    GenerationFailedError,
    GenerationRequest,
    ModelCard,
    ModelLoadError,
    Progress,
    ResolvedRequest,
)
from generator.engine import Draw, draws
from generator.errors import GenerationTimeoutError, OutOfMemoryError, QueueClosedError, QueueFullError
from generator.image import GeneratedImage
from generator.serving import Cancellation, GenerationQueue, Ticket

PATIENCE_S = 20


@dataclass
class WatchedEngine:
    """Makes grey pictures in three steps, each of which waits for the gate; breaks where it is told to."""

    gate: threading.Event = field(default_factory=threading.Event)
    started: threading.Event = field(default_factory=threading.Event)
    batches: list[list[Draw]] = field(default_factory=list)
    broken: Callable[[Sequence[Draw]], Exception | None] = lambda _batch: None

    def generate(self, request: ResolvedRequest, progress: Progress | None = None) -> list[GeneratedImage]:
        return self.draw(draws(request), progress)

    def draw(self, batch: Sequence[Draw], progress: Progress | None = None) -> list[GeneratedImage]:
        self.batches.append(list(batch))
        self.started.set()
        for step in range(3):
            assert self.gate.wait(PATIENCE_S)
            if progress is not None:
                progress(step + 1, 3)
        if error := self.broken(batch):
            raise error
        return [picture(draw, len(batch)) for draw in batch]

    def close(self) -> None:
        """Nothing to give back."""


def picture(draw: Draw, size: int) -> GeneratedImage:
    return GeneratedImage(
        pixels=np.full((8, 8, 3), draw.seed % 256, np.uint8), seed=draw.seed, index=0, model="m", model_digest="0" * 64,
        width=8, height=8, steps=3, guidance=1.0, scheduler="none", batch_size=size, threads=1, device="cpu",
        dtype="float32", elapsed_s=0.1,
    )  # fmt: skip


@pytest.fixture
def engine() -> WatchedEngine:
    return WatchedEngine()


Make = Callable[..., GenerationQueue]


@pytest.fixture
def make(engine: WatchedEngine) -> Iterator[Make]:
    made: list[GenerationQueue] = []

    def build(**changes: Any) -> GenerationQueue:
        options: dict[str, Any] = {"places": 4, "batch_size": 4, "timeout_s": PATIENCE_S, **changes}
        made.append(GenerationQueue(lambda _model: engine, **options))
        return made[-1]

    yield build
    engine.gate.set()
    for queue in made:
        queue.close()


@pytest.fixture
def asked(shipped_card: ModelCard) -> Callable[..., ResolvedRequest]:
    return lambda **changes: GenerationRequest("a dog", **{"seed": 1, **changes}).resolve(shipped_card)


Asked = Callable[..., ResolvedRequest]


def submit(queue: GenerationQueue, request: ResolvedRequest, tenant: str = "a") -> Ticket:
    with queue.admit(tenant) as place:
        return place.submit(request)


def hold_one(queue: GenerationQueue, engine: WatchedEngine, request: ResolvedRequest) -> Ticket:
    """Put a request into the line and wait until the engine works on it, so that what follows queues up behind it."""
    ticket = submit(queue, request)
    assert engine.started.wait(PATIENCE_S)
    return ticket


def test_a_request_gets_its_images_in_order_with_their_own_seeds(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    engine.gate.set()
    ticket = submit(make(batch_size=2), asked(count=5, seed=10))

    assert [image.seed for image in ticket.images()] == [10, 11, 12, 13, 14]
    assert [len(batch) for batch in engine.batches] == [2, 2, 1]


def test_compatible_requests_of_different_tenants_run_together_and_others_do_not(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    queue = make()
    held = hold_one(queue, engine, asked())
    waiting = [
        submit(queue, asked(seed=20), "a"),
        submit(queue, asked(seed=21, steps=7), "b"),
        submit(queue, asked(seed=22), "c"),
    ]
    engine.gate.set()
    images = [next(ticket.images()) for ticket in [held, *waiting]]

    assert [image.seed for image in images] == [1, 20, 21, 22]
    assert [image.batch_size for image in images] == [1, 2, 1, 2]


@pytest.mark.parametrize(
    "changes", [{"guidance": 2.5}, {"width": 256}, {"steps": 5}, {"negative_prompt": "a cat"}, {"model": "emblem"}]
)
def test_what_decides_whether_requests_go_together(asked: Asked, changes: dict[str, Any]) -> None:
    same = changes == {"model": "emblem"}

    assert (asked(**changes).batch_key == asked().batch_key) is same


def test_images_are_there_while_later_ones_are_being_made(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    queue = make(batch_size=1)
    engine.gate.set()
    images = submit(queue, asked(count=2)).images()
    engine.broken = lambda batch: engine.gate.clear() if batch[0].position == 0 else None

    assert next(images).seed == 1
    deadline = time.monotonic() + PATIENCE_S
    while len(engine.batches) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(engine.batches) == 2  # the second is being made, the first is here
    engine.gate.set()
    assert next(images).seed == 2


def test_every_step_of_every_image_is_told_in_the_callers_thread(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    engine.gate.set()
    told: list[tuple[int, int]] = []
    threads = set()

    def progress(done: int, total: int) -> None:
        told.append((done, total))
        threads.add(threading.current_thread())

    list(submit(make(), asked(count=2)).images(progress))

    assert told[-1] == (6, 6)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert threads == {threading.current_thread()}


def test_a_request_that_is_called_off_stops_at_once_and_the_others_in_its_batch_go_on(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    queue = make()
    hold_one(queue, engine, asked(steps=9))
    gone, stays = submit(queue, asked(seed=5), "a"), submit(queue, asked(seed=6), "b")
    token = Cancellation()
    token.on_cancel(gone.cancel)

    token.cancel()

    with pytest.raises(GenerationCancelledError):
        next(gone.images())
    engine.gate.set()
    assert next(stays.images()).seed == 6
    assert [draw.seed for draw in engine.batches[-1]] == [6]  # what nobody wants any more is not made


def test_work_that_nobody_wants_any_more_is_broken_off_between_steps(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    queue = make()
    ticket = hold_one(queue, engine, asked())
    ticket.cancel()
    steps: list[int] = []
    engine.broken = lambda _batch: steps.append(3)
    engine.gate.set()

    assert next(submit(queue, asked(seed=9)).images()).seed == 9
    assert len(steps) == 1  # the first was left before its end


def test_what_progress_raises_calls_the_request_off(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    engine.gate.set()
    queue = make()

    def stop(_done: int, _total: int) -> None:
        raise GenerationCancelledError("enough")

    with queue.admit("a") as place, pytest.raises(GenerationCancelledError, match="enough"):  # noqa: SIM117
        with place.submit(asked()) as ticket:
            list(ticket.images(stop))
    assert next(submit(queue, asked(seed=3)).images()).seed == 3


def test_a_request_that_waits_too_long_ends_with_a_typed_error(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    ticket = submit(make(timeout_s=0.05), asked())

    with pytest.raises(GenerationTimeoutError, match="waiting included"):
        next(ticket.images())


def test_a_full_line_says_when_to_come_back_and_lets_others_in_again_later(make: Make) -> None:
    queue = make(places=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(queue.admit("a"))
        with pytest.raises(QueueFullError) as full, queue.admit("a"):
            pytest.fail("a third was let in")
        assert full.value.retry_after_s >= 1
    with queue.admit("a"):
        pass


def test_a_tenant_that_fills_the_line_does_not_lock_the_others_out(make: Make) -> None:
    queue = make(places=4)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(queue.admit("flood"))
        with pytest.raises(QueueFullError), queue.admit("flood"):
            pytest.fail("the flood got more than the places there are")
        stack.enter_context(queue.admit("quiet"))
        with pytest.raises(QueueFullError), queue.admit("quiet"):
            pytest.fail("the extra place is for those with none")


def test_the_time_to_come_back_grows_with_the_work_that_waits(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    queue = make(places=1)
    times = []
    for count in (1, 10):
        with queue.admit("a") as place:
            ticket = place.submit(asked(count=count))
            with pytest.raises(QueueFullError) as full, queue.admit("a"):
                pytest.fail("a second was let in")
            times.append(full.value.retry_after_s)
            ticket.cancel()

    assert times[1] > times[0]


def test_short_memory_costs_speed_before_it_costs_images(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    engine.gate.set()
    engine.broken = lambda batch: OutOfMemoryError("too many at once") if len(batch) > 1 else None

    images = list(submit(make(), asked(count=3)).images())

    assert [image.seed for image in images] == [1, 2, 3]
    assert {image.batch_size for image in images} == {1}  # the record says how they were made in the end


def test_no_request_fails_for_what_it_was_batched_with(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    queue = make()
    held = hold_one(queue, engine, asked(steps=9))
    bad, good = submit(queue, asked(seed=66), "a"), submit(queue, asked(seed=7), "b")
    engine.broken = lambda batch: (
        GenerationFailedError("no numbers") if any(draw.seed == 66 for draw in batch) else None
    )
    engine.gate.set()

    assert next(held.images()).seed == 1
    with pytest.raises(GenerationFailedError, match="no numbers"):
        next(bad.images())
    assert next(good.images()).seed == 7


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OutOfMemoryError("no memory"), OutOfMemoryError),
        (ModelLoadError("no such file"), ModelLoadError),
        (ZeroDivisionError("a fault of ours"), GenerationFailedError),
    ],
)
def test_the_worker_outlives_every_failure(
    make: Make, engine: WatchedEngine, asked: Asked, error: Exception, expected: type[Exception]
) -> None:
    queue = make()
    engine.gate.set()
    engine.broken = lambda batch: error if batch[0].seed == 1 else None

    with pytest.raises(expected):
        next(submit(queue, asked()).images())
    assert next(submit(queue, asked(seed=2)).images()).seed == 2


def test_closing_fails_what_waits_and_what_runs_and_takes_nothing_more(
    make: Make, engine: WatchedEngine, asked: Asked
) -> None:
    queue = make(batch_size=1)
    running = hold_one(queue, engine, asked())
    waiting = submit(queue, asked(seed=2))
    closer = threading.Thread(target=queue.close)
    closer.start()

    with pytest.raises(QueueClosedError):
        next(waiting.images())
    engine.gate.set()
    closer.join(PATIENCE_S)
    assert not closer.is_alive()
    with pytest.raises(QueueClosedError):
        next(running.images())
    with pytest.raises(QueueClosedError):
        submit(queue, asked())


def test_many_threads_get_each_their_own_image(make: Make, engine: WatchedEngine, asked: Asked) -> None:
    engine.gate.set()
    queue = make(places=32)
    seeds: dict[int, int] = {}

    def ask(seed: int) -> None:
        with queue.admit(f"tenant-{seed % 3}") as place, place.submit(asked(seed=seed)) as ticket:
            seeds[seed] = next(ticket.images()).seed

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)

    assert seeds == {seed: seed for seed in range(32)}
    assert all(len({draw.request.batch_key for draw in batch}) == 1 for batch in engine.batches)


def test_a_request_resolved_twice_has_one_batch_key(asked: Asked) -> None:
    assert replace(asked(), prompt="a cat", seed=9).batch_key == asked().batch_key
