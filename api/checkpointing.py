"""Checkpoints on demand and on a schedule, stamped by a time-stamp authority where one is configured."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from api.boundaries import configured, unavailable
from api.errors import ConfigurationError, ServiceError, StampUnavailableError
from audit.errors import AuditError, StampError

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from audit.ledger import Checkpoint
    from audit.stamping import Stamp, Stamper, StampTrust

_LOGGER = logging.getLogger(__name__)


class Checkpointing:
    """Makes checkpoints and has them stamped."""

    def __init__(self, services: Imprimatur) -> None:
        self._services = services
        self._stamper = _stamper(services)

    @property
    def is_stamping(self) -> bool:
        """Whether an authority is configured."""
        return self._stamper is not None

    def checkpoint(self) -> Checkpoint:
        """A signed checkpoint of everything recorded so far."""
        with unavailable():
            return self._services.log.checkpoint()

    def stamped(self) -> Stamp:
        """The newest checkpoint with its stamp; asks the authority if it has none yet.

        Raises:
            ConfigurationError: no authority is configured, or its answer does not verify.
            StampUnavailableError: it does not answer.
        """
        if self._stamper is None:
            raise ConfigurationError("no time-stamp authority is configured; set IMPRIMATUR_TIME_STAMP_URL")
        signed = self.checkpoint()
        if signed.size == 0:
            raise ConfigurationError("nothing is recorded yet, so there is nothing to stamp")
        try:
            with unavailable():
                stored = self.stamps(size=signed.size)
                if stored:
                    return stored[0]
                return self._stamper.stamp(signed)
        except StampError as error:
            raise StampUnavailableError(str(error)) from error

    def stamps(self, *, size: int | None = None, limit: int = 100) -> list[Stamp]:
        """Stamps that are kept, newest first, each verified again."""
        from audit.stamping import stored_stamps

        trust = stamp_trust(self._services)
        with unavailable():
            stored = stored_stamps(
                self._services.database.engine, self._services.log.public_key, size=size, limit=limit
            )
        return [trust.verify(response, signed) for signed, response in stored]


class CheckpointSchedule:
    """A thread that sees to it, at intervals, that nothing waits for its place and the newest checkpoint is stamped.

    What it cannot do now it tries again at the next interval; the log's own service does not depend on it.
    """

    def __init__(self, services: Imprimatur) -> None:
        self._services = services
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Ends it; waits for what it is doing."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def tick(self) -> None:
        """One round: what a killed process left waiting gets its place, and the newest checkpoint a stamp."""
        services = self._services
        try:
            services.login_failures.flush()
            if services.checkpointing.is_stamping:
                services.checkpointing.stamped()
            else:
                services.checkpointing.checkpoint()
        except (ServiceError, AuditError) as error:
            _LOGGER.warning("scheduled checkpoint: %s", error)

    def _run(self) -> None:
        while not self._stop.wait(self._services.settings.checkpoint_interval_s):
            self.tick()


def stamp_trust(services: Imprimatur) -> StampTrust:
    """The authorities whose stamps on checkpoints are believed.

    Raises:
        ConfigurationError: no roots are configured.
    """
    from audit.stamping import StampTrust

    path = services.settings.time_stamp_anchors
    if path is None:
        raise ConfigurationError(
            "whose time stamps are to be believed is not configured; name the authority's root certificates in"
            " IMPRIMATUR_TIME_STAMP_ANCHORS"
        )
    with configured():
        return StampTrust.load(path)


def _stamper(services: Imprimatur) -> Stamper | None:
    from audit.stamping import Stamper

    settings = services.settings
    if settings.time_stamp_url is None or settings.time_stamp_anchors is None:
        return None
    with configured():
        return Stamper(
            services.database.engine, settings.time_stamp_url, stamp_trust(services), settings.time_stamp_timeout_s
        )
