"""Marking images with the service's watermark, and finding the record that a mark leads to."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.errors import InvalidInputError, NotFoundError
from api.records import Record, RecordStore
from audit import keyfiles
from audit.events import Event, KeyRotated
from provenance.errors import PayloadError, PictureTooSmallError
from provenance.fingerprint import Agreement, Fingerprint, compare, fingerprint
from provenance.region import Region, find_region, shares_a_part
from provenance.watermark.mark import GRID_SIDE, Detection, Watermark, WatermarkKey
from provenance.watermark.payload import KEY_ID_BITS, RecordMark
from safety.findings import UNMARKED_CATEGORY, Finding, Outcome

MARK_KEYS = 1 << KEY_ID_BITS
_SHAPE_TOLERANCE = 0.02  # of the sides' ratio
# Public on purpose: a laboratory mark says only that somebody used this program outside the flow.
_LABORATORY_SECRET = b"imprimatur laboratory watermark key, public"


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The mark as read from the final pixels: payload in hexadecimal, confidence in [0, 1]."""

    payload: str
    algorithm: str
    confidence: float


@dataclass(frozen=True, slots=True)
class FoundMark:
    """A mark that was detected in a picture.

    `kind`: "service" or "laboratory". `record`: the released record that a service mark leads to.
    """

    kind: str
    detection: Detection
    record: Record | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A picture beside the released one that its mark leads to.

    `agreement`: by fingerprints of the whole pictures, or, where the picture shows a part or has something around it,
    by `region`, the part of the released picture that was found in it.
    """

    agreement: Agreement
    region: Region | None = None


class ServiceKeys:
    """The service's watermark keys in a folder, numbered 0 to 15; the newest marks, all read.

    Raises `audit.errors.KeyFileError` wherever a file cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def secrets(self) -> list[bytes]:
        """All keys in the order of their numbers; the first is made on first use."""
        found = [self._read_or_create(0)]
        while len(found) < MARK_KEYS and self._file(len(found)).exists():
            found.append(keyfiles.read(self._file(len(found))))
        return found

    def rotate(self, append: Callable[[Event], object]) -> int:
        """Make the next key, with its event, and return its number; it marks from each process's next start on.

        Raises:
            InvalidInputError: the numbers are used up.
            UnavailableError: the event could not be written; then there is no new key either.
        """
        number = len(self.secrets())
        if number >= MARK_KEYS:
            raise InvalidInputError(
                f"all {MARK_KEYS} key numbers that a mark can name are used; keep the newest", parameter="keys"
            )
        self._read_or_create(number)
        try:
            append(
                Event(None, KeyRotated(purpose="watermark", before=f"number {number - 1}", after=f"number {number}"))
            )
        except BaseException:
            self._file(number).unlink()
            raise
        return number

    def _read_or_create(self, number: int) -> bytes:
        file = self._file(number)
        return keyfiles.read(file) if file.exists() else keyfiles.create_once(file, secrets.token_bytes(32))

    def _file(self, number: int) -> Path:
        return self._folder / (f"watermark-{number}.key" if number else "watermark.key")


def marks(keys: ServiceKeys) -> tuple[Watermark, Watermark, int]:
    """The service's mark, which also reads all older keys and the laboratory's; the laboratory's mark; the key number.

    One look at a picture serves every key.
    """
    from provenance.watermark.lattice_mark import LatticeMark

    laboratory = WatermarkKey(_LABORATORY_SECRET, "laboratory")
    found = [WatermarkKey(secret, "service") for secret in keys.secrets()]
    newest_first = found[::-1]
    service = LatticeMark(newest_first[0], [*newest_first[1:], laboratory])
    return service, LatticeMark(laboratory), len(found) - 1


class Marking:
    """The two kinds of keys: a service key marks what the flow releases, the laboratory key everything else.

    `service` reads every key, `key_number` is the number of the one that it marks with.
    """

    def __init__(self, service: Watermark, laboratory: Watermark, records: RecordStore, key_number: int = 0) -> None:
        self.service = service
        self.laboratory = laboratory
        self._records = records
        self._key_number = key_number

    def payload(self, record: Record) -> int:
        """The 64 bits that lead to a record: layout version, key number, the record's short id."""
        return RecordMark(record.short_id, self._key_number).pack()

    def embed(self, pixels: NDArray[np.uint8], record: Record) -> NDArray[np.uint8]:
        """The pixels with the record's mark, same shape and type; as they are where their shape cannot be marked."""
        try:
            return self.service.embed(pixels, self.payload(record))
        except PictureTooSmallError:
            return pixels

    def read_back(self, pixels: NDArray[np.uint8], record: Record) -> ReadBack | None:
        """The mark as read from the pixels that would ship; None where it is not there, or leads elsewhere."""
        detection = self.service.detect(pixels)
        expected = self.payload(record)
        if detection.payload != expected or detection.key_name != "service":
            return None
        return ReadBack(f"{expected:016x}", self.service.algorithm, detection.confidence)

    def finding(self, read_back: ReadBack | None) -> Finding:
        """What the policy is told: `unmarked` blocks where no mark could be read back."""
        return Finding(
            check="watermark.read_back",
            version=self.service.algorithm,
            category=UNMARKED_CATEGORY,
            score=0.0 if read_back else 1.0,
            threshold=1.0,
            outcome=Outcome.PASS if read_back else Outcome.BLOCK,
        )

    def find(self, pixels: NDArray[np.uint8]) -> FoundMark | None:
        """The mark in a picture, if there is one; the service's keys come before the laboratory's."""
        detection = self.service.detect(pixels)
        if detection.payload is None:
            return None
        leads = detection.key_name == "service"
        return FoundMark(detection.key_name, detection, self._record(detection.payload) if leads else None)

    @staticmethod
    def compare(
        found: FoundMark,
        pixels: NDArray[np.uint8],
        recorded: Fingerprint,
        size: tuple[int, int],
        released: Callable[[], NDArray[np.uint8] | None],
    ) -> Comparison:
        """Compare a picture, laid as its mark says, with the one that the mark leads to.

        `recorded`, `size` (width, height): of the released picture. What was cropped, padded or tilted is looked for
        in `released()` (None where that is gone), and agrees or is not comparable. Only a picture that must show the
        released one whole and straight can differ from it: one of its shape by the fingerprint alone, a larger one
        where besides no part of it is found there.
        """
        geometry = found.detection.geometry
        aligned = geometry.align(pixels)
        agreement = compare(fingerprint(aligned), recorded)
        stretch = math.log(aligned.shape[1] / aligned.shape[0] * size[1] / size[0])
        comparable = geometry.shows_whole(*pixels.shape[1::-1]) and abs(stretch) < _SHAPE_TOLERANCE
        if agreement.verdict == "agrees" or (agreement.verdict == "differs" and comparable):
            return Comparison(agreement)
        whole = released()
        if whole is None:
            return Comparison(replace(agreement, verdict="not_comparable"))
        scale = GRID_SIDE * geometry.scale / min(size)
        region = find_region(aligned, whole, scale)
        if region is not None:
            return Comparison(replace(agreement, verdict="agrees"), region)
        is_whole = agreement.verdict == "differs" and geometry.shows_whole(*pixels.shape[1::-1])
        if is_whole and shares_a_part(aligned, whole, scale) is False:
            return Comparison(agreement)
        return Comparison(replace(agreement, verdict="not_comparable"))

    def _record(self, payload: int) -> Record | None:
        """The released record of a payload; marks of images that were never released lead nowhere."""
        try:
            record = self._records.by_short_id(RecordMark.unpack(payload).short_id)
        except (NotFoundError, PayloadError):
            return None
        return record if record.state == "released" else None
