"""placeholder"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    import api.tables
    import audit.ddl
    import audit.tables
    import safety.tables

    for metadata in (audit.tables.metadata, safety.tables.metadata, api.tables.metadata):
        metadata.create_all(op.get_bind())
    for statement in [*audit.ddl.append_only_statements(), *audit.ddl.grant_statements()]:
        op.execute(statement)
    op.execute(
        "GRANT SELECT, INSERT, UPDATE ON records, idempotency_keys, api_keys, reference_works TO imprimatur_service"
    )
    op.execute("GRANT USAGE ON SEQUENCE reference_changes TO imprimatur_service")
    op.execute("GRANT SELECT ON alembic_version TO imprimatur_service")
