"""Canonical JSON (RFC 8785) without floats: one value, one sequence of bytes."""

from __future__ import annotations

import dataclasses
import functools
import json
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias

from audit.errors import BodyValueError, FloatInBodyError

JsonValue: TypeAlias = "bool | int | str | list[JsonValue] | dict[str, JsonValue] | None"

_Path: TypeAlias = "tuple[_Path | None, str | int]"  # from the innermost step outwards; formatted for errors only

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
    """Plain JSON value of dataclasses, mappings, sequences, decimals and times, with keys in canonical order.

    Decimals and times become strings. Fields of dataclasses keep their names.

    Raises:
        FloatInBodyError: a float anywhere inside.
        BodyValueError: anything else that JSON cannot carry exactly; the error names the path.
    """
    return _to_json(value, (None, path), 0)


def canonical_json(value: object) -> bytes:
    """The canonical bytes of `value` (RFC 8785).

    Raises:
        BodyValueError: as `to_json`.
    """
    return dump_canonical(to_json(value))


def dump_canonical(value: JsonValue) -> bytes:
    """The canonical bytes of what `to_json` gave.

    Without floats, RFC 8785 differs from `json`'s compact form in the order of keys alone, which `to_json` gives;
    a test compares with the package `rfc8785`, which takes ten times as long.
    """
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


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


def _to_json(value: object, path: _Path, depth: int) -> JsonValue:
    if value is None:
        return None
    kind: Any = type(value)  # Any: mypy takes no class for hashable
    if kind is str:
        return _text(value, path)  # type: ignore[arg-type]
    if kind is bool:
        return value  # type: ignore[return-value]
    if isinstance(value, Enum):
        return _to_json(value.value, path, depth)
    if depth > MAX_DEPTH:
        raise BodyValueError(_format(path)[:200], f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise BodyValueError(_format(path), f"integer beyond ±{MAX_INTEGER}; pass it as a decimal string")
        return int(value)
    if isinstance(value, float):
        raise FloatInBodyError(_format(path))
    fields = _sorted_fields(kind)
    if fields is not None:
        return _from_dataclass(value, fields, path, depth)
    if isinstance(value, Mapping):
        return {key: _to_json(value[key], (path, key), depth + 1) for key in _sorted_keys(value, path)}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray | memoryview):
        return [_to_json(entry, (path, index), depth + 1) for index, entry in enumerate(value)]
    return _scalar(value, path)


def _scalar(value: object, path: _Path) -> JsonValue:
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise BodyValueError(_format(path), f"{value} is not a finite number")
        return format(value, "f")
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise BodyValueError(_format(path), "a time needs a time zone")
        return time_string(value)
    raise BodyValueError(_format(path), f"{type(value).__name__} has no place in an event; pass text or numbers")


def _sorted_keys(value: Mapping[Any, object], path: _Path) -> list[str]:
    """Keys by their UTF-16 code units (RFC 8785 section 3.2.3), which for ASCII is the order of the text."""
    is_ascii = True
    for key in value:
        if not isinstance(key, str):
            raise BodyValueError(_format(path), f"key {key!r} is not text")
        is_ascii = is_ascii and _text(key, path).isascii()
    return sorted(value) if is_ascii else sorted(value, key=lambda key: key.encode("utf-16-be"))


@functools.cache
def _sorted_fields(kind: type) -> tuple[tuple[str, ...], Callable[[object], Any]] | None:
    """Names of a dataclass's fields in canonical order, and what reads them all; None for other types."""
    if not dataclasses.is_dataclass(kind):
        return None
    names = tuple(sorted(field.name for field in dataclasses.fields(kind)))
    return names, operator.attrgetter(*names) if len(names) > 1 else lambda value: tuple(
        getattr(value, name) for name in names
    )


def _from_dataclass(
    value: object, fields: tuple[tuple[str, ...], Callable[[object], Any]], path: _Path, depth: int
) -> JsonValue:
    names, read = fields
    content: dict[str, JsonValue] = {}
    for name, entry in zip(names, read(value), strict=True):
        if entry is None or (type(entry) is str and entry.isascii()):  # most of an event; spares a call
            content[name] = entry
        else:
            content[name] = _to_json(entry, (path, name), depth + 1)
    return content


def _text(text: str, path: _Path) -> str:
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise BodyValueError(_format(path), "text with a lone surrogate; pass well-formed Unicode") from error
    return str(text)


def _format(path: _Path) -> str:
    parts: list[str] = []
    at: _Path | None = path
    while at is not None:
        at, step = at
        parts.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(parts)).removeprefix(".")
