"""What other processes do in tests: append to the log, be killed, hold locks."""

from __future__ import annotations

import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from audit import AuditLog, LedgerKey, Vault
from audit.errors import AuditUnavailableError
from tests.audit.samples import failed

ORIGIN = "log.example/imprimatur"


def open_log(url: str, key_file: Path) -> AuditLog:
    """A log as a service process opens it."""
    key = LedgerKey.load_or_create(key_file, ORIGIN)
    return AuditLog(create_engine(url), key, lambda: datetime.now(UTC))


def record_many(url: str, key_file: Path, count: int, start: Any, results: Any) -> None:
    """Records `count` events; puts (index, size, root) of each."""
    log = open_log(url, key_file)
    start.wait()
    for number in range(count):
        _, inclusion = log.record(failed(number))
        results.put((inclusion.index, inclusion.checkpoint.size, inclusion.checkpoint.root))


def record_for_ever(url: str, key_file: Path, acknowledged: Path) -> None:
    """Records events until killed; notes each that `record` returned, durably enough for the parent to read."""
    log = open_log(url, key_file)
    with acknowledged.open("a", buffering=1) as file:
        while True:
            event_id, inclusion = log.record(failed())
            file.write(f"{event_id} {inclusion.index}\n")


def record_through_faults(url: str, key_file: Path, acknowledged: Path) -> None:
    """Records events until killed, through typed errors; notes id, index, size and root of each that was recorded.

    Any other error ends the process.
    """
    key = LedgerKey.load_or_create(key_file, ORIGIN)
    log = AuditLog(create_engine(url, pool_pre_ping=True), key, lambda: datetime.now(UTC))
    with acknowledged.open("a", buffering=1) as file:
        while True:
            try:
                event_id, inclusion = log.record(failed())
            except AuditUnavailableError:
                time.sleep(0.05)
                continue
            state = inclusion.checkpoint
            file.write(f"{event_id} {inclusion.index} {state.size} {state.root.hex()}\n")


def kill_in_transaction(url: str, key_file: Path, statement: str) -> None:
    """Appends an event, then dies by SIGKILL inside the sequencing transaction, right after a statement."""
    from audit.ledger import writing

    log = open_log(url, key_file)
    event_id = log.append(failed())
    original = getattr(writing, statement)

    def die(driver: Any, *arguments: Any, **named: Any) -> None:
        original(driver, *arguments, **named)
        driver.execute("SELECT 1").fetchone()  # the server has done what was sent
        signal.raise_signal(signal.SIGKILL)

    setattr(writing, statement, die)
    log.include(event_id)


def put_once(url: str, keys_folder: Path, subject: str, start: Any, results: Any) -> None:
    """Stores one vault item; puts its reference and the text."""
    vault = Vault(create_engine(url), keys_folder, lambda: datetime.now(UTC))
    start.wait()
    results.put(vault.put(subject, "prompt", subject.encode()))
