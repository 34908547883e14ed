"""The repository of manifests, and the trust lists that were in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import BIT

revision = "0003"
down_revision = "0002"

GRANTS = (
    "GRANT SELECT, INSERT ON credential_manifests, credential_bindings, trust_snapshots, trust_changes"
    " TO imprimatur_service",
    "GRANT UPDATE (store_sha256, store_subject, store_size, public_sha256, public_size, stamp_state, stamp_attempts,"
    " stamp_due_at, stamp_problem) ON credential_manifests TO imprimatur_service",
    "GRANT SELECT ON credential_manifests, credential_bindings, trust_snapshots, trust_changes TO imprimatur_audit",
)


def upgrade() -> None:
    """Make the tables, as `imprimatur_owner`."""
    op.create_table(
        "credential_manifests",
        sa.Column("manifest_id", sa.Text(), nullable=False),
        sa.Column("record_id", sa.String(36), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("fingerprint", BIT(256), nullable=True),
        sa.Column("store_sha256", sa.String(64), nullable=False),
        sa.Column("store_subject", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("store_size", sa.BigInteger(), nullable=False),
        sa.Column("public_sha256", sa.String(64), nullable=False),
        sa.Column("public_size", sa.BigInteger(), nullable=False),
        sa.Column("stamp_state", sa.String(8), nullable=False),
        sa.Column("stamp_attempts", sa.Integer(), nullable=False),
        sa.Column("stamp_due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stamp_problem", sa.Text(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("stamp_state IN ('none', 'stamped', 'pending')", name="credential_manifests_stamp_state"),
        sa.CheckConstraint(
            "(stamp_state = 'pending') = (stamp_due_at IS NOT NULL)", name="credential_manifests_stamp_due"
        ),
        sa.PrimaryKeyConstraint("manifest_id"),
        comment="Where the manifest store of each released image lies; `public` is the copy that strangers may fetch.",
    )
    op.create_index("ix_credential_manifests_record_id", "credential_manifests", ["record_id"])
    op.create_index(
        "credential_manifests_due",
        "credential_manifests",
        ["stamp_due_at"],
        postgresql_where=sa.text("stamp_state = 'pending'"),
    )
    op.create_index(
        "credential_manifests_fingerprint",
        "credential_manifests",
        ["fingerprint"],
        postgresql_using="hnsw",
        postgresql_ops={"fingerprint": "bit_hamming_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )
    op.create_table(
        "credential_bindings",
        sa.Column("alg", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("manifest_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["manifest_id"], ["credential_manifests.manifest_id"]),
        sa.PrimaryKeyConstraint("alg", "value", "manifest_id"),
        comment="Soft bindings that are looked up by equality (watermarks).",
    )
    op.create_table(
        "trust_snapshots",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
        comment="Every state of the trust lists that a verification used, under its SHA-256.",
    )
    op.create_table(
        "trust_changes",
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["trust_snapshots.digest"]),
        sa.PrimaryKeyConstraint("number"),
        comment="Which snapshot is in force; the newest row counts. None: the lists that ship.",
    )
    for grant in GRANTS:
        op.execute(grant)
