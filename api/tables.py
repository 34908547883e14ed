"""Tables of the flows: records with their leases, idempotency keys, API keys."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData()

STATES = ("open", "released", "held", "refused", "failed", "abandoned")

records = Table(
    "records",
    metadata,
    Column("record_id", String(36), primary_key=True),
    Column("parent_id", String(36), nullable=False),
    Column("position", Integer, nullable=False),
    Column("short_id", String(14), nullable=False, unique=True),
    Column("tenant", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("lease_owner", String(32), nullable=False),
    Column("lease_expires_at", DateTime(timezone=True), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("image_sha256", String(64)),
    CheckConstraint(f"state IN {STATES}", name="records_state"),
    UniqueConstraint("parent_id", "position", name="records_position"),
    Index("records_open_lease", "lease_expires_at", postgresql_where=text("state = 'open'")),
    Index("records_image_sha256", "image_sha256"),
    Index("records_tenant", "tenant", "created_at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("request_sha256", String(64), nullable=False),
    Column("parent_id", String(36), ForeignKey("records.record_id"), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(16), primary_key=True),
    Column("secret_sha256", LargeBinary(32), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("roles", ARRAY(String(16)), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
)
