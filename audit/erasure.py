"""Erasing from end to end: vault, events, epoch key, objects; what a crash left half done is completed at start.

The rows go and the event `erased` comes in one transaction, which also notes what remains to be done outside the
database: to destroy the old epoch key and to remove objects. When that is done, `key_destroyed` says so.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, delete, select

from audit.database import database_errors
from audit.erasing import Candidate, Erasure, RetentionRule
from audit.errors import RetentionRuleError
from audit.events import Erased, Event, EventId, KeyDestroyed, RetentionRun
from audit.holds import HOLD_KIND, LegalHolds
from audit.log import AuditLog
from audit.objects import ObjectStore
from audit.records import VaultReference
from audit.tables import vault_destructions
from audit.vault import Vault

MAX_IDS_IN_EVENT = 1000  # 38 bytes each; a body has 65,535


@dataclass(frozen=True)
class Completed:
    """What was done of an erasure outside the database.

    Args:
        epoch_keys: ids of the epoch keys that were destroyed.
        objects: files removed from the object store.
    """

    epoch_keys: tuple[str, ...]
    objects: int


@dataclass(frozen=True)
class RetentionReport:
    """What applying the rules did, or with `dry_run` would do.

    Args:
        expired: the keys whose time is over and that no hold covers.
        withheld: how many a legal hold kept.
    """

    erasure: Erasure | None
    expired: tuple[Candidate, ...]
    withheld: int
    objects: int


class Eraser:
    """Erases subjects and what retention rules no longer keep.

    Args:
        engine: of the service role.
    """

    def __init__(self, engine: Engine, log: AuditLog, vault: Vault, objects: ObjectStore, holds: LegalHolds) -> None:
        self._engine = engine
        self._log = log
        self._vault = vault
        self._objects = objects
        self._holds = holds

    def erase(self, subject: str, *, ground: str, actor: VaultReference | None = None) -> tuple[Erasure, Completed]:
        """Erases all personal data of a subject; when this returns it is gone and in the ledger.

        Raises:
            LegalHoldError: it is under legal hold; nothing was erased.
            UnknownSubjectError: the vault holds nothing of the subject.
            AuditError: as `Vault.erase`. If the old key or objects could not be removed, `complete` does it later.
        """
        written: list[EventId] = []

        def record(connection: Connection, erasure: Erasure) -> None:
            written.extend(self._record(connection, erasure, ground, actor))

        erasure = self._vault.erase(subject, holds=self._holds.covering, record=record)
        completed = self.complete()
        self._log.include_all(written)
        return erasure, completed

    def apply(
        self, rules: Sequence[RetentionRule], *, actor: VaultReference | None = None, dry_run: bool = False
    ) -> RetentionReport:
        """Erases what the rules keep no longer, and records the run.

        Raises:
            RetentionRuleError: two rules for the same kind and tenant, or one for the holds' own data.
            AuditError: as `erase`; a legal hold is no error, what it covers stays.
        """
        _check(rules)
        written: list[EventId] = []

        def record(connection: Connection, erasure: Erasure | None, withheld: int) -> None:
            body = RetentionRun(
                rules=tuple(dataclasses.asdict(rule) for rule in rules),
                expired=len(erasure.items) if erasure else 0,
                items=sum(erasure.items.values()) if erasure else 0,
                withheld=withheld,
                actor=actor,
            )
            written.append(self._log.append(Event(None, body), connection))
            if erasure is not None:
                written.extend(self._record(connection, erasure, "retention rules", actor))

        erasure, expired, withheld = self._vault.expire(
            rules, holds=self._holds.covering, record=record, dry_run=dry_run
        )  # fmt: skip
        completed = Completed((), 0) if dry_run else self.complete()
        if written:
            self._log.include_all(written)
        return RetentionReport(erasure, tuple(expired), withheld, completed.objects)

    def complete(self) -> Completed:
        """Does what committed erasures have left to do; call it at start, it ends what a crash interrupted.

        Raises:
            KeyFileError: an epoch key cannot be destroyed.
            ObjectError: the object store refuses.
        """
        with database_errors("look for erasures to complete"), self._engine.connect() as connection:
            rows = connection.execute(select(vault_destructions.c.epoch_key, vault_destructions.c.subject_id)).all()
        if not rows:
            return Completed((), 0)
        self._vault.finish_erasure()
        pending: dict[str, list[str]] = defaultdict(list)
        for epoch_key, subject_id in rows:
            pending[epoch_key].append(subject_id)
        removed = {key: sum(self._objects.erase(id) for id in ids) for key, ids in pending.items()}
        done: list[str] = []
        written: list[EventId] = []
        with database_errors("complete an erasure"), self._engine.begin() as connection:
            for key in pending:
                gone = connection.execute(delete(vault_destructions).where(vault_destructions.c.epoch_key == key))
                if gone.rowcount:  # else another process completed it at the same moment, and recorded that
                    done.append(key)
                    body = KeyDestroyed(purpose="vault epoch", key_id=key, objects=removed[key])
                    written.append(self._log.append(Event(None, body), connection))
        if written:
            self._log.include_all(written)
        return Completed(tuple(done), sum(removed[key] for key in done))

    def _record(
        self, connection: Connection, erasure: Erasure, ground: str, actor: VaultReference | None
    ) -> list[EventId]:
        """The events of an erasure: several where its ids are too many for one."""
        remaining = iter(erasure.items.items())
        written = []
        while part := dict(itertools.islice(remaining, MAX_IDS_IN_EVENT)):
            body = Erased(
                subject_ids=tuple(part),
                items=sum(part.values()),
                epoch_before=erasure.epoch_before,
                epoch_after=erasure.epoch_after,
                epoch_key=erasure.epoch_key,
                ground=ground,
                actor=actor,
            )
            written.append(self._log.append(Event(None, body), connection))
        return written


def _check(rules: Sequence[RetentionRule]) -> None:
    seen: set[tuple[str, str | None]] = set()
    for rule in rules:
        if (rule.kind, rule.tenant) in seen:
            raise RetentionRuleError(f"two rules for kind {rule.kind!r} and tenant {rule.tenant or 'all others'!r}")
        if rule.kind == HOLD_KIND or not rule.kind or rule.days < 0:
            raise RetentionRuleError(f"rule {rule} is refused: a kind other than {HOLD_KIND!r}, and 0 days or more")
        seen.add((rule.kind, rule.tenant))
