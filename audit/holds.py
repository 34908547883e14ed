"""Legal holds: what they cover can be neither erased nor expire until they are released."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, null, select, text, update

from audit.database import database_errors
from audit.erasing import Candidate, Opener
from audit.errors import ErasedError, UnknownHoldError, VaultError
from audit.events import Event, HoldPlaced, HoldReleased
from audit.log import AuditLog
from audit.records import VaultReference
from audit.tables import audit_events, legal_holds
from audit.vault import LOCK_KEY, Vault

HOLD_KIND = "hold"  # of the vault item that has the name of a held subject; no retention rule may name it
MAX_REASON_LENGTH = 1000


@dataclass(frozen=True)
class LegalHold:
    """A hold. Exactly one of `subject`, `tenant` and `records` says what it covers.

    Args:
        subject: reference to the subject's name in the vault.
        records: all data of whoever has data in these records, of the kinds and months that they have it in.
        released_at: None while it is in force.
    """

    id: str
    subject: VaultReference | None
    tenant: str | None
    records: tuple[str, ...]
    reason: str
    placed_at: datetime
    released_at: datetime | None

    @property
    def scope(self) -> str:
        """`subject`, `tenant` or `records`."""
        return "subject" if self.subject else "tenant" if self.tenant is not None else "records"


class LegalHolds:
    """Places, lists and releases holds, each with its event.

    Args:
        engine: of the service role.
    """

    def __init__(self, engine: Engine, vault: Vault, log: AuditLog, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._vault = vault
        self._log = log
        self._clock = clock

    def place(
        self,
        *,
        reason: str,
        subject: str | None = None,
        tenant: str | None = None,
        records: Sequence[str] = (),
        actor: VaultReference | None = None,
    ) -> LegalHold:
        """Places a hold on a subject, a tenant or records; give one of the three.

        Raises:
            VaultError: none or several are given, or the reason is empty or too long.
            AuditUnavailableError: as the database says.
        """
        if sum([subject is not None, tenant is not None, bool(records)]) != 1:
            raise VaultError("a legal hold covers one subject, one tenant, or records; give one of the three")
        reason = _checked_reason(reason)
        with database_errors("place a legal hold"), self._engine.begin() as connection:
            # As writers of the vault do: an erasure that is under way comes first, later ones see the hold.
            connection.execute(text("SELECT pg_advisory_xact_lock_shared(:key)"), {"key": LOCK_KEY})
            name = None if subject is None else self._vault.put(subject, HOLD_KIND, subject.encode(), connection)
            hold = LegalHold(str(uuid.uuid4()), name, tenant, tuple(records), reason, self._clock(), None)
            connection.execute(
                insert(legal_holds).values(
                    id=hold.id,
                    subject=null() if name is None else dataclasses.asdict(name),
                    tenant=tenant,
                    records=list(records) or None,
                    reason=reason,
                    placed_at=hold.placed_at,
                )
            )
            body = HoldPlaced(
                hold_id=hold.id,
                scope=hold.scope,
                subject=name,
                tenant=tenant,
                records=hold.records,
                reason=reason,
                actor=actor,
            )
            event_id = self._log.append(Event(None, body), connection)
        self._log.include(event_id)
        return hold

    def release(self, hold_id: str, *, reason: str, actor: VaultReference | None = None) -> None:
        """Releases a hold.

        Raises:
            UnknownHoldError: there is none of that id in force.
            VaultError: the reason is empty or too long.
        """
        try:
            hold_id = str(uuid.UUID(hold_id))
        except ValueError as error:
            raise UnknownHoldError(f"{hold_id[:60]!r} is no id of a legal hold; expected a UUID") from error
        body = HoldReleased(hold_id=hold_id, reason=_checked_reason(reason), actor=actor)
        with database_errors("release a legal hold"), self._engine.begin() as connection:
            released = connection.execute(
                update(legal_holds)
                .where(legal_holds.c.id == hold_id, legal_holds.c.released_at.is_(None))
                .values(released_at=self._clock())
            )
            if released.rowcount != 1:
                raise UnknownHoldError(f"no legal hold {hold_id} is in force")
            event_id = self._log.append(Event(None, body), connection)
        self._log.include(event_id)

    def list(self, *, released: bool = False) -> list[LegalHold]:
        """Holds in force, oldest first; with `released` those as well that are no longer."""
        with database_errors("list legal holds"), self._engine.connect() as connection:
            return list(_holds(connection, released=released))

    def subject_of(self, hold: LegalHold) -> str | None:
        """Name of the subject that a hold covers; None if it covers something else, or the name was erased."""
        if hold.subject is None:
            return None
        try:
            return self._vault.get(hold.subject).decode()
        except ErasedError:  # after its release
            return None

    def covering(self, connection: Connection, candidates: Sequence[Candidate], opener: Opener) -> Mapping[str, str]:
        """Which of the candidates are under which hold (`audit.erasing.HoldCheck`)."""
        subjects: dict[str, str] = {}
        tenants: dict[str, str] = {}
        ids: dict[str, str] = {}
        for hold in _holds(connection, released=False):
            if hold.subject is not None:
                subjects[opener(hold.subject).decode()] = hold.id
            elif hold.tenant is not None:
                tenants[hold.tenant] = hold.id
            else:
                ids |= dict.fromkeys(_subjects_in(connection, hold.records), hold.id)
        covered: dict[str, str] = {}
        for candidate in candidates:
            hold_id = ids.get(candidate.id) or subjects.get(candidate.subject) or tenants.get(candidate.tenant)
            if hold_id is not None:
                covered[candidate.id] = hold_id
        return covered


def _holds(connection: Connection, *, released: bool) -> Iterator[LegalHold]:
    query = select(legal_holds).order_by(legal_holds.c.placed_at, legal_holds.c.id)
    for row in connection.execute(query if released else query.where(legal_holds.c.released_at.is_(None))):
        yield LegalHold(
            row.id,
            VaultReference(**row.subject) if row.subject else None,
            row.tenant,
            tuple(row.records or ()),
            row.reason,
            row.placed_at.astimezone(UTC),
            row.released_at.astimezone(UTC) if row.released_at else None,
        )


def _subjects_in(connection: Connection, records: Sequence[str]) -> set[str]:
    """Ids of the vault's keys that the records' events name."""
    rows = connection.execute(
        select(audit_events.c.body, audit_events.c.private).where(
            audit_events.c.record_id == func.any(list(records))
        )
    )  # fmt: skip
    found: set[str] = set()
    for body, private in rows:
        found.update(_subject_ids(json.loads(bytes(body))), _subject_ids(json.loads(bytes(private))))
    return found


def _subject_ids(value: Any) -> Iterator[str]:
    match value:
        case dict():
            if isinstance(value.get("subject_id"), str):
                yield value["subject_id"]
            for entry in value.values():
                yield from _subject_ids(entry)
        case list():
            for entry in value:
                yield from _subject_ids(entry)


def _checked_reason(reason: str) -> str:
    reason = reason.strip()
    if not 0 < len(reason) <= MAX_REASON_LENGTH:
        raise VaultError(f"a reason has 1 to {MAX_REASON_LENGTH} characters; name the matter by its reference")
    return reason
