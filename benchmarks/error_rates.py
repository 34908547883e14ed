"""Writes what a benchmark measured where the product reads it: `safety/measured/<check>.json`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.machine import machine
from safety.checks import CheckDeclaration
from safety.measurements import ErrorCount

FOLDER = Path(__file__).resolve().parents[1] / "safety" / "measured"


def write_error_rates(
    declaration: CheckDeclaration, counts: Sequence[ErrorCount], command: str, *, model_digest: str | None = None
) -> Path:
    """Replaces the file of a check with the counts of this run; `model_digest` is that of the weights in use."""
    document = {
        "check": declaration.id,
        "version": declaration.version,
        "model_digest": model_digest,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
        "machine": machine(),
        "table": declaration.measured_in,
        "counts": [dataclasses.asdict(count) for count in counts],
    }
    path = FOLDER / f"{declaration.id}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    return path
