import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from audit.canonical import (
    MAX_DEPTH,
    MAX_INTEGER,
    canonical_json,
    decimal_string,
    parse_canonical,
    time_string,
    to_json,
)
from audit.errors import BodyValueError, FloatInBodyError

integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
json_values = st.recursive(
    st.none() | st.booleans() | integers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_canonical_bytes_read_back_as_the_same_value(value: Any) -> None:
    assert parse_canonical(canonical_json(value)) == value


@given(json_values)
def test_canonical_bytes_are_those_of_an_independent_implementation(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_control_characters_and_quotes_are_written_as_rfc_8785_has_it() -> None:
    value = "".join(map(chr, range(0x20))) + '"\\/\x7f\u2028é€😀'
    assert canonical_json(value) == rfc8785.dumps(value)


def test_keys_are_sorted_by_utf16_units_as_rfc_8785_has_it() -> None:
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\u0080": 6, "\u00f6": 7}
    keys = list(json.loads(canonical_json(value)))
    assert keys == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (0.5, "$"),
        ({"a": [1, {"b": 0.1}]}, "$.a[1].b"),
        ({"score": math.nan}, "$.score"),
        ({"score": 1.0}, "$.score"),
    ],
)
def test_floats_are_refused_with_their_path(value: object, path: str) -> None:
    with pytest.raises(FloatInBodyError) as caught:
        canonical_json(value)
    assert caught.value.path == path
    assert path in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        {"n": MAX_INTEGER + 1},
        {"n": b"bytes"},
        {"n": object()},
        {"n": {1: "key"}},
        {"n": "\ud800"},
        {"\udfff": 1},
        {"n": Decimal("NaN")},
        {"n": datetime(2026, 1, 1)},  # noqa: DTZ001 -- it is what the test is about
        {"n": {1, 2}},
    ],
)
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(BodyValueError):
        canonical_json(value)


def test_nesting_is_bounded() -> None:
    value: object = "deep"
    for _ in range(MAX_DEPTH + 2):
        value = [value]
    with pytest.raises(BodyValueError, match="nested deeper"):
        canonical_json(value)


def test_dataclasses_decimals_times_and_enums_become_plain_json() -> None:
    class Outcome(StrEnum):
        PASS = "pass"

    @dataclass
    class Part:
        score: Decimal
        at: datetime
        outcome: Outcome

    moment = datetime(2026, 11, 22, 17, 29, tzinfo=timezone(timedelta(hours=1)))
    assert to_json((Part(Decimal("0.10"), moment, Outcome.PASS),)) == [
        {"score": "0.10", "at": "2026-11-22T16:29:00.000000Z", "outcome": "pass"}
    ]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_decimal_strings_read_back_as_the_same_double_without_exponent(number: float) -> None:
    text = decimal_string(number)
    assert float(text) == number
    assert "e" not in text.lower()


@pytest.mark.parametrize("number", [math.inf, -math.inf, math.nan])
def test_a_score_that_is_not_finite_has_no_decimal_string(number: float) -> None:
    with pytest.raises(BodyValueError):
        decimal_string(number)


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9, minutes=-30))])))
def test_time_strings_name_the_same_moment(moment: datetime) -> None:
    try:
        text = time_string(moment)
    except OverflowError:
        return  # the first or last day of the calendar, moved to UTC
    assert datetime.fromisoformat(text) == moment


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1.0}', b'{"a":1,"a":2}', b"NaN", b"\xff", b"[" * 10_000],
)
def test_bytes_that_are_not_canonical_are_refused(data: bytes) -> None:
    with pytest.raises(BodyValueError):
        parse_canonical(data)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:0123456789abtrue', max_size=60).map(str.encode))
def test_parsing_any_bytes_gives_a_value_or_the_typed_error(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except BodyValueError:
        return
    assert canonical_json(value) == data
