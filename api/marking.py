"""Marking images with the service's watermark, and finding the record that a mark leads to."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from api.errors import NotFoundError
from api.records import Record, RecordStore
from audit import keyfiles
from provenance.errors import PayloadError, WatermarkError
from provenance.watermark.mark import Detection, Watermark, WatermarkKey
from provenance.watermark.payload import RecordMark

# Public on purpose: a laboratory mark says only that somebody used this program outside the flow.
_LABORATORY_SECRET = b"imprimatur laboratory watermark key, public"


class MarkUnreadableError(WatermarkError):
    """The mark could not be read back from the pixels that would ship."""


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


def service_mark(key_file: Path) -> Watermark:
    """The mark under the service's key, which is made on first use. Raises `audit.errors.KeyFileError`."""
    from provenance.watermark.block_mark import BlockMark

    secret = keyfiles.read(key_file) if key_file.exists() else keyfiles.create_once(key_file, secrets.token_bytes(32))
    return BlockMark(WatermarkKey(secret, "service"))


def laboratory_mark() -> Watermark:
    """The mark under the public laboratory key."""
    from provenance.watermark.block_mark import BlockMark

    return BlockMark(WatermarkKey(_LABORATORY_SECRET, "laboratory"))


class Marking:
    """The two keys: the service key marks what the flow releases, the laboratory key everything else."""

    def __init__(self, service: Watermark, laboratory: Watermark, records: RecordStore) -> None:
        self.service = service
        self.laboratory = laboratory
        self._records = records

    @staticmethod
    def payload(record: Record) -> int:
        """The 64 bits that lead to a record: layout version, key id, the record's short id."""
        return RecordMark(record.short_id).pack()

    def embed(self, pixels: NDArray[np.uint8], record: Record) -> NDArray[np.uint8]:
        """The pixels with the record's mark; same shape and type."""
        return self.service.embed(pixels, self.payload(record))

    def read_back(self, pixels: NDArray[np.uint8], record: Record) -> ReadBack:
        """Read the mark from the pixels that would ship.

        Raises:
            MarkUnreadableError: it is not there, or leads elsewhere.
        """
        detection = self.service.detect(pixels)
        expected = self.payload(record)
        if not detection.detected or detection.payload != expected:
            raise MarkUnreadableError(
                "the watermark could not be read back from the final image; a picture with so little structure,"
                " or so small, cannot be marked"
            )
        return ReadBack(f"{expected:016x}", self.service.algorithm, detection.confidence)

    def find(self, pixels: NDArray[np.uint8]) -> FoundMark | None:
        """The mark in a picture, if there is one; the service key is tried first."""
        detection = self.service.detect(pixels)
        if detection.detected and detection.payload is not None:
            return FoundMark("service", detection, self._record(detection.payload))
        detection = self.laboratory.detect(pixels)
        if detection.detected:
            return FoundMark("laboratory", detection, None)
        return None

    def _record(self, payload: int) -> Record | None:
        """The released record of a payload; marks of images that were never released lead nowhere."""
        try:
            record = self._records.by_short_id(RecordMark.unpack(payload).short_id)
        except (NotFoundError, PayloadError):
            return None
        return record if record.state == "released" else None
