"""How often a check errs: counts that committed benchmarks wrote, one file a check, bound to the check's version."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from safety.errors import SafetyError

ErrorKind = Literal["false_alarm", "miss"]


class MeasurementFileError(SafetyError):
    """A shipped file of measurements cannot be read."""


@dataclass(frozen=True, slots=True)
class ErrorCount:
    """Of `sample` cases of a population, `errors` were judged wrongly.

    kind: `false_alarm` counts harmless cases that were raised, `miss` cases that should be raised and were not.
    category: of finding; None: any.
    """

    kind: ErrorKind
    category: str | None
    population: str
    sample: int
    errors: int


@dataclass(frozen=True, slots=True)
class CheckMeasurement:
    """One measurement of one version of a check.

    model_digest: SHA-256 of the weights that were measured, None for a check without any.
    measured_on: date (ISO 8601). command: measures it again. machine: where it ran. table: the committed table.
    """

    check: str
    version: str
    model_digest: str | None
    measured_on: str
    command: str
    machine: str
    table: str
    counts: tuple[ErrorCount, ...]


def measurement(check: str, version: str, model_digest: str | None = None) -> CheckMeasurement | None:
    """What was measured of a version of a check with these weights; None where nothing was, or something else.

    Raises `MeasurementFileError` for a shipped file that is damaged.
    """
    resource = files("safety").joinpath("measured", f"{check}.json")
    if not resource.is_file():
        return None
    try:
        document = json.loads(resource.read_text(encoding="utf-8"))
        found = CheckMeasurement(
            check=document["check"],
            version=document["version"],
            model_digest=document["model_digest"],
            measured_on=document["measured_on"],
            command=document["command"],
            machine=document["machine"],
            table=document["table"],
            counts=tuple(ErrorCount(**count) for count in document["counts"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasurementFileError(f"safety/measured/{check}.json cannot be read ({error}); reinstall it") from error
    measured = (found.check, found.version, found.model_digest)
    return found if measured == (check, version, model_digest) else None
