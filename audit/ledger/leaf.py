"""Leaves: what the public sees of an event, `{commitment, id, time, version}` in canonical JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from audit.canonical import parse_canonical, time_string
from audit.errors import BodyValueError, LedgerError

LEAF_VERSION = 1
MAX_LEAF_BYTES = 1024

_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_COMMITMENT = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True)
class Leaf:
    """Content of one leaf.

    Args:
        id: the event's id.
        time: when the event was appended, by the operator's clock.
        commitment: SHA-256(salt ‖ body), 32 bytes.
    """

    id: str
    time: datetime
    commitment: bytes

    def encode(self) -> bytes:
        """The exact bytes that the tree hashes."""
        # Equal to canonical_json of the mapping (a test compares), and a tenth of its time.
        return (
            f'{{"commitment":"{self.commitment.hex()}","id":"{self.id}",'
            f'"time":"{time_string(self.time)}","version":{LEAF_VERSION}}}'
        ).encode()

    @classmethod
    def parse(cls, data: bytes) -> Leaf:
        """Reads the bytes of a leaf.

        Raises:
            LedgerError: they are not exactly what `encode` gives for some leaf.
        """
        try:
            value = parse_canonical(data) if len(data) <= MAX_LEAF_BYTES else None
        except BodyValueError as error:
            raise LedgerError(f"the leaf is no canonical JSON: {error}") from error
        if isinstance(value, dict):
            match value:
                case {"commitment": str(commitment), "id": str(id), "time": str(time)} if (
                    _COMMITMENT.fullmatch(commitment) and _ID.fullmatch(id) and _TIME.fullmatch(time)
                ):
                    leaf = cls(id, _parse_time(time), bytes.fromhex(commitment))
                    if leaf.encode() == data:
                        return leaf
        raise LedgerError(
            f"not a leaf of version {LEAF_VERSION}; expected commitment, id, time and version, got {data[:200]!r}"
        )


def _parse_time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise LedgerError(f"the leaf's time {text} is no date") from error
