"""Tables of the flows: records with their leases, idempotency keys, API keys, policies, reviews."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

metadata = MetaData()

STATES = ("open", "released", "held", "refused", "failed", "abandoned", "quarantined")
REVIEW_STATES = ("waiting", "approved", "rejected", "expired")

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

policies = Table(
    "policies",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    comment="Every policy that was ever in force, as canonical JSON under its SHA-256.",
)

policy_assignments = Table(
    "policy_assignments",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text),
    Column("digest", String(64), ForeignKey("policies.digest"), nullable=False),
    Column("source", Text),
    Column("shipped", Boolean, nullable=False),
    Column("assigned_at", DateTime(timezone=True), nullable=False),
    Index("policy_assignments_tenant", "tenant", "number"),
    comment="Which policy a tenant uses; the newest row counts. No tenant: the house.",
)
"""`source` is the YAML as it was given, or the name of a shipped policy; none: the tenant follows the house again.
It is kept because what it extends may change: the policy is then made again from both."""

reviews = Table(
    "reviews",
    metadata,
    Column("review_id", String(36), primary_key=True),
    Column("record_id", String(36), ForeignKey("records.record_id"), nullable=False),
    Column("tenant", Text, nullable=False),
    Column("stage", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("categories", ARRAY(Text), nullable=False),
    Column("held_event", Uuid(as_uuid=False), nullable=False),
    Column("pending_sha256", String(64), nullable=False),
    Column("pending_subject", Uuid(as_uuid=False), nullable=False),
    Column("pending_size", BigInteger, nullable=False),
    Column("held_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("decided_at", DateTime(timezone=True)),
    CheckConstraint(f"state IN {REVIEW_STATES}", name="reviews_state"),
    CheckConstraint("stage IN ('prompt', 'input', 'image')", name="reviews_stage"),
    UniqueConstraint("record_id", "stage", name="reviews_once_a_stage"),
    Index("reviews_queue", "tenant", "state", "held_at"),
    Index("reviews_expiry", "expires_at", postgresql_where=text("state = 'waiting'")),
)
"""What waits for a person. `pending_*` names the encrypted object from which an approved item is finished; what was
decided by whom and why is in the log."""
