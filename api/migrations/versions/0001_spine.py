"""The tables of the first version, their append-only triggers, and what each role may do.

A migration is history: it spells everything out and imports nothing that may change. `tests/api/test_migrations.py`
compares its outcome with the packages' tables.
"""

# ruff: noqa: E501 - generated from the tables by Alembic, then frozen

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import BIT
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0001"
down_revision = None

APPEND_ONLY = ("audit_events", "ledger_leaves", "ledger_tiles", "ledger_checkpoints", "vault_epochs")

REFUSE_CHANGE = """
CREATE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = TG_OP || ' on ' || TG_TABLE_NAME || ' is refused, the table is append-only';
END
$$
"""

GRANTS = (
    "GRANT SELECT, INSERT ON audit_events, ledger_queue, ledger_leaves, ledger_tiles, ledger_checkpoints, vault_epochs, vault_subjects, vault_items TO imprimatur_service",
    "GRANT DELETE ON ledger_queue, vault_items, vault_subjects TO imprimatur_service",
    "GRANT UPDATE (epoch, handle, wrapped_key, name) ON vault_subjects TO imprimatur_service",
    "GRANT SELECT, INSERT ON reference_works, records, idempotency_keys, api_keys TO imprimatur_service",
    "GRANT UPDATE (withdrawn_at, withdrawn_change) ON reference_works TO imprimatur_service",
    "GRANT USAGE ON SEQUENCE reference_changes TO imprimatur_service",
    "GRANT UPDATE (state, lease_expires_at, image_sha256) ON records TO imprimatur_service",
    "GRANT UPDATE (key, parent_id) ON idempotency_keys TO imprimatur_service",
    "GRANT UPDATE (revoked_at) ON api_keys TO imprimatur_service",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO imprimatur_audit",
    "GRANT SELECT ON alembic_version TO imprimatur_service",
)


def upgrade() -> None:
    """Make everything, as `imprimatur_owner`."""
    op.execute("CREATE SEQUENCE reference_changes")
    op.create_table(
        "audit_events",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("record_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("private_salt", sa.LargeBinary(), nullable=False),
        sa.Column("private", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(body) <= 65535", name="audit_events_body_size"),
        sa.CheckConstraint("octet_length(private) <= 65535", name="audit_events_private_size"),
        sa.CheckConstraint(
            "octet_length(salt) = 32 AND octet_length(private_salt) = 32 AND octet_length(commitment) = 32",
            name="audit_events_hash_sizes",
        ),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("audit_events_record_id", "audit_events", ["record_id", "position"], unique=False)
    op.create_table(
        "ledger_checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size"),
    )
    op.create_table(
        "ledger_leaves",
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("index >= 0", name="ledger_leaves_index"),
        sa.PrimaryKeyConstraint("index"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_table(
        "ledger_queue",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("position"),
        comment="Events that no tree holds yet; written with the event, emptied by the sequencer.",
    )
    op.create_table(
        "ledger_tiles",
        sa.Column("level", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(hashes) = 8192 AND octet_length(root) = 32", name="ledger_tiles_sizes"),
        sa.PrimaryKeyConstraint("level", "index"),
        comment="Full tiles only (C2SP tlog-tiles); partial ones are prefixes that leaves and roots give.",
    )
    op.create_table(
        "vault_epochs",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("key_id"),
        comment="One row per epoch key; the key itself is a file outside the database. The newest is in use.",
    )
    op.create_table(
        "vault_subjects",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("handle", sa.LargeBinary(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["epoch"],
            ["vault_epochs.number"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("handle"),
    )
    op.create_table(
        "vault_items",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("subject_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["subject_id"],
            ["vault_subjects.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_vault_items_subject_id", "vault_items", ["subject_id"], unique=False)
    op.create_table(
        "reference_works",
        sa.Column("added_change", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("withdrawn_change", sa.BigInteger(), nullable=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("phash", BIT(256), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("rights_claim", sa.Text(), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(withdrawn_at IS NULL) = (withdrawn_change IS NULL)", name="reference_works_withdrawn_together"
        ),
        sa.PrimaryKeyConstraint("added_change"),
        sa.UniqueConstraint("id"),
        sa.UniqueConstraint("withdrawn_change"),
    )
    op.create_index(
        "reference_works_listed_sha256",
        "reference_works",
        ["sha256"],
        unique=True,
        postgresql_where=sa.text("withdrawn_change IS NULL"),
    )
    op.create_index(
        "reference_works_phash_hnsw",
        "reference_works",
        ["phash"],
        unique=False,
        postgresql_using="hnsw",
        postgresql_ops={"phash": "bit_hamming_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", ARRAY(sa.String(length=16)), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_table(
        "records",
        sa.Column("record_id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("short_id", sa.String(length=14), nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("lease_owner", sa.String(length=32), nullable=False),
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'released', 'held', 'refused', 'failed', 'abandoned')", name="records_state"
        ),
        sa.PrimaryKeyConstraint("record_id"),
        sa.UniqueConstraint("parent_id", "position", name="records_position"),
        sa.UniqueConstraint("short_id"),
    )
    op.create_index("records_image_sha256", "records", ["image_sha256"], unique=False)
    op.create_index(
        "records_open_lease", "records", ["lease_expires_at"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index("records_tenant", "records", ["tenant", "created_at"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request_sha256", sa.String(length=64), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_id"],
            ["records.record_id"],
        ),
        sa.PrimaryKeyConstraint("tenant", "key"),
    )
    op.execute(REFUSE_CHANGE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
        )
    op.execute("ALTER TABLE ledger_tiles ALTER COLUMN hashes SET STORAGE EXTERNAL")
    for grant in GRANTS:
        op.execute(grant)
