"""Policies by tenant, the queue of held items, and the state `quarantined`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002"
down_revision = "0001"

STATES = "'open', 'released', 'held', 'refused', 'failed', 'abandoned', 'quarantined'"

GRANTS = (
    "GRANT SELECT, INSERT ON policies, policy_assignments, reviews TO imprimatur_service",
    "GRANT UPDATE (state, decided_at) ON reviews TO imprimatur_service",
    "GRANT UPDATE (lease_owner) ON records TO imprimatur_service",
    "GRANT SELECT ON policies, policy_assignments, reviews TO imprimatur_audit",
)


def upgrade() -> None:
    """Make the tables, as `imprimatur_owner`."""
    op.create_table(
        "policies",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        comment="Every policy that was ever in force, as canonical JSON under its SHA-256.",
    )
    op.create_table(
        "policy_assignments",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("shipped", sa.Boolean(), nullable=False),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["policies.digest"]),
        sa.PrimaryKeyConstraint("number"),
        comment="Which policy a tenant uses; the newest row counts. No tenant: the house.",
    )
    op.create_index("policy_assignments_tenant", "policy_assignments", ["tenant", "number"])
    op.create_table(
        "reviews",
        sa.Column("review_id", sa.String(36), nullable=False),
        sa.Column("record_id", sa.String(36), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("categories", ARRAY(sa.Text()), nullable=False),
        sa.Column("held_event", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("pending_sha256", sa.String(64), nullable=False),
        sa.Column("pending_subject", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("pending_size", sa.BigInteger(), nullable=False),
        sa.Column("held_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'approved', 'rejected', 'expired')", name="reviews_state"),
        sa.CheckConstraint("stage IN ('prompt', 'input', 'image')", name="reviews_stage"),
        sa.ForeignKeyConstraint(["record_id"], ["records.record_id"]),
        sa.PrimaryKeyConstraint("review_id"),
        sa.UniqueConstraint("record_id", "stage", name="reviews_once_a_stage"),
    )
    op.create_index("reviews_queue", "reviews", ["tenant", "state", "held_at"])
    op.create_index("reviews_expiry", "reviews", ["expires_at"], postgresql_where=sa.text("state = 'waiting'"))
    op.drop_constraint("records_state", "records", type_="check")
    op.create_check_constraint("records_state", "records", f"state IN ({STATES})")
    for grant in GRANTS:
        op.execute(grant)
