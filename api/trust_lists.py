"""Changing whom verification trusts: every change is an event, and every list before it is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.boundaries import unavailable
from api.errors import InvalidInputError
from audit.events import Event, TrustListUpdated
from provenance.errors import TrustListError
from provenance.trust import AnchorKind, TrustAnchor, TrustList, anchors_of, official_trust_list

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from audit.log import AuditLog
    from provenance.trust.store import TrustStore

_ADDED = "added: "


class TrustLists:
    """Updates the lists, and adds anchors of one's own."""

    def __init__(self, engine: Engine, store: TrustStore, log: AuditLog) -> None:
        self._engine = engine
        self._store = store
        self._log = log

    def update(
        self, *, signers: Path | None, time_stamps: Path | None, name: str | None, dated: str | None
    ) -> TrustList:
        """Put newer official lists in force; anchors that were added by `add` stay.

        Args:
            signers, time_stamps: PEM files. A list that is not given stays as it is; with neither, the lists that
                ship with this program come into force again.
            name, dated: what the list is called and of which day it is.

        Raises:
            InvalidInputError: a file is no list of certificates.
        """
        before = self._current()
        if signers is None and time_stamps is None:
            official = official_trust_list()
            anchors, called, day = official.anchors, official.name, official.dated
        else:
            anchors, called, day = _official(before), name or before.name, dated or ""
            for path, kind in ((signers, "signer"), (time_stamps, "time_stamp")):
                if path is not None:
                    anchors = tuple(one for one in anchors if one.kind != kind) + _read(path, kind, path.name)  # type: ignore[arg-type]  # one of the two
        after = replace(before, anchors=anchors, name=name or called, dated=dated or day)
        after = after.with_anchors(tuple(one for one in before.anchors if one.source.startswith(_ADDED)))
        source = ", ".join(path.name for path in (signers, time_stamps) if path) or "shipped with the program"
        return self._change(before, after, source)

    def add(self, file: Path, *, kind: AnchorKind, label: str, test_only: bool) -> TrustList:
        """Trust the certificates of a PEM file as well.

        Raises:
            InvalidInputError: the file holds no certificates, or they are trusted already.
        """
        before = self._current()
        added = _read(file, kind, _ADDED + label, test_only=test_only)
        after = before.with_anchors(added)
        if after == before:
            raise InvalidInputError(f"{file.name}: these certificates are trusted already", parameter="file")
        return self._change(before, after, file.name)

    def _current(self) -> TrustList:
        with unavailable():
            return self._store.current()

    def _change(self, before: TrustList, after: TrustList, source: str) -> TrustList:
        body = TrustListUpdated(
            list=after.name, digest=after.digest, before=before.digest, anchors=len(after.anchors), source=source
        )
        with unavailable(), self._engine.begin() as connection:
            self._store.change(connection, after)
            event_id = self._log.append(Event(None, body), connection)
        with unavailable():
            self._log.include(event_id)
        return after


def _official(trust: TrustList) -> tuple[TrustAnchor, ...]:
    return tuple(one for one in trust.anchors if not one.source.startswith(_ADDED))


def _read(path: Path, kind: AnchorKind, source: str, *, test_only: bool = False) -> tuple[TrustAnchor, ...]:
    try:
        text = path.read_text("utf-8")
        return anchors_of(text, kind, source, where=path.name, test_only=test_only)
    except (OSError, UnicodeDecodeError, TrustListError) as error:
        raise InvalidInputError(f"{path}: {error}", parameter="file") from error
