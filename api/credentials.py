"""The repository of manifests in the service: what is kept at release, stamped later, and handed to strangers."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from api.boundaries import unavailable
from api.errors import InvalidInputError, NotFoundError, ServiceError
from api.publishing import Published, Publisher
from api.records import Record
from audit.errors import AuditError, ErasedError
from audit.records import ObjectReference
from provenance.errors import FingerprintError, ManifestStoreError, ProvenanceError
from provenance.fingerprint import ISCC_BITS
from provenance.jumbf import only_active_manifest
from provenance.repository import DueStamp, ManifestEntry, ManifestRepository, Match, StoredManifests
from provenance.update_manifest import ingredient_thumbnails
from provenance.vocabulary import ISCC_ALGORITHM, WATERMARK_ALGORITHM

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from api.decoding import DecodedImage
    from api.marking import Marking
    from api.records import RecordStore
    from api.results import Results
    from audit.objects import ObjectStore

_LOGGER = logging.getLogger(__name__)

MANIFEST_ROLE = "manifest"
STAMPS_AT_ONCE = 20
_UNCOMPARED = 50  # similarity where the mark leads to a manifest, but the pixels cannot be compared


@dataclass(frozen=True, slots=True)
class Recovered:
    """A record that a soft binding led to, and the manifest store that is kept for it.

    manifest_store: None where its subject was erased.
    """

    record: Record
    manifest_id: str
    manifest_store: bytes | None


class Credentials:
    """Keeps, finds and hands out manifests. Thread-safe."""

    def __init__(
        self,
        engine: Engine,
        records: RecordStore,
        objects: Callable[[], ObjectStore],
        publisher: Callable[[], Publisher],
        results: Callable[[], Results],
        marking: Callable[[], Marking],
        clock: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._repository = ManifestRepository(engine)
        self._records = records
        self._objects = objects
        self._publisher = publisher
        self._results = results
        self._marking = marking
        self._clock = clock

    # -- keeping -------------------------------------------------------------------------------------------------

    def keep(self, published: Published, record: Record, image_format: str, subject: str) -> None:
        """Keep the manifest of an image that is about to be released; nobody is given it before that.

        Strangers will get a copy without the thumbnails of ingredients, which are pictures that a customer sent.
        Raises `ProvenanceError`, `UnavailableError`, `AuditError`.
        """
        store = published.signed.manifest_store
        hidden = ingredient_thumbnails(published.signed.report)
        now = self._clock()
        public = store
        if hidden:
            public = self._publisher().update(published.data, image_format, redact=hidden, stamp=False, when=now)
        with unavailable():
            kept = self._objects().put(store, subject, MANIFEST_ROLE)
            shown = kept if public is store else self._objects().put(public, subject, MANIFEST_ROLE)
        entry = ManifestEntry(
            manifest_id=published.signed.manifest_label,
            record_id=record.record_id,
            media_type=f"image/{image_format}",
            stored=StoredManifests(kept.subject_id, kept.sha256, kept.size, shown.sha256, shown.size),
            fingerprint=published.fingerprint.iscc,
            watermark=published.mark,
            stamp_state=published.signed.time_stamp,
            stamp_problem=published.signed.time_stamp_problem,
        )
        with unavailable(), self._engine.begin() as connection:
            self._repository.add(connection, entry, now)

    # -- stamping what was signed while the authority was away ----------------------------------------------------

    def waiting_stamps(self) -> int:
        """How many manifests wait for a time stamp."""
        with unavailable():
            return self._repository.waiting()

    def stamp_due(self) -> int:
        """Stamp what is due; returns how many stamps came. Several processes may do this at once."""
        if self._publisher().authority is None:
            return 0
        stamped = 0
        with unavailable(), self._engine.begin() as connection:
            for due in self._repository.claim_due(connection, self._clock(), STAMPS_AT_ONCE):
                try:
                    stored = self._stamp(due)
                except NotFoundError as error:
                    self._repository.give_up(connection, due.manifest_id, error.message)
                except (ProvenanceError, AuditError, ServiceError) as error:
                    _LOGGER.warning("manifest %s is not stamped yet: %s", due.manifest_id, error)
                    self._repository.postpone(connection, due, str(error), self._clock())
                else:
                    self._repository.stamped(connection, due.manifest_id, stored)
                    stamped += 1
        return stamped

    def _stamp(self, due: DueStamp) -> StoredManifests:
        record = self._records.get(due.record_id)
        if record.state != "released":
            raise NotFoundError("its image was not released")
        signed, media_type = self._results().released_file(record)
        found = self._repository.get(due.manifest_id)
        assert found is not None, "its row is locked by this transaction"
        before = found[1]
        reference = ObjectReference(before.store_sha256, before.subject_id, before.store_size, MANIFEST_ROLE)
        image_format = media_type.removeprefix("image/")
        publisher, now = self._publisher(), self._clock()
        store = publisher.update(signed, image_format, stamp=True, when=now)
        hidden = ingredient_thumbnails(publisher.read(signed, media_type))
        public = publisher.update(signed, image_format, redact=hidden, stamp=True, when=now) if hidden else store
        kept = self._objects().put_beside(store, reference, MANIFEST_ROLE)
        shown = kept if public is store else self._objects().put_beside(public, reference, MANIFEST_ROLE)
        return StoredManifests(kept.subject_id, kept.sha256, kept.size, shown.sha256, shown.size)

    # -- finding -------------------------------------------------------------------------------------------------

    def by_binding(self, alg: str, value: bytes, limit: int) -> list[Match]:
        """Released manifests that a soft binding leads to, the closest first.

        Args:
            alg: `org.imprimatur.watermark.1` (value: the 8 bytes of the payload, or its 16 hexadecimal digits) or
                `io.iscc.v0` (value: the code as text).

        Raises:
            InvalidInputError: another algorithm, or a value that is none of it.
        """
        with unavailable():
            if alg == WATERMARK_ALGORITHM:
                found = self._repository.by_watermark(_payload(value), limit)
            elif alg == ISCC_ALGORITHM:
                try:
                    found = self._repository.by_fingerprint(value.decode("ascii"), limit)
                except (FingerprintError, UnicodeDecodeError) as error:
                    raise InvalidInputError("value is no ISCC Image-Code of 256 bits", parameter="value") from error
            else:
                raise InvalidInputError(
                    f"the algorithm {alg[:100]!r} is not supported; see /services/supportedAlgorithms",
                    parameter="alg",
                )
        return [match for match in found if self._released(match.manifest_id) is not None]

    def by_content(
        self, image: DecodedImage, alg: str | None, limit: int, hint: tuple[str, bytes] | None = None
    ) -> list[Match]:
        """Released manifests that an image leads to, by its watermark and its fingerprint.

        A mark counts only where the aligned pixels agree with, or cannot be compared to, those that were released: a
        mark that was carried over to another picture leads nowhere.
        """
        from provenance.fingerprint import fingerprint

        matches: dict[str, Match] = {}
        if alg in (None, WATERMARK_ALGORITHM):
            for match in self._by_mark(image, limit):
                matches[match.manifest_id] = match
        if alg in (None, ISCC_ALGORITHM):
            code = fingerprint(image.pixels).iscc.encode()
            for match in self.by_binding(ISCC_ALGORITHM, code, limit):
                matches[match.manifest_id] = _better(matches.get(match.manifest_id), match)
        if hint is not None:
            hinted = {match.manifest_id for match in self.by_binding(*hint, limit)}
            matches = {name: match for name, match in matches.items() if name in hinted} or matches
        return sorted(matches.values(), key=lambda match: -match.similarity)[:limit]

    def _by_mark(self, image: DecodedImage, limit: int) -> list[Match]:
        marking = self._marking()
        mark = marking.find(image.pixels)
        if mark is None or mark.record is None:
            return []
        agreement = marking.compare(mark, image.pixels, *self._results().pixels_of(mark.record)).agreement
        if agreement.verdict == "differs":
            return []
        distance = agreement.iscc_distance
        similarity = _UNCOMPARED if distance is None else round(100 * (1 - distance / ISCC_BITS))
        payload = f"{mark.detection.payload:016x}".encode()
        return [Match(one.manifest_id, similarity) for one in self.by_binding(WATERMARK_ALGORITHM, payload, limit)]

    # -- handing out ---------------------------------------------------------------------------------------------

    def public_store(self, manifest_id: str, *, only_active: bool) -> bytes:
        """The manifest store that strangers may see; `NotFoundError` alike for what is not there and not public."""
        found = self._released(manifest_id)
        if found is None:
            raise NotFoundError("no such manifest")
        stored = found[1]
        store = self._get(ObjectReference(stored.public_sha256, stored.subject_id, stored.public_size, MANIFEST_ROLE))
        if not only_active:
            return store
        try:
            return only_active_manifest(store)
        except ManifestStoreError as error:
            raise ServiceError(f"the kept manifest {manifest_id} cannot be read") from error

    def recover(self, record: Record) -> Recovered | None:
        """The manifest that is kept for a released record; None where none is."""
        credential = self._results().credential(record)
        if credential is None:
            return None
        with unavailable():
            found = self._repository.get(str(credential["manifest"]))
        if found is None or found[0] != record.record_id:
            return None
        stored = found[1]
        reference = ObjectReference(stored.store_sha256, stored.subject_id, stored.store_size, MANIFEST_ROLE)
        try:
            store: bytes | None = self._get(reference)
        except NotFoundError:
            store = None
        return Recovered(record, str(credential["manifest"]), store)

    def _released(self, manifest_id: str) -> tuple[str, StoredManifests] | None:
        """The record and stores of a manifest, where it is the one that its record was released with."""
        with unavailable():
            found = self._repository.get(manifest_id)
        if found is None:
            return None
        try:
            record = self._records.get(found[0])
        except NotFoundError:
            return None
        credential: Any = self._results().credential(record) if record.state == "released" else None
        if credential is None or not hmac.compare_digest(str(credential["manifest"]).encode(), manifest_id.encode()):
            return None
        return found

    def _get(self, reference: ObjectReference) -> bytes:
        try:
            with unavailable():
                return self._objects().get(reference)
        except ErasedError as error:
            raise NotFoundError("no such manifest") from error


def _payload(value: bytes) -> str:
    """A watermark's payload as 16 hexadecimal digits, from its 8 bytes or from those digits."""
    if len(value) == 8:
        return value.hex()
    try:
        return bytes.fromhex(value.decode("ascii")).hex() if len(value) == 16 else _no_payload()
    except ValueError:
        return _no_payload()


def _no_payload() -> str:
    raise InvalidInputError("value is no payload: expected 8 bytes or 16 hexadecimal digits", parameter="value")


def _better(first: Match | None, second: Match) -> Match:
    return second if first is None or second.similarity > first.similarity else first
