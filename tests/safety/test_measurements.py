"""What was measured of the checks, as the product reads it."""

from __future__ import annotations

import json
from importlib.resources import files

import pytest

from safety.measurements import MeasurementFileError, measurement
from safety.registry import default_registry

MEASURED = sorted(path.name.removesuffix(".json") for path in files("safety").joinpath("measured").iterdir())
DECLARED = {declaration.id: declaration for declaration in default_registry().declarations()}


def _digest(check: str) -> str | None:
    document = json.loads(files("safety").joinpath("measured", f"{check}.json").read_text("utf-8"))
    digest: str | None = document["model_digest"]
    return digest


@pytest.mark.parametrize("check", MEASURED)
def test_every_file_is_of_a_registered_check_and_its_table(check: str) -> None:
    declaration = DECLARED[check]
    found = measurement(check, declaration.version, _digest(check))
    assert found is not None, f"version {declaration.version} of {check} was not measured; run its benchmark again"
    assert found.table == declaration.measured_in


@pytest.mark.parametrize("check", MEASURED)
def test_counts_are_shares_of_their_samples(check: str) -> None:
    found = measurement(check, DECLARED[check].version, _digest(check))
    assert found is not None
    assert {count.kind for count in found.counts} == {"false_alarm", "miss"}
    assert all(0 <= count.errors <= count.sample and count.sample > 0 for count in found.counts)
    assert {count.category for count in found.counts} - {None} <= set(DECLARED[check].categories)


def test_another_version_or_other_weights_were_not_measured() -> None:
    assert measurement("image.quality", "0") is None
    assert measurement("image.quality", DECLARED["image.quality"].version, "ab" * 32) is None
    assert measurement("no.such.check", "1") is None


def test_a_damaged_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("safety.measurements.json.loads", lambda _text: {"check": "image.quality"})
    with pytest.raises(MeasurementFileError, match=r"image\.quality\.json"):
        measurement("image.quality", "1")
