"""Small pictures of listed works, for reports that show a match side by side."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

GRANTS = (
    "GRANT SELECT, INSERT ON reference_thumbnails TO imprimatur_service",
    "GRANT SELECT ON reference_thumbnails TO imprimatur_audit",
)


def upgrade() -> None:
    """Make the table, as `imprimatur_owner`."""
    op.create_table(
        "reference_thumbnails",
        sa.Column("reference_id", sa.Text(), nullable=False),
        sa.Column("jpeg", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["reference_id"], ["reference_works.id"]),
        sa.PrimaryKeyConstraint("reference_id"),
    )
    for grant in GRANTS:
        op.execute(grant)
