"""The signer in use, exchanged without a restart when its files change, and how long its certificates last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from provenance.certificate import earliest_expiry, leaf_digest, require_profile
from provenance.errors import ProvenanceError
from provenance.signer import Signer

LOOK_EVERY_S: Final = 1.0

FileState = tuple[tuple[int, int, int] | None, ...]


class SignerSource(Protocol):
    """Gives the signer for one image: key and certificates of it belong together, whatever changes meanwhile."""

    def current(self) -> Signer: ...

    @property
    def problem(self) -> str | None:
        """Why a newer signer could not be taken into use; None where all is well."""
        ...


class SigningKeys:
    """A signer that is loaded again when one of its files changes. Thread-safe.

    A pair that does not load, or whose certificates break the profile, is not taken into use: the one before stays,
    and `problem` says why until the files are right.

    Args:
        load: makes the signer from its files or its token.
        watched: the files; looked at once a second, when somebody signs.
        changed: told of each signer that replaces another.
    """

    def __init__(
        self,
        load: Callable[[], Signer],
        watched: Sequence[Path],
        clock: Callable[[], datetime],
        *,
        changed: Callable[[Signer], None] = lambda _signer: None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the first signer. Raises `SignerError`, `CertificateProfileError`."""
        self._load = load
        self._watched = tuple(watched)
        self._clock = clock
        self._changed = changed
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._problem: str | None = None
        self._state = self._files()
        self._signer = load()
        require_profile(self._signer.certificate_chain_pem, clock())
        self._look_at = monotonic() + LOOK_EVERY_S

    @property
    def problem(self) -> str | None:
        with self._lock:
            return self._problem

    def current(self) -> Signer:
        """The signer in use now."""
        with self._lock:
            replaced = self._look() if self._monotonic() >= self._look_at else False
            signer = self._signer
        if replaced:
            self._changed(signer)
        return signer

    def _look(self) -> bool:
        self._look_at = self._monotonic() + LOOK_EVERY_S
        state = self._files()
        if state == self._state:
            return False
        try:
            signer = self._load()
            require_profile(signer.certificate_chain_pem, self._clock())
        except ProvenanceError as error:
            # The state is not kept: half-written files are tried again at the next look.
            self._problem = f"The new signing certificate is not in use: {error}"
            return False
        if self._files() != state:
            return False  # written to while it was read: tried again at the next look
        self._state, self._problem = state, None
        before, self._signer = self._signer, signer
        return leaf_digest(before.certificate_chain_pem) != leaf_digest(signer.certificate_chain_pem)

    def _files(self) -> FileState:
        return tuple(_state(path) for path in self._watched)


def expires(source: SignerSource) -> datetime:
    """When the first certificate of the chain in use ends."""
    return earliest_expiry(source.current().certificate_chain_pem)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
