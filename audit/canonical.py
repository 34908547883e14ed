"""Canonical JSON (RFC 8785) without floats: one value, one sequence of bytes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

import rfc8785

from audit.errors import BodyValueError, FloatInBodyError

JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_INTEGER = 2**53 - 1  # RFC 8785 section 3.2.2.3: numbers are IEEE 754 doubles
MAX_DEPTH = 32


def decimal_string(number: float) -> str:
    """Shortest decimal text that reads back as the same double: 0.1 → "0.1", 1e-7 → "0.0000001".

    Raises:
        BodyValueError: `number` is infinite or not a number.
    """
    exact = Decimal(repr(float(number)))
    if not exact.is_finite():
        raise BodyValueError("$", f"{number} has no decimal form; a score must be finite")
    text = format(exact, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def time_string(time: datetime) -> str:
    """RFC 3339 text in UTC with microseconds, `2026-11-22T16:29:00.000000Z`.

    Raises:
        BodyValueError: `time` has no time zone.
    """
    offset = time.utcoffset()
    if offset is None:
        raise BodyValueError("$", "a time needs a time zone; use datetime.now(UTC)")
    utc = time.replace(tzinfo=None) - offset if offset != timedelta(0) else time.replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds") + "Z"


def to_json(value: object, path: str = "$") -> JsonValue:
    """Plain JSON value of dataclasses, mappings, sequences, decimals and times.

    Decimals and times become strings. Fields of dataclasses keep their names.

    Raises:
        FloatInBodyError: a float anywhere inside.
        BodyValueError: anything else that JSON cannot carry exactly; the error names the path.
    """
    return _to_json(value, path, 0)


def canonical_json(value: object) -> bytes:
    """The canonical bytes of `value` (RFC 8785).

    Raises:
        BodyValueError: as `to_json`.
    """
    return rfc8785.dumps(to_json(value))


def parse_canonical(data: bytes) -> JsonValue:
    """The value of canonical bytes.

    Raises:
        BodyValueError: `data` is not JSON, or not in its canonical form.
    """
    try:
        value: JsonValue = json.loads(data.decode("utf-8"), parse_float=_refuse_number, parse_constant=_refuse_number)
        canonical = canonical_json(value)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError, ValueError) as error:
        raise BodyValueError("$", f"not canonical JSON ({error})") from error
    if canonical != data:
        raise BodyValueError("$", "JSON, but not in its canonical form (RFC 8785)")
    return value


def _refuse_number(text: str) -> Any:
    raise ValueError(f"number {text[:40]} is not an integer")


def _to_json(value: object, path: str, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise BodyValueError(path[:200], f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise BodyValueError(path, f"integer beyond ±{MAX_INTEGER}; pass it as a decimal string")
        return int(value)
    if isinstance(value, float):
        raise FloatInBodyError(path)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise BodyValueError(path, f"{value} is not a finite number")
        return format(value, "f")
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise BodyValueError(path, "a time needs a time zone")
        return time_string(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _to_json(getattr(value, field.name), f"{path}.{field.name}", depth + 1)
            for field in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {_key(key, path): _to_json(entry, f"{path}.{key}", depth + 1) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_to_json(entry, f"{path}[{index}]", depth + 1) for index, entry in enumerate(value)]
    raise BodyValueError(path, f"{type(value).__name__} has no place in an event; pass text or numbers")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise BodyValueError(path, f"key {key!r} is not text")
    return _text(key, path)


def _text(text: str, path: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BodyValueError(path, "text with a lone surrogate; pass well-formed Unicode") from error
    return str(text)
