from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from provenance.disclosure import DisclosureFields
from provenance.errors import EncodingError
from provenance.vocabulary import COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA, TRAINED_ALGORITHMIC_MEDIA
from tests.provenance.pictures import NOW

GOOD: dict[str, Any] = {
    "provider": "Example Press",
    "system": "Imprimatur",
    "version": "0.1.0",
    "created_at": NOW,
    "unique_id": "018f-record",
}


def test_a_created_and_an_altered_picture_have_different_source_types() -> None:
    assert DisclosureFields(**GOOD).digital_source_type == TRAINED_ALGORITHMIC_MEDIA
    altered = DisclosureFields(**GOOD, created_or_altered="altered")
    assert altered.digital_source_type == COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA


def test_times_are_told_in_utc() -> None:
    local = NOW.astimezone(timezone(timedelta(hours=8)))
    assert DisclosureFields(**(GOOD | {"created_at": local})).created_at_text == "2026-11-22T12:00:00Z"


def test_the_aigc_label_names_producer_and_id() -> None:
    label = json.loads(DisclosureFields(**(GOOD | {"provider": "新闻社"})).aigc_label)
    assert label["Label"] == "1"
    assert label["ContentProducer"] == "新闻社"
    assert label["ProduceID"] == "018f-record"
    assert set(label) == {
        "Label",
        "ContentProducer",
        "ProduceID",
        "ReservedCode1",
        "ContentPropagator",
        "PropagateID",
        "ReservedCode2",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"provider": ""},
        {"system": "two\nlines"},
        {"unique_id": "\x00"},
        {"created_at": datetime(2026, 1, 1)},  # noqa: DTZ001  (what is tested)
    ],
)
def test_fields_that_cannot_be_written_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(EncodingError, match=next(iter(changes))):
        DisclosureFields(**(GOOD | changes))
