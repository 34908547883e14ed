"""Stamps of checkpoints, legal holds, and a vault key for each subject, kind of data and month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0004"
down_revision = "0003"

GRANTS = (
    "REVOKE ALL ON ledger_stamps, vault_destructions, legal_holds FROM PUBLIC",
    "GRANT SELECT, INSERT ON ledger_stamps, vault_destructions, legal_holds TO imprimatur_service",
    "GRANT DELETE ON vault_destructions TO imprimatur_service",
    "GRANT UPDATE (person) ON vault_subjects TO imprimatur_service",
    "GRANT UPDATE (released_at) ON legal_holds TO imprimatur_service",
    "GRANT SELECT ON ledger_stamps, vault_destructions, legal_holds TO imprimatur_audit",
)


def upgrade() -> None:
    """Make the tables and columns, as `imprimatur_owner`."""
    op.create_table(
        "ledger_stamps",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("size", "authority"),
        comment="RFC 3161 responses over the notes of checkpoints; `time` is the authority's.",
    )
    op.execute(
        "CREATE TRIGGER ledger_stamps_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_stamps "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
    )
    op.create_table(
        "vault_destructions",
        sa.Column("subject_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("epoch_key", sa.Uuid(as_uuid=False), nullable=False),
        sa.PrimaryKeyConstraint("subject_id"),
        comment="Erasures that are committed and not completed: an epoch key to destroy, objects to remove.",
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("subject", JSONB(), nullable=True),
        sa.Column("tenant", sa.Text(), nullable=True),
        sa.Column("records", ARRAY(sa.Text()), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("num_nonnulls(subject, tenant, records) = 1", name="legal_holds_scope"),
        sa.PrimaryKeyConstraint("id"),
        comment="`subject` is a vault reference to the subject's name.",
    )
    # Keys made before this version are for all kinds of data and no month: erasure finds them, retention does not.
    # Their handle is what `person` is: a keyed digest of the subject's name. Their tenant only the sealed name tells.
    op.add_column("vault_subjects", sa.Column("person", sa.LargeBinary(), nullable=True))
    op.add_column("vault_subjects", sa.Column("tenant", sa.Text(), nullable=False, server_default=""))
    op.add_column("vault_subjects", sa.Column("kind", sa.Text(), nullable=False, server_default=""))
    op.add_column("vault_subjects", sa.Column("month", sa.Date(), nullable=True))
    op.execute("UPDATE vault_subjects SET person = handle")
    op.alter_column("vault_subjects", "person", nullable=False)
    op.alter_column("vault_subjects", "tenant", server_default=None)
    op.alter_column("vault_subjects", "kind", server_default=None)
    op.create_index("ix_vault_subjects_person", "vault_subjects", ["person"])
    op.create_index("vault_subjects_retention", "vault_subjects", ["kind", "month"])
    op.create_table_comment(
        "vault_subjects", "One key for each subject, kind of data and month: what retention and erasure act on."
    )
    for grant in GRANTS:
        op.execute(grant)
