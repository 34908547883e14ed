"""The schema of a report's data: the committed file is the one that the types give, and data keeps to it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import jsonschema
import pytest

from audit.reports.bundle import write
from audit.reports.schema import schema, schema_text
from tests.audit.reports.made import Made

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_schema_is_the_one_that_the_types_give() -> None:
    committed = (ROOT / "docs" / "report-schema.json").read_text("utf-8")
    assert committed == schema_text(), "python -m audit.reports.schema > docs/report-schema.json"


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("edition", ["full", "redacted"])
def test_the_data_of_a_bundle_keeps_to_it(edition: str, made: Made, tmp_path: Path) -> None:
    written = write(made.report, made.proved, made.staging, tmp_path, edition=edition, signer=None)  # type: ignore[arg-type]
    with zipfile.ZipFile(written.bundle) as archive:
        data = json.loads(archive.read("report.json"))
        assert json.loads(archive.read("report-schema.json")) == schema()
    jsonschema.validate(data, schema())
    data["items"][0]["score"] = 1.0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema())


def test_every_field_is_described_or_speaks_for_itself() -> None:
    definitions = schema()["$defs"]
    assert definitions["Rate"]["properties"]["kind"]["description"]
    assert all(definition["additionalProperties"] is False for definition in definitions.values())
