"""The bounded line before the model."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.errors import BusyError
from api.places import Places


def test_as_many_are_admitted_as_there_are_places() -> None:
    places = Places(2, retry_after_s=7)

    with places.take(), places.take():
        with pytest.raises(BusyError, match="2 requests wait already") as busy, places.take():
            pytest.fail("a third was admitted")
        assert busy.value.retry_after_s == 7
        assert busy.value.http_status == 429


def test_a_place_is_free_again_after_the_block() -> None:
    places = Places(1)

    for _ in range(3):
        with places.take():
            pass


def test_an_error_in_the_block_frees_its_place_and_a_refusal_frees_none() -> None:
    places = Places(1)

    with pytest.raises(ZeroDivisionError), places.take():
        raise ZeroDivisionError
    with places.take():
        for _ in range(2):
            with pytest.raises(BusyError), places.take():
                pytest.fail("two hold one place")


def test_of_many_threads_never_more_are_inside_than_places() -> None:
    places, count, callers = Places(3), 3, 12
    inside, most = 0, 0
    lock = threading.Lock()
    everyone_tried = threading.Barrier(callers)

    def call(_index: int) -> str:
        nonlocal inside, most
        try:
            with places.take():
                with lock:
                    inside += 1
                    most = max(most, inside)
                everyone_tried.wait(10)
                with lock:
                    inside -= 1
        except BusyError:
            everyone_tried.wait(10)
            return "busy"
        return "served"

    with ThreadPoolExecutor(callers) as pool:
        outcomes = list(pool.map(call, range(callers)))

    assert most == count
    assert sorted(outcomes) == ["busy"] * (callers - count) + ["served"] * count
