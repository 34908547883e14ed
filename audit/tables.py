"""The package's tables in PostgreSQL.

`audit_events`, `ledger_leaves`, `ledger_tiles`, `ledger_checkpoints`, `ledger_stamps` and `vault_epochs` are
append-only (`audit.ddl`). There are no foreign keys from the ledger to the events: they would lock, and so rewrite,
each event row; `audit.fsck` compares the two instead.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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

ledger_stamps = Table(
    "ledger_stamps",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("authority", Text, primary_key=True),
    Column("time", DateTime(timezone=True), nullable=False),
    Column("response", LargeBinary, nullable=False),
    comment="RFC 3161 responses over the notes of checkpoints; `time` is the authority's.",
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
    Column("person", LargeBinary, nullable=False, index=True),
    Column("tenant", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("month", Date),
    Column("wrapped_key", LargeBinary, nullable=False),
    Column("name", LargeBinary, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Index("vault_subjects_retention", "kind", "month"),
    comment="One key for each subject, kind of data and month: what retention and erasure act on.",
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

vault_destructions = Table(
    "vault_destructions",
    metadata,
    Column("subject_id", Uuid(as_uuid=False), primary_key=True),
    Column("epoch_key", Uuid(as_uuid=False), nullable=False),
    comment="Erasures that are committed and not completed: an epoch key to destroy, objects to remove.",
)

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("subject", JSONB),
    Column("tenant", Text),
    Column("records", ARRAY(Text)),
    Column("reason", Text, nullable=False),
    Column("placed_at", DateTime(timezone=True), nullable=False),
    Column("released_at", DateTime(timezone=True)),
    CheckConstraint("num_nonnulls(subject, tenant, records) = 1", name="legal_holds_scope"),
    comment="`subject` is a vault reference to the subject's name.",
)

APPEND_ONLY = (audit_events, ledger_leaves, ledger_tiles, ledger_checkpoints, ledger_stamps, vault_epochs)
