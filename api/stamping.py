"""Stamps in the background what was signed while the time-stamp authority was away."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from api.errors import ServiceError

if TYPE_CHECKING:
    from api.credentials import Credentials

LOOK_EVERY_S = 30.0

_LOGGER = logging.getLogger(__name__)


class StampSchedule:
    """A thread that looks every half minute for stamps that are due. Several processes may each have one."""

    def __init__(self, credentials: Credentials, *, every_s: float = LOOK_EVERY_S) -> None:
        self._credentials = credentials
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stamp-schedule", daemon=True)

    def start(self) -> None:
        """Start looking."""
        self._thread.start()

    def close(self) -> None:
        """Stop; waits for a stamp that is under way."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            try:
                self._credentials.stamp_due()
            except ServiceError as error:  # the database is away; what is due stays due
                _LOGGER.warning("manifests could not be stamped: %s", error.message)
