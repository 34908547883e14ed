"""Taking values out of JSON that a stranger has shaped: what is not as expected counts as absent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provenance.printable import printable
from provenance.report import CodeOutcome, ValidationCode
from provenance.validation_codes import explanation


def mapping(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def mappings(value: object) -> list[dict[str, Any]]:
    """The objects of a list; other members are left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: object) -> str | None:
    """Printable text; None stays None."""
    return None if value is None else printable(value)


def validation_code(entry: Mapping[str, Any], outcome: CodeOutcome) -> ValidationCode:
    """One status entry with its plain-language meaning."""
    code = printable(entry.get("code", ""))
    return ValidationCode(code, outcome, explanation(code), printable(entry.get("url", "")))
