"""Writes `docs/events.md` from the schemas: `python -m audit.event_docs > docs/events.md`."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, get_args, get_type_hints

from audit import records
from audit.events import KINDS, Body, Public, marker

_HEADING = """\
# Events of the audit log

<!-- Made from the schemas by `python -m audit.event_docs > docs/events.md`; a test compares the two. -->

Each event is one row that is never changed and never deleted. Its **body** is canonical JSON (RFC 8785, no floats:
scores and other fractions are decimal strings, times are RFC 3339 in UTC, 64-bit numbers are decimal strings):

```
{"kind": ..., "private": "<commitment>", "public": {...}, "record": "<record id or null>", "schema": 1}
```

The ledger commits to the body by SHA-256(salt ‖ body); the salt has 32 random bytes. The member `private` is in
turn SHA-256(private salt ‖ private part), hexadecimal. **Public** fields may be shown to whoever holds a receipt;
**private** fields are for the operator and the auditor. Each part has at most 65,535 bytes; larger evidence is
stored as an object and named by its digest. Personal data is in neither part: events carry vault references.

A change to a schema that readers must know of raises its number. Readers pass over fields that they do not know.
"""


def describe() -> str:
    """The documentation of all kinds of events, as Markdown."""
    sections = [_HEADING, "## Kinds\n"]
    sections.extend(_kind(kind) for kind in KINDS)
    sections.append("## Parts that several kinds have\n")
    sections.extend(_record(record) for record in _shared_records())
    return "\n".join(sections)


def _kind(kind: type[Body]) -> str:
    rows = [
        f"| `{f.name}` | {_type_name(kind, f.name)} | "
        f"{'public' if isinstance(marker(kind, f.name), Public) else 'private'} | {marker(kind, f.name).text} |"
        for f in sorted(dataclasses.fields(kind), key=lambda field: field.name == "details")
    ]
    table = "\n".join(["| field | type | part | meaning |", "| --- | --- | --- | --- |", *rows])
    return f"### `{kind.kind}` (schema {kind.schema})\n\n{kind.doc}\n\n{table}\n"


def _record(record: Any) -> str:
    hints = get_type_hints(record, include_extras=True)
    rows = [
        f"| `{f.name}` | {_type_name(record, f.name)} | {get_args(hints[f.name])[1].text} |"
        for f in dataclasses.fields(record)
    ]
    table = "\n".join(["| field | type | meaning |", "| --- | --- | --- |", *rows])
    summary = (record.__doc__ or "").splitlines()[0]
    return f"### {record.__name__}\n\n{summary}\n\n{table}\n"


def _shared_records() -> list[type]:
    public = (value for name, value in vars(records).items() if not name.startswith("_"))
    return [v for v in public if isinstance(v, type) and dataclasses.is_dataclass(v) and v is not records.Doc]


def _type_name(owner: Any, name: str) -> str:
    hint = get_args(get_type_hints(owner, include_extras=True)[name])[0]
    text = hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)
    for old, new in (
        ("audit.records.", ""),
        ("datetime.datetime", "time"),
        ("collections.abc.Mapping[str, typing.Any]", "object"),
        (" | None", " or null"),
        ("tuple[", "list["),
        (", ...]", "]"),
        ("str", "text"),
        ("int", "integer"),
        ("bool", "true/false"),
    ):
        text = text.replace(old, new)
    return text


if __name__ == "__main__":
    sys.stdout.write(describe())
