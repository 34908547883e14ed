from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import canonical_json
from audit.errors import LedgerError
from audit.ledger.leaf import Leaf

ID = "01a20426-d1b0-799e-959d-d03fd81c3291"


@given(st.uuids().map(str), st.datetimes(min_value=datetime(1970, 1, 1)), st.binary(min_size=32, max_size=32))  # noqa: DTZ001
def test_a_leaf_is_canonical_json_and_reads_back(id: str, time: datetime, commitment: bytes) -> None:
    leaf = Leaf(id, time.replace(tzinfo=UTC), commitment)
    fields = {"commitment": commitment.hex(), "id": id, "time": leaf.time, "version": 1}
    assert leaf.encode() == canonical_json(fields)
    assert Leaf.parse(leaf.encode()) == leaf


def test_the_same_moment_in_another_zone_gives_the_same_leaf() -> None:
    moment = datetime(2026, 11, 22, 12, tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert Leaf(ID, moment, b"c" * 32).encode() == Leaf(ID, elsewhere, b"c" * 32).encode()


GOOD = Leaf(ID, datetime(2026, 11, 22, tzinfo=UTC), b"c" * 32).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        GOOD + b" ",
        GOOD.replace(b'"version":1', b'"version":2'),
        GOOD.replace(b'"version":1', b'"version":true'),
        GOOD.replace(b'"version":1', b'"version":1,"x":1'),
        GOOD.replace(b"2026-11-22", b"2026-13-22"),
        GOOD.replace(b"Z", b""),
        GOOD.replace(ID.encode(), ID.upper().encode()),
        GOOD.replace(b"63", b"6", 1),
        b"x" * 2000,
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(LedgerError):
        Leaf.parse(data)


@given(st.binary(max_size=300))
def test_parsing_any_bytes_gives_a_leaf_or_the_typed_error(data: bytes) -> None:
    with pytest.raises(LedgerError):
        Leaf.parse(data)
