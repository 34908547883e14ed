"""The package's tables in PostgreSQL.

`audit_events`, `ledger_leaves`, `ledger_tiles`, `ledger_checkpoints` and `vault_epochs` are append-only
(`audit.ddl`). There are no foreign keys from the ledger to the events: they would lock, and so rewrite, each
event row; `audit.fsck` compares the two instead.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)

MAX_BODY_BYTES = 65_535

metadata = MetaData()

audit_events = Table(
    "audit_events",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("id", Uuid(as_uuid=False), nullable=False, unique=True),
    Column("record_id", Text),
    Column("kind", Text, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("salt", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("private_salt", LargeBinary, nullable=False),
    Column("private", LargeBinary, nullable=False),
    Column("commitment", LargeBinary, nullable=False),
    CheckConstraint(f"octet_length(body) <= {MAX_BODY_BYTES}", name="audit_events_body_size"),
    CheckConstraint(f"octet_length(private) <= {MAX_BODY_BYTES}", name="audit_events_private_size"),
    CheckConstraint(
        "octet_length(salt) = 32 AND octet_length(private_salt) = 32 AND octet_length(commitment) = 32",
        name="audit_events_hash_sizes",
    ),
    Index("audit_events_record_id", "record_id", "position"),
)

ledger_queue = Table(
    "ledger_queue",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    comment="Events that no tree holds yet; written with the event, emptied by the sequencer.",
)

ledger_leaves = Table(
    "ledger_leaves",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Uuid(as_uuid=False), nullable=False, unique=True),
    Column("leaf", LargeBinary, nullable=False),
    CheckConstraint("index >= 0", name="ledger_leaves_index"),
)

ledger_tiles = Table(
    "ledger_tiles",
    metadata,
    Column("level", SmallInteger, primary_key=True, autoincrement=False),
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    CheckConstraint("octet_length(hashes) = 8192 AND octet_length(root) = 32", name="ledger_tiles_sizes"),
    comment="Full tiles only (C2SP tlog-tiles); partial ones are prefixes that leaves and roots give.",
)

ledger_checkpoints = Table(
    "ledger_checkpoints",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("root", LargeBinary, nullable=False),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("note", Text, nullable=False),
)

vault_epochs = Table(
    "vault_epochs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key_id", Uuid(as_uuid=False), nullable=False, unique=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
    comment="One row per epoch key; the key itself is a file outside the database. The newest is in use.",
)

vault_subjects = Table(
    "vault_subjects",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("epoch", Integer, ForeignKey("vault_epochs.number"), nullable=False),
    Column("handle", LargeBinary, nullable=False, unique=True),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

vault_items = Table(
    "vault_items",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("subject_id", Uuid(as_uuid=False), ForeignKey("vault_subjects.id"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

APPEND_ONLY = (audit_events, ledger_leaves, ledger_tiles, ledger_checkpoints, vault_epochs)
