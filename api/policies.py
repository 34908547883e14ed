"""Which policy is in force for whom: kept in the database, every change with its event."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Row, Select, func, insert, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from api.boundaries import configured, unavailable
from api.errors import ConfigurationError, InvalidPolicyError, NotFoundError
from api.tables import policies, policy_assignments
from audit import records
from audit.events import Event, EventId, PolicyChanged
from safety.errors import PolicyError, SafetyError
from safety.policy import SHIPPED_POLICIES, OwnThresholds, Policy, read_text
from safety.policy_difference import Difference, differences, stricter_of

if TYPE_CHECKING:
    from audit.log import AuditLog
    from safety.registry import CheckRegistry

HOUSE = "house"
"""The name under which a tenant's file extends the policy of the house."""

MOST_CHANGES_TOLD = 200
_LOCK = 0x696D7070  # "impp": one process changes policies at a time
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """What somebody chose: the name of a shipped policy, or the text of a file. Neither: to follow the house."""

    name: str | None = None
    text: str | None = None
    file: str = "policy"


@dataclass(frozen=True, slots=True)
class Assignment:
    """The policy of one tenant, or of the house (`tenant` None), and since when."""

    tenant: str | None
    policy: Policy
    choice: Choice
    assigned_at: datetime


class PolicyBook:
    """Policies in force. A tenant's can only be stricter than the house's, now and after the house's changes.

    The house's policy is the file of the settings, where one is set; else what was last chosen; else `default`.
    """

    def __init__(
        self, engine: Engine, log: Callable[[], AuditLog], registry: CheckRegistry, house_file: Path | None
    ) -> None:
        self._engine = engine
        self._log = log
        self._registry = registry
        self._house_file = house_file
        self._own_thresholds = registry.own_thresholds()
        self._read: dict[str, Policy] = {}
        self._settled = False
        self._settling = threading.Lock()

    def house(self) -> Policy:
        """The policy of every tenant that has none of its own. Raises `ConfigurationError`, `UnavailableError`."""
        return self._in_force(None)

    def of(self, tenant: str) -> Policy:
        """The policy in force for a tenant; raises as `house`."""
        return self._in_force(tenant)

    def by_digest(self, digest: str) -> Policy:
        """A policy that is or was in force, as events name it. Raises `NotFoundError`."""
        self._settle()
        with unavailable(), self._engine.connect() as connection:
            content = connection.scalar(select(policies.c.content).where(policies.c.digest == digest))
        if content is None:
            raise NotFoundError(f"no policy with the digest {digest} was ever in force here")
        return self._from_content(digest, bytes(content))

    def assignments(self) -> list[Assignment]:
        """The house's policy and each tenant's own, the house first."""
        self._settle()
        with unavailable(), self._engine.connect() as connection:
            rows = connection.execute(_NEWEST).all()
        return [self._assignment(row) for row in rows if row.tenant is None or row.source is not None]

    def read(self, choice: Choice, *, tenant: str | None = None) -> Policy:
        """The policy that a choice stands for, checked as it would be before it comes into force.

        Raises:
            InvalidPolicyError: the file is wrong (line, field, what was expected), a check or category is not
                known, or something would be looser than what the file extends or than the house's policy.
        """
        policy = read_choice(choice, self._registry, self.house, self._own_thresholds)
        if tenant is not None:
            self._require_stricter(policy, self.house())
        return policy

    def compare(self, before: Policy, after: Policy) -> list[Difference]:
        """What differs, each with whether it is stricter or looser."""
        return differences(before, after, self._own_thresholds)

    def use(
        self, choice: Choice, *, tenant: str | None, reason: str, actor: records.VaultReference | None = None
    ) -> Policy:
        """Put a policy into force for a tenant, or for the house (`tenant` None), with its event.

        Raises:
            InvalidPolicyError: as `read`.
            ConfigurationError: the settings name the house's policy, so it is not chosen here.
        """
        if tenant is None and self._house_file is not None:
            raise ConfigurationError(
                f"IMPRIMATUR_POLICY_PATH sets the policy of the house to {self._house_file}; change that file or unset"
                " the variable"
            )
        if tenant is None and choice == Choice():
            choice = Choice(name=SHIPPED_POLICIES[0])
        policy = self.read(choice, tenant=tenant)
        with unavailable(), self._engine.begin() as connection:
            self._lock(connection)
            changed = self._assign(connection, tenant, policy, choice, reason, actor)
            if tenant is None:
                changed += self._follow(connection, policy)
        self._include(changed)
        return policy

    def _in_force(self, tenant: str | None) -> Policy:
        self._settle()
        with unavailable(), self._engine.connect() as connection:
            rows = {row.tenant: row for row in connection.execute(_of_house_and(tenant)).all()}
        own = rows.get(tenant)
        row = rows[None] if own is None or own.source is None else own
        return self._from_content(row.digest, bytes(row.content))

    def _settle(self) -> None:
        """Once a process: what the settings and this release say becomes what is in force, with events."""
        with self._settling:
            if self._settled:
                return
            with unavailable(), self._engine.begin() as connection:
                self._lock(connection)
                changed = self._take_over(connection)
            self._include(changed)
            self._settled = True

    def _take_over(self, connection: Connection) -> list[EventId]:
        row = connection.execute(_NEWEST.where(policy_assignments.c.tenant.is_(None))).first()
        choice = self._house_choice(row)
        with configured():
            policy = _made_from(choice, None, self._own_thresholds, tighten=True)
            self._registry.validate(policy)
        kept_now = [self._keep(connection, Policy.shipped(name)) for name in SHIPPED_POLICIES]
        changed: list[EventId] = []
        if row is None or row.digest != policy.digest:
            changed += self._assign(connection, None, policy, choice, "the service started with it", None)
        if changed or any(kept_now):
            changed += self._follow(connection, policy)
        return changed

    def _house_choice(self, row: Row[*tuple[Any, ...]] | None) -> Choice:
        if self._house_file is not None:
            with configured():
                return Choice(text=read_text(self._house_file), file=str(self._house_file))
        return Choice(name=SHIPPED_POLICIES[0]) if row is None else _choice(row)

    def _follow(self, connection: Connection, house: Policy) -> list[EventId]:
        """Make every tenant's policy again after what it rests on has changed."""
        changed: list[EventId] = []
        for row in connection.execute(_NEWEST).all():
            if row.tenant is None or row.source is None:
                continue
            choice = _choice(row)
            try:
                policy = _made_from(choice, lambda: house, self._own_thresholds, tighten=True)
                self._registry.validate(policy)
            except SafetyError as error:
                # What was in force stays, so that nobody falls back to something looser.
                _LOGGER.warning("the policy of tenant %s cannot be made again: %s", row.tenant, error)
                policy = self._from_content(row.digest, bytes(row.content))
            policy = stricter_of(policy, house, self._own_thresholds)
            if policy.digest != row.digest:
                reason = "what it rests on has changed"
                changed += self._assign(connection, row.tenant, policy, choice, reason, None)
        return changed

    def _assign(
        self,
        connection: Connection,
        tenant: str | None,
        policy: Policy,
        choice: Choice,
        reason: str,
        actor: records.VaultReference | None,
    ) -> list[EventId]:
        rows = {row.tenant: row for row in connection.execute(_of_house_and(tenant)).all()}
        own = rows.get(tenant) or rows.get(None)
        before = None if own is None else self._from_content(own.digest, bytes(own.content))
        self._keep(connection, policy)
        connection.execute(
            insert(policy_assignments).values(
                tenant=tenant,
                digest=policy.digest,
                source=choice.text if choice.name is None else choice.name,
                shipped=choice.name is not None,
                assigned_at=func.clock_timestamp(),
            )
        )
        told = [] if before is None else [str(one) for one in self.compare(before, policy)]
        body = PolicyChanged(
            tenant=tenant,
            policy=_identity(policy),
            before=None if before is None else _identity(before),
            changes=tuple(told[:MOST_CHANGES_TOLD]),
            reason=reason[:500],
            actor=actor,
        )
        return [self._log().append(Event(None, body), connection)]

    def _require_stricter(self, policy: Policy, house: Policy) -> None:
        looser = [one for one in self.compare(house, policy) if one.direction.loosens]
        if looser:
            told = "; ".join(f"{one.field}: {one.after} would be looser than {one.before}" for one in looser)
            raise InvalidPolicyError(
                f"{policy.id} {policy.version} is looser than the house's policy {house.id} {house.version}: {told}."
                " A tenant's policy can only be stricter than the house's"
            )

    def _keep(self, connection: Connection, policy: Policy) -> bool:
        """Keep the content under its digest; whether it is new here."""
        row = {"digest": policy.digest, "content": policy.canonical, "recorded_at": func.clock_timestamp()}
        statement = upsert(policies).values(**row).on_conflict_do_nothing().returning(policies.c.digest)
        return connection.scalar(statement) is not None

    def _assignment(self, row: Row[*tuple[Any, ...]]) -> Assignment:
        policy = self._from_content(row.digest, bytes(row.content))
        return Assignment(row.tenant, policy, _choice(row), row.assigned_at)

    def _from_content(self, digest: str, content: bytes) -> Policy:
        if digest not in self._read:
            self._read[digest] = Policy.from_record(json.loads(content))
        return self._read[digest]

    def _include(self, changed: Sequence[EventId]) -> None:
        with unavailable():
            for event_id in changed:
                self._log().include(event_id)

    @staticmethod
    def _lock(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def choice_of(name: str) -> Choice:
    """A shipped policy by its name, else the file of that name. Raises `InvalidPolicyError` for no such file."""
    if name in SHIPPED_POLICIES:
        return Choice(name=name)
    try:
        return Choice(text=read_text(Path(name)), file=name)
    except PolicyError as error:
        raise InvalidPolicyError(f"{error}; the policies that ship are {', '.join(SHIPPED_POLICIES)}") from error


def read_choice(
    choice: Choice,
    registry: CheckRegistry,
    house: Callable[[], Policy],
    own_thresholds: OwnThresholds | None = None,
) -> Policy:
    """The policy that a choice stands for; asks for the house's only if that is what it follows or extends.

    Raises:
        InvalidPolicyError: as `PolicyBook.read`.
    """
    own = registry.own_thresholds() if own_thresholds is None else own_thresholds
    try:
        policy = _made_from(choice, house, own, tighten=False)
        registry.validate(policy)
    except SafetyError as error:
        raise InvalidPolicyError(str(error)) from error
    return policy


def _made_from(
    choice: Choice, house: Callable[[], Policy] | None, own_thresholds: OwnThresholds, *, tighten: bool
) -> Policy:
    if choice.text is not None:
        bases = {} if house is None else {HOUSE: house}
        return Policy.from_yaml(choice.text, choice.file, bases=bases, own_thresholds=own_thresholds, tighten=tighten)
    if choice.name is not None:
        return Policy.shipped(choice.name)
    if house is None:
        raise PolicyError("the house has nothing to follow; choose a policy")
    return house()


_NEWEST = (
    select(
        policy_assignments.c.tenant,
        policy_assignments.c.source,
        policy_assignments.c.shipped,
        policy_assignments.c.assigned_at,
        policy_assignments.c.digest,
        policies.c.content,
    )
    .join(policies, policies.c.digest == policy_assignments.c.digest)
    .ext(distinct_on(policy_assignments.c.tenant))
    .order_by(policy_assignments.c.tenant.nulls_first(), policy_assignments.c.number.desc())
)
"""The newest assignment of every tenant and of the house, the house first."""


def _of_house_and(tenant: str | None) -> Select[*tuple[Any, ...]]:
    return _NEWEST.where((policy_assignments.c.tenant == tenant) | policy_assignments.c.tenant.is_(None))


def _choice(row: Row[*tuple[Any, ...]]) -> Choice:
    if row.shipped:
        return Choice(name=row.source)
    return Choice(text=row.source, file=f"the policy of {row.tenant or HOUSE}")


def _identity(policy: Policy) -> records.Policy:
    return records.Policy(id=policy.id, version=str(policy.version), digest=policy.digest)
