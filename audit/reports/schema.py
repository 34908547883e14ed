"""Writes `docs/report-schema.json` from the types: `python -m audit.reports.schema > docs/report-schema.json`."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any, get_args, get_origin, get_type_hints

from audit.records import Doc
from audit.reports import content
from audit.reports.content import FORMAT, Report


def schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a bundle's `report.json`."""
    from pydantic import TypeAdapter

    generated = TypeAdapter(Report).json_schema(mode="serialization")
    definitions = generated.pop("$defs")
    for name, definition in (*definitions.items(), (Report.__name__, generated)):
        _describe(getattr(content, name), definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": FORMAT,
        **{key: value for key, value in generated.items() if key != "title"},
        "$defs": definitions,
    }


def schema_text() -> str:
    """The schema as the file has it."""
    return json.dumps(schema(), ensure_ascii=False, indent=2) + "\n"


def _describe(owner: Any, definition: dict[str, Any]) -> None:
    """Every field is there, no other is, and what a field means is said."""
    hints = get_type_hints(owner, include_extras=True)
    names = [field.name for field in dataclasses.fields(owner)]
    definition["additionalProperties"] = False
    definition["required"] = names
    definition.pop("title", None)
    for name in names:
        value = definition["properties"][name]
        value.pop("title", None)
        value.pop("default", None)
        if get_origin(hints[name]) is not None:
            texts = [marker.text for marker in get_args(hints[name])[1:] if isinstance(marker, Doc)]
            if texts:
                value["description"] = texts[0]


if __name__ == "__main__":
    sys.stdout.write(schema_text())
