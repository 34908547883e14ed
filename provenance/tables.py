"""Tables of the manifest repository and of the trust lists that were in force."""

from __future__ import annotations

from pgvector.sqlalchemy import BIT
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
    String,
    Table,
    Text,
    Uuid,
    text,
)

metadata = MetaData()

STAMP_STATES = ("none", "stamped", "pending")

credential_manifests = Table(
    "credential_manifests",
    metadata,
    Column("manifest_id", Text, primary_key=True),
    Column("record_id", String(36), nullable=False, index=True),
    Column("media_type", Text, nullable=False),
    Column("fingerprint", BIT(256)),
    Column("store_sha256", String(64), nullable=False),
    Column("store_subject", Uuid(as_uuid=False), nullable=False),
    Column("store_size", BigInteger, nullable=False),
    Column("public_sha256", String(64), nullable=False),
    Column("public_size", BigInteger, nullable=False),
    Column("stamp_state", String(8), nullable=False),
    Column("stamp_attempts", Integer, nullable=False),
    Column("stamp_due_at", DateTime(timezone=True)),
    Column("stamp_problem", Text),
    Column("added_at", DateTime(timezone=True), nullable=False),
    CheckConstraint(f"stamp_state IN {STAMP_STATES}", name="credential_manifests_stamp_state"),
    CheckConstraint("(stamp_state = 'pending') = (stamp_due_at IS NOT NULL)", name="credential_manifests_stamp_due"),
    Index("credential_manifests_due", "stamp_due_at", postgresql_where=text("stamp_state = 'pending'")),
    Index(
        "credential_manifests_fingerprint",
        "fingerprint",
        postgresql_using="hnsw",
        postgresql_with={"m": 16, "ef_construction": 64},
        postgresql_ops={"fingerprint": "bit_hamming_ops"},
    ),
    comment="Where the manifest store of each released image lies; `public` is the copy that strangers may fetch.",
)

credential_bindings = Table(
    "credential_bindings",
    metadata,
    Column("alg", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("manifest_id", Text, ForeignKey(credential_manifests.c.manifest_id), primary_key=True),
    comment="Soft bindings that are looked up by equality (watermarks).",
)

trust_snapshots = Table(
    "trust_snapshots",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("kept_at", DateTime(timezone=True), nullable=False),
    comment="Every state of the trust lists that a verification used, under its SHA-256.",
)

trust_changes = Table(
    "trust_changes",
    metadata,
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("digest", String(64), ForeignKey(trust_snapshots.c.digest), nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    comment="Which snapshot is in force; the newest row counts. None: the lists that ship.",
)
