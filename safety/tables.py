"""Tables of the safety package: the reference index."""

from __future__ import annotations

from pgvector.sqlalchemy import BIT
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Sequence,
    Table,
    Text,
    text,
)

metadata = MetaData()

PHASH_BITS = 256

reference_changes = Sequence("reference_changes", metadata=metadata)
"""Numbers additions and withdrawals alike; taken only under the lock that writers hold until they commit,
so that a reader who sees number n sees every change up to n (`safety.duplicates.index`)."""

reference_works = Table(
    "reference_works",
    metadata,
    Column("added_change", BigInteger, primary_key=True, autoincrement=False),
    Column("withdrawn_change", BigInteger, unique=True),
    Column("id", Text, nullable=False, unique=True),
    Column("source", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("phash", BIT(PHASH_BITS), nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("rights_claim", Text),
    Column("added_at", DateTime(timezone=True), nullable=False),
    Column("withdrawn_at", DateTime(timezone=True)),
    CheckConstraint("(withdrawn_at IS NULL) = (withdrawn_change IS NULL)", name="reference_works_withdrawn_together"),
    # The same bytes are listed once; after a withdrawal they may be listed again, as another reference.
    Index(
        "reference_works_listed_sha256",
        "sha256",
        unique=True,
        postgresql_where=text("withdrawn_change IS NULL"),
    ),
    Index(
        "reference_works_phash_hnsw",
        "phash",
        postgresql_using="hnsw",
        postgresql_ops={"phash": "bit_hamming_ops"},
        postgresql_with={"m": 16, "ef_construction": 64},
    ),
)
"""Listed works. Rows are never deleted, so that old records explain themselves. Rights are *claimed* by
someone; `rights_claim` says by whom, and nobody here judged the claim."""

reference_thumbnails = Table(
    "reference_thumbnails",
    metadata,
    Column("reference_id", Text, ForeignKey("reference_works.id"), primary_key=True),
    Column("jpeg", LargeBinary, nullable=False),
)
"""Small pictures of listed works, so that a person can see what a match is about; nothing is searched in them."""
