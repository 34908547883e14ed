"""Erasure, retention and legal holds as the operator asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.boundaries import unavailable
from api.errors import ConfigurationError, InvalidInputError, LegalHoldConflictError, NotFoundError
from audit.errors import LegalHoldError, RetentionRuleError, UnknownHoldError, UnknownSubjectError, VaultError

if TYPE_CHECKING:
    from api.composition import Imprimatur
    from api.keys import Caller
    from audit.erasing import Erasure
    from audit.erasure import Completed, RetentionReport
    from audit.holds import LegalHold
    from audit.records import VaultReference


class Erasing:
    """Acts of an operator on personal data; each is an event that names its actor in the vault."""

    def __init__(self, services: Imprimatur) -> None:
        from audit.erasure import Eraser
        from audit.holds import LegalHolds

        self._services = services
        engine = services.database.engine
        self._holds = LegalHolds(engine, services.vault, services.log, services.clock)
        self._eraser = Eraser(engine, services.log, services.vault, services.objects, self._holds)

    def erase(self, subject: str, *, ground: str, caller: Caller) -> tuple[Erasure, Completed]:
        """Erase all personal data of a subject.

        Raises:
            NotFoundError: the vault holds nothing of it.
            LegalHoldConflictError: it is under legal hold.
        """
        if not ground.strip():
            raise InvalidInputError("say on what ground: on whose request, or under which rule", parameter="ground")
        with _typed():
            return self._eraser.erase(subject, ground=ground.strip(), actor=self._actor(caller))

    def apply_retention(self, *, caller: Caller, dry_run: bool) -> RetentionReport:
        """Erase what the retention rules keep no longer; with `dry_run` only say what that would be."""
        from api.retention_rules import read_rules

        path = self._services.settings.retention_path
        if path is None:
            raise ConfigurationError("there are no retention rules; name their file in IMPRIMATUR_RETENTION_PATH")
        rules = read_rules(path)
        with _typed():
            actor = None if dry_run else self._actor(caller)
            return self._eraser.apply(rules, actor=actor, dry_run=dry_run)

    def place_hold(
        self, *, reason: str, caller: Caller, subject: str | None, tenant: str | None, records: Sequence[str]
    ) -> LegalHold:
        """Place a legal hold on a subject, a tenant, or records with their requests.

        Raises:
            NotFoundError: no such record.
        """
        covered = dict.fromkeys(records)
        for record_id in records:
            covered[self._services.records.get(record_id).parent_id] = None
        with _typed():
            return self._holds.place(
                reason=reason, subject=subject, tenant=tenant, records=tuple(covered), actor=self._actor(caller)
            )

    def release_hold(self, hold_id: str, *, reason: str, caller: Caller) -> None:
        """Release a legal hold. Raises `NotFoundError`."""
        with _typed():
            self._holds.release(hold_id, reason=reason, actor=self._actor(caller))

    def holds(self, *, released: bool = False) -> list[tuple[LegalHold, str | None]]:
        """Legal holds, each with the name of the subject that it covers, if it covers one."""
        with _typed():
            return [(hold, self._holds.subject_of(hold)) for hold in self._holds.list(released=released)]

    def complete(self) -> Completed:
        """Do what an interrupted erasure has left to do."""
        with _typed():
            return self._eraser.complete()

    def _actor(self, caller: Caller) -> VaultReference:
        return self._services.vault.put(caller.subject, "actor", caller.subject.encode())


@contextmanager
def _typed() -> Iterator[None]:
    try:
        with unavailable():
            yield
    except LegalHoldError as error:
        raise LegalHoldConflictError(str(error)) from error
    except (UnknownSubjectError, UnknownHoldError) as error:
        raise NotFoundError(str(error)) from error
    except RetentionRuleError as error:
        raise ConfigurationError(str(error)) from error
    except VaultError as error:
        raise InvalidInputError(str(error)) from error
