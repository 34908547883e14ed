from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provenance.errors import PayloadError
from provenance.watermark.payload import CURRENT_VERSION, RecordMark


@given(short_id=st.integers(0, 2**56 - 1), key_id=st.integers(0, 15))
def test_what_is_packed_is_unpacked(short_id: int, key_id: int) -> None:
    mark = RecordMark(short_id, key_id)
    assert RecordMark.unpack(mark.pack()) == mark
    assert 0 <= mark.pack() < 2**64


def test_the_layout_is_version_then_key_then_id() -> None:
    assert RecordMark(short_id=0xABCDEF01234567, key_id=0x9).pack() == 0x19ABCDEF01234567


@pytest.mark.parametrize("fields", [{"short_id": -1}, {"short_id": 2**56}, {"key_id": 16}, {"version": 16}])
def test_fields_out_of_range_are_refused(fields: dict[str, int]) -> None:
    with pytest.raises(PayloadError, match=next(iter(fields))):
        RecordMark(**({"short_id": 1} | fields))


@pytest.mark.parametrize("version", [v for v in range(16) if v != CURRENT_VERSION])
def test_an_unknown_layout_is_refused(version: int) -> None:
    with pytest.raises(PayloadError, match=f"layout version {version}"):
        RecordMark.unpack(version << 60)


@pytest.mark.parametrize("payload", [-1, 2**64])
def test_other_numbers_are_no_payload(payload: int) -> None:
    with pytest.raises(PayloadError, match="64 bits"):
        RecordMark.unpack(payload)
