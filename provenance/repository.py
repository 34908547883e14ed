"""The repository of manifests: which store belongs to which manifest, and which soft bindings lead to it.

The stores themselves lie in an object store that is not ours to know; the rows hold their references. What is found
by a soft binding is a candidate: whoever uses it validates the store and compares the pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from provenance.fingerprint import AGREES_WITHIN_BITS, ISCC_BITS, image_code_bits
from provenance.tables import credential_bindings, credential_manifests
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

_manifests = credential_manifests.c

FIRST_RETRY: Final = timedelta(minutes=1)
LONGEST_RETRY: Final = timedelta(hours=6)
MAX_RESULTS: Final = 100
_EF_SEARCH: Final = 200


@dataclass(frozen=True)
class StoredManifests:
    """Where a manifest store and its public copy lie; both are encrypted under the same subject's key."""

    subject_id: str
    store_sha256: str
    store_size: int
    public_sha256: str
    public_size: int


@dataclass(frozen=True)
class ManifestEntry:
    """One released image's manifest. manifest_id: the label of the manifest in the released file. fingerprint: its
    ISCC Image-Code. watermark: payload, 16 hexadecimal digits; None without.
    """

    manifest_id: str
    record_id: str
    media_type: str
    stored: StoredManifests
    fingerprint: str
    watermark: str | None
    stamp_state: str = "none"
    stamp_problem: str | None = None


@dataclass(frozen=True)
class Match:
    """similarity: 0 to 100; 100 where the soft binding is the very same."""

    manifest_id: str
    similarity: int


@dataclass(frozen=True)
class DueStamp:
    """A manifest whose signature waits for its time stamp; `attempts` counts those that failed."""

    manifest_id: str
    record_id: str
    attempts: int


class ManifestRepository:
    """On an injected engine. Safe to share between threads; several processes may write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, connection: Connection, entry: ManifestEntry, now: datetime) -> None:
        """Record a manifest. Its image need not be released yet: whoever hands it out looks at that."""
        connection.execute(
            insert(credential_manifests).values(
                manifest_id=entry.manifest_id,
                record_id=entry.record_id,
                media_type=entry.media_type,
                fingerprint=_bits(entry.fingerprint),
                store_subject=entry.stored.subject_id,
                **_references(entry.stored),
                stamp_state=entry.stamp_state,
                stamp_attempts=0,
                stamp_due_at=now + FIRST_RETRY if entry.stamp_state == "pending" else None,
                stamp_problem=entry.stamp_problem,
                added_at=now,
            )
        )
        if entry.watermark is not None:
            connection.execute(
                upsert(credential_bindings)
                .values(alg=WATERMARK_ALGORITHM, value=entry.watermark, manifest_id=entry.manifest_id)
                .on_conflict_do_nothing()
            )

    def get(self, manifest_id: str) -> tuple[str, StoredManifests] | None:
        """The record of a manifest, and where its store lies; None where there is no such manifest."""
        with self._engine.connect() as connection:
            row = connection.execute(select(credential_manifests).where(_manifests.manifest_id == manifest_id)).first()
        return None if row is None else (str(row.record_id), _stored(row))

    def by_watermark(self, payload: str, limit: int) -> list[Match]:
        """Manifests whose picture carries this payload (16 hexadecimal digits)."""
        statement = (
            select(credential_bindings.c.manifest_id)
            .where(credential_bindings.c.alg == WATERMARK_ALGORITHM, credential_bindings.c.value == payload)
            .order_by(credential_bindings.c.manifest_id)
            .limit(min(limit, MAX_RESULTS))
        )
        with self._engine.connect() as connection:
            return [Match(str(manifest_id), 100) for manifest_id in connection.scalars(statement)]

    def by_fingerprint(self, iscc: str, limit: int) -> list[Match]:
        """Manifests whose picture's Image-Code is close, the closest first.

        Only codes within the distance of the same picture count (`AGREES_WITHIN_BITS`): a code that somebody makes
        up leads nowhere, so the repository cannot be listed by asking at random. Raises `FingerprintError`.
        """
        bits = _bits(iscc)
        if bits is None:
            return []
        distance = _manifests.fingerprint.hamming_distance(bits)
        near = (
            select(_manifests.manifest_id, distance.label("distance"))
            .where(_manifests.fingerprint.is_not(None))
            .order_by(distance)
            .limit(min(limit, MAX_RESULTS))
            .subquery()
        )
        statement = select(near).where(near.c.distance <= AGREES_WITHIN_BITS).order_by(near.c.distance)
        with self._engine.connect() as connection, connection.begin():
            connection.execute(text(f"SET LOCAL hnsw.ef_search = {_EF_SEARCH}"))
            return [
                Match(str(row.manifest_id), round(100 * (1 - row.distance / ISCC_BITS)))
                for row in connection.execute(statement)
            ]

    def claim_due(self, connection: Connection, now: datetime, limit: int) -> list[DueStamp]:
        """Manifests whose stamp is due, locked until the caller's transaction ends; those of others are passed over."""
        statement = (
            select(_manifests.manifest_id, _manifests.record_id, _manifests.stamp_attempts)
            .where(_manifests.stamp_state == "pending", _manifests.stamp_due_at <= now)
            .order_by(_manifests.stamp_due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        return [DueStamp(row.manifest_id, row.record_id, row.stamp_attempts) for row in connection.execute(statement)]

    def stamped(self, connection: Connection, manifest_id: str, stored: StoredManifests) -> None:
        """A stamp came: the stores are now these."""
        self._change(
            connection,
            manifest_id,
            {**_references(stored), "stamp_state": "stamped", "stamp_due_at": None, "stamp_problem": None},
        )

    def give_up(self, connection: Connection, manifest_id: str, problem: str) -> None:
        """No stamp will come: the image was erased, or was never released."""
        self._change(
            connection,
            manifest_id,
            {"stamp_state": "none", "stamp_due_at": None, "stamp_problem": problem[:500]},
        )

    def postpone(self, connection: Connection, due: DueStamp, problem: str, now: datetime) -> None:
        """A stamp did not come: ask again later, twice as late each time."""
        delay = min(FIRST_RETRY * 2 ** min(due.attempts + 1, 16), LONGEST_RETRY)
        self._change(
            connection,
            due.manifest_id,
            {"stamp_attempts": due.attempts + 1, "stamp_due_at": now + delay, "stamp_problem": problem[:500]},
        )

    def waiting(self) -> int:
        """How many manifests wait for a stamp."""
        statement = select(func.count()).where(_manifests.stamp_state == "pending")
        with self._engine.connect() as connection:
            return int(connection.scalar(statement) or 0)

    def _change(self, connection: Connection, manifest_id: str, values: Mapping[str, Any]) -> None:
        connection.execute(update(credential_manifests).where(_manifests.manifest_id == manifest_id).values(**values))


SUPPORTED_WATERMARKS: Final[Sequence[str]] = (WATERMARK_ALGORITHM,)
SUPPORTED_FINGERPRINTS: Final[Sequence[str]] = (ISCC_ALGORITHM,)


def _bits(iscc: str) -> str | None:
    """The 256 bits as text of zeros and ones; None where the picture is too empty to be told from others."""
    digest = image_code_bits(iscc)
    if digest is None:
        return None
    return f"{int.from_bytes(digest, 'big'):0{ISCC_BITS}b}"


def _references(stored: StoredManifests) -> dict[str, Any]:
    return {
        "store_sha256": stored.store_sha256,
        "store_size": stored.store_size,
        "public_sha256": stored.public_sha256,
        "public_size": stored.public_size,
    }


def _stored(row: Row[Any]) -> StoredManifests:
    return StoredManifests(str(row.store_subject), row.store_sha256, row.store_size, row.public_sha256, row.public_size)
