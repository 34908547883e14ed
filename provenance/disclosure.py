"""What we disclose about a picture: one source for the credential, IPTC/XMP and the AIGC label."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from provenance.errors import EncodingError
from provenance.vocabulary import COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA, TRAINED_ALGORITHMIC_MEDIA

AIGC_LABEL_IS_GENERATED: Final = "1"  # GB 45438-2025 annex E: 1 = is, 2 = may be, 3 = suspected


@dataclass(frozen=True)
class DisclosureFields:
    """Who made the picture with what, when, and under which id; never the prompt.

    `created_or_altered`: `created` where a model made the whole picture, `altered` where it changed a given one.
    Raises `EncodingError` for empty fields, control characters, or a time without a zone.
    """

    provider: str
    system: str
    version: str
    created_at: datetime
    unique_id: str
    created_or_altered: Literal["created", "altered"] = "created"

    def __post_init__(self) -> None:
        for name in ("provider", "system", "version", "unique_id"):
            value = getattr(self, name)
            if not value or not value.isprintable():
                raise EncodingError(f"Disclosure field {name} is {value!r}; expected one line of printable text.")
        if self.created_at.tzinfo is None:
            raise EncodingError("Disclosure field created_at has no time zone; give a timezone-aware time.")

    @property
    def digital_source_type(self) -> str:
        if self.created_or_altered == "created":
            return TRAINED_ALGORITHMIC_MEDIA
        return COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA

    @property
    def created_at_text(self) -> str:
        return self.created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    @property
    def aigc_label(self) -> str:
        """The GB 45438-2025 metadata label (annex E) as compact JSON; we produce, others propagate."""
        return json.dumps(
            {
                "Label": AIGC_LABEL_IS_GENERATED,
                "ContentProducer": self.provider,
                "ProduceID": self.unique_id,
                "ReservedCode1": "",
                "ContentPropagator": "",
                "PropagateID": "",
                "ReservedCode2": "",
            },
            ensure_ascii=False,
            separators=(",", ":"),
        )
