"""What is erased, and when: the words that the vault, retention rules and legal holds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from sqlalchemy import ColumnElement, Connection, and_, or_, text

from audit.records import VaultReference
from audit.tables import vault_subjects


@dataclass(frozen=True)
class Erasure:
    """What an erasure did.

    Args:
        items: how many vault items went, by the subject id (the key) that they were under.
        epoch_key: id of the epoch key that is destroyed.
    """

    items: Mapping[str, int]
    epoch_before: int
    epoch_after: int
    epoch_key: str
    erased_at: datetime

    @property
    def subject_ids(self) -> tuple[str, ...]:
        """The random ids of what was erased."""
        return tuple(self.items)


@dataclass(frozen=True)
class Candidate:
    """A key that is about to be erased.

    Args:
        id: its random id, `subject_id` in references.
        tenant: of the subject.
        subject: its name.
    """

    id: str
    tenant: str
    subject: str


@dataclass(frozen=True)
class RetentionRule:
    """How long data of a kind is kept.

    Args:
        kind: purpose of vault items or role of objects: `prompt`, `image`, ...
        days: after the end of the month in which it was stored.
        tenant: whose; None for all tenants without a rule of their own for this kind.
    """

    kind: str
    days: int
    tenant: str | None = None


Opener: TypeAlias = Callable[[VaultReference], bytes]
HoldCheck: TypeAlias = Callable[[Connection, Sequence[Candidate], Opener], Mapping[str, str]]
"""In the erasing transaction: which of the candidates are under which legal hold (id of the key → id of the hold)."""
Recorder: TypeAlias = Callable[[Connection, Erasure], None]
"""Writes an erasure's events in the transaction that erases."""


def tenant_of(subject: str) -> str:
    """The tenant that a subject (`tenant/...`) belongs to."""
    return subject.partition("/")[0]


def expired(rules: Sequence[RetentionRule], now: datetime) -> ColumnElement[bool]:
    """Keys whose month ended longer ago than the rule for their kind and tenant keeps them."""
    today = now.astimezone(UTC).date()
    conditions = []
    for rule in rules:
        own_rules = [r.tenant for r in rules if r.kind == rule.kind and r.tenant is not None]
        whose = vault_subjects.c.tenant == rule.tenant if rule.tenant else vault_subjects.c.tenant.not_in(own_rules)
        ended = vault_subjects.c.month + text("interval '1 month'") <= today - timedelta(days=rule.days)
        conditions.append(and_(vault_subjects.c.kind == rule.kind, whose, ended))
    return or_(*conditions)
