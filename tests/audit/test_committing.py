"""How threads share transactions: who leads, who waits, who gives up, and who gets the error."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from audit.committing import GroupCommitter
from audit.errors import AuditBusyError, AuditUnavailableError
from audit.ledger.sequencer import Run
from audit.ledger.writing import EventRow


class HeldSequencer:
    """Stands for the database: its transactions last until they are let go, and then fail or succeed."""

    def __init__(self) -> None:
        self.transactions: list[list[str]] = []
        self.go = threading.Semaphore(0)
        self.error: Exception | None = None

    def run(self, rows: Sequence[EventRow] = ()) -> Run:
        self.transactions.append([row.id for row in rows])
        assert self.go.acquire(timeout=30)
        if self.error is not None:
            raise self.error
        return Run((), False)


@pytest.fixture
def sequencer() -> HeldSequencer:
    return HeldSequencer()


@pytest.fixture
def committer(sequencer: HeldSequencer) -> GroupCommitter:
    return GroupCommitter(sequencer)  # type: ignore[arg-type]


def row(name: str) -> EventRow:
    return EventRow(name, None, "failed", datetime.now(UTC), b"", b"", b"", b"", b"")


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_those_who_come_during_a_transaction_share_the_next_one(
    sequencer: HeldSequencer, committer: GroupCommitter
) -> None:
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(committer.record, [row("first")])
        wait_for(lambda: sequencer.transactions == [["first"]])
        others = [threads.submit(committer.record, [row(f"other-{n}")]) for n in range(6)]
        wait_for(lambda: len(committer._waiting) == 6)
        sequencer.go.release(2)
        for future in (first, *others):
            assert future.result(30) == {}
    assert len(sequencer.transactions) == 2
    assert sorted(sequencer.transactions[1]) == [f"other-{n}" for n in range(6)]


def test_an_error_reaches_everyone_in_the_transaction_and_nobody_else(
    sequencer: HeldSequencer, committer: GroupCommitter
) -> None:
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(committer.record, [row("first")])
        wait_for(lambda: len(sequencer.transactions) == 1)
        others = [threads.submit(committer.record, [row(f"other-{n}")]) for n in range(3)]
        wait_for(lambda: len(committer._waiting) == 3)
        sequencer.go.release()
        first.result(30)
        wait_for(lambda: len(sequencer.transactions) == 2)
        sequencer.error = AuditUnavailableError("the database is away")
        sequencer.go.release()
        errors = [future.exception(30) for future in others]
        sequencer.error = None
        sequencer.go.release()
        assert threads.submit(committer.record, [row("last")]).result(30) == {}
    assert [str(error) for error in errors] == ["the database is away"] * 3
    assert len({id(error) for error in errors}) == 3, "each thread raises an error of its own"


def test_who_waits_too_long_gives_up_and_nothing_of_it_is_stored(
    sequencer: HeldSequencer, committer: GroupCommitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("audit.committing.WAIT_TIMEOUT_SECONDS", 0.2)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(committer.record, [row("first")])
        wait_for(lambda: len(sequencer.transactions) == 1)
        with pytest.raises(AuditBusyError, match="nothing was stored"):
            committer.record([row("impatient")])
        sequencer.go.release(2)
        assert first.result(30) == {}
        assert committer.record([row("later")]) == {}
    assert sequencer.transactions == [["first"], ["later"]]


def test_a_crash_of_the_leader_is_told_to_the_others_as_unavailable(
    sequencer: HeldSequencer, committer: GroupCommitter
) -> None:
    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(committer.record, [row("first")])
        wait_for(lambda: len(sequencer.transactions) == 1)
        others = [threads.submit(committer.record, [row(f"other-{n}")]) for n in range(2)]
        wait_for(lambda: len(committer._waiting) == 2)
        sequencer.go.release()
        first.result(30)
        wait_for(lambda: len(sequencer.transactions) == 2)
        sequencer.error = RuntimeError("a fault of the program")
        sequencer.go.release()
        kinds = sorted(type(future.exception(30)).__name__ for future in others)
    assert kinds == ["AuditUnavailableError", "RuntimeError"]
