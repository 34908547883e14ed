"""What the 64 bits of a mark mean: layout version, key id, and the record's short id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.errors import PayloadError

PAYLOAD_BITS: Final = 64
VERSION_BITS: Final = 4
KEY_ID_BITS: Final = 4
SHORT_ID_BITS: Final = PAYLOAD_BITS - VERSION_BITS - KEY_ID_BITS
CURRENT_VERSION: Final = 1


@dataclass(frozen=True)
class RecordMark:
    """A mark that leads to a record: `version` and `key_id` in 0..15, `short_id` in 0..2^56-1.

    `key_id` numbers the service key that embedded the mark, so that keys can be rotated. Raises `PayloadError`.
    """

    short_id: int
    key_id: int = 0
    version: int = CURRENT_VERSION

    def __post_init__(self) -> None:
        for name, value, bits in (
            ("version", self.version, VERSION_BITS),
            ("key_id", self.key_id, KEY_ID_BITS),
            ("short_id", self.short_id, SHORT_ID_BITS),
        ):
            if not 0 <= value < 1 << bits:
                raise PayloadError(f"Mark field {name} is {value}; expected 0 to {(1 << bits) - 1}.")

    def pack(self) -> int:
        """The 64-bit payload, version in the highest bits."""
        return self.version << (PAYLOAD_BITS - VERSION_BITS) | self.key_id << SHORT_ID_BITS | self.short_id

    @classmethod
    def unpack(cls, payload: int) -> RecordMark:
        """The fields of a payload; raises `PayloadError` where its layout version is unknown."""
        if not 0 <= payload < 1 << PAYLOAD_BITS:
            raise PayloadError(f"Payload {payload} does not fit into {PAYLOAD_BITS} bits.")
        version = payload >> (PAYLOAD_BITS - VERSION_BITS)
        if version != CURRENT_VERSION:
            raise PayloadError(
                f"The mark has layout version {version}; this program knows {CURRENT_VERSION}. "
                "It may come from a newer release."
            )
        return cls(payload & (1 << SHORT_ID_BITS) - 1, payload >> SHORT_ID_BITS & (1 << KEY_ID_BITS) - 1, version)
