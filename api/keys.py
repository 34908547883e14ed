"""API keys: made once, shown once, stored as a hash; with roles and a tenant."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, func, insert, select, update

from api.database import unavailable_when_away
from api.errors import InvalidInputError, NotAuthenticatedError, NotFoundError, NotPermittedError
from api.tables import api_keys

_FORM = re.compile(r"imp_([0-9a-f]{16})_([0-9a-f]{64})")


class Role(StrEnum):
    """What an API key may do."""

    GENERATE = "generate"
    VERIFY = "verify"
    AUDIT = "audit"
    REVIEW = "review"
    QUARANTINE = "quarantine"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `subject` owns the personal data of the request: the tenant's user, else the API key.

    `operator` is true at the command line alone: whoever has the key files may read every tenant's records.
    """

    tenant: str
    subject: str
    roles: frozenset[Role]
    operator: bool = False

    def on_behalf_of(self, user: str | None) -> Caller:
        """The same caller with the end user that the request names as subject."""
        return self if not user else Caller(self.tenant, f"{self.tenant}/user/{user}", self.roles)

    def require(self, role: Role) -> None:
        """Raise `NotPermittedError` if the caller lacks the role; `admin` has every role but `quarantine`."""
        if role not in self.roles and (Role.ADMIN not in self.roles or role is Role.QUARANTINE):
            raise NotPermittedError(f"this API key lacks the role '{role}'")


@dataclass(frozen=True, slots=True)
class KeyListing:
    """What may be shown of a key after it was made."""

    key_id: str
    tenant: str
    name: str
    roles: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


class KeyStore:
    """API keys in the database. A key is "imp_", its id, "_" and a 256-bit secret; only SHA-256 is kept.

    A plain hash is enough because the secret is uniformly random: there is nothing to guess faster.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, connection: Connection, *, tenant: str, name: str, roles: frozenset[Role]) -> tuple[str, str]:
        """Make a key; return its id and the key itself, which is never shown again."""
        if not roles:
            raise InvalidInputError("a key needs at least one role", parameter="role")
        if not tenant or "/" in tenant or not tenant.isprintable():
            raise InvalidInputError("a tenant's name is printable, not empty, and has no '/'", parameter="tenant")
        if not name.isprintable():
            raise InvalidInputError("a key's name is printable text on one line", parameter="name")
        key_id, secret = secrets.token_hex(8), secrets.token_hex(32)
        connection.execute(
            insert(api_keys).values(
                key_id=key_id,
                secret_sha256=_hash(secret),
                tenant=tenant,
                name=name,
                roles=sorted(roles),
                created_at=func.clock_timestamp(),
            )
        )
        return key_id, f"imp_{key_id}_{secret}"

    def authenticate(self, key: str | None) -> Caller:
        """Return the caller of a key; raises `NotAuthenticatedError`."""
        form = _FORM.fullmatch(key or "")
        if form is None:
            raise NotAuthenticatedError("no valid API key; send 'Authorization: Bearer imp_...'")
        key_id, secret = form.groups()
        with unavailable_when_away(), self._engine.connect() as connection:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
        # Compare in constant time also when the key is unknown.
        expected = row.secret_sha256 if row is not None else bytes(32)
        if not hmac.compare_digest(expected, _hash(secret)) or row is None or row.revoked_at is not None:
            raise NotAuthenticatedError(
                "this API key is unknown or was revoked", key_id=None if row is None else str(row.key_id)
            )
        return Caller(row.tenant, f"{row.tenant}/key/{key_id}", frozenset(Role(role) for role in row.roles))

    def revoke(self, connection: Connection, key_id: str) -> None:
        """Revoke a key for ever; raises `NotFoundError`."""
        done: Any = connection.execute(
            update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=func.clock_timestamp())
        )
        if done.rowcount != 1:
            raise NotFoundError(f"no active API key with the id {key_id}")

    def list(self) -> list[KeyListing]:
        """All keys, newest first."""
        with unavailable_when_away(), self._engine.connect() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at.desc())).all()
        return [
            KeyListing(row.key_id, row.tenant, row.name, tuple(row.roles), row.created_at, row.revoked_at)
            for row in rows
        ]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
