"""SQL that SQLAlchemy's tables do not express: append-only triggers and the roles' rights.

The statements are run by the owner of the tables, after they were made. They name roles that exist already.
"""

from __future__ import annotations

from audit.tables import (
    APPEND_ONLY,
    ledger_queue,
    ledger_tiles,
    legal_holds,
    metadata,
    vault_destructions,
    vault_items,
    vault_subjects,
)

_ERASABLE = (ledger_queue, vault_items, vault_subjects, vault_destructions)

REFUSE_CHANGE = """
CREATE OR REPLACE FUNCTION audit_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING
        ERRCODE = 'insufficient_privilege',
        MESSAGE = TG_OP || ' on ' || TG_TABLE_NAME || ' is refused, the table is append-only';
END
$$
"""


def append_only_statements() -> list[str]:
    """Statements that make the database refuse UPDATE, DELETE and TRUNCATE on the append-only tables.

    The triggers bind every role, the owner included, until someone who may alter the tables removes them.
    """
    triggers = [
        f"CREATE TRIGGER {table.name}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table.name} "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change()"
        for table in APPEND_ONLY
    ]
    storage = f"ALTER TABLE {ledger_tiles.name} ALTER COLUMN hashes SET STORAGE EXTERNAL"  # hashes do not shrink
    return [REFUSE_CHANGE, *triggers, storage]


def drop_append_only_statements() -> list[str]:
    """Statements that undo `append_only_statements` (for a migration's way back)."""
    triggers = [f"DROP TRIGGER {table.name}_append_only ON {table.name}" for table in APPEND_ONLY]
    return [*triggers, "DROP FUNCTION audit_refuse_change()"]


def grant_statements(service_role: str = "imprimatur_service", audit_role: str = "imprimatur_audit") -> list[str]:
    """Statements that give the service what it needs and the auditor SELECT, and nothing more.

    Args:
        service_role: appends events, sequences them, keeps the vault; never owns the tables.
        audit_role: reads.
    """
    service, audit = _quoted(service_role), _quoted(audit_role)
    tables = ", ".join(table.name for table in metadata.sorted_tables)
    return [
        f"REVOKE ALL ON {tables} FROM PUBLIC",
        f"GRANT SELECT, INSERT ON {tables} TO {service}",
        f"GRANT DELETE ON {', '.join(table.name for table in _ERASABLE)} TO {service}",
        f"GRANT UPDATE (epoch, handle, person, wrapped_key, name) ON {vault_subjects.name} TO {service}",
        f"GRANT UPDATE (released_at) ON {legal_holds.name} TO {service}",
        f"GRANT SELECT ON {tables} TO {audit}",
    ]


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'
