from __future__ import annotations

import subprocess
import sys

import pytest

from safety import (
    CheckConfigurationError,
    CheckDependencies,
    CheckRegistry,
    Policy,
    PolicyError,
    RegisteredImageCheck,
    UnknownCheckError,
    build_checks,
    default_registry,
)
from safety.image.quality import DECLARATION, QualityCheck

QUALITY = RegisteredImageCheck(DECLARATION, lambda _dependencies, thresholds: QualityCheck(thresholds))

TEXT = """
id: house
version: 1
title: House rules
persons: {allow: anyone}
languages: {other: annotate}
prompt:
  required_checks: []
  categories: {}
image:
  required_checks: [image.quality]
  categories: {quality: {action: refuse}}
"""


def test_only_the_checks_that_the_policy_names_are_built() -> None:
    built = build_checks(Policy.from_yaml(TEXT), CheckDependencies())
    assert [check.declaration.id for check in built.prompt] == ["prompt.rules"]
    assert [check.declaration.id for check in built.image] == ["image.quality"]


def test_unknown_check_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UnknownCheckError, match=r"image.nudity.*image\.quality"):
        build_checks(Policy.from_yaml(TEXT.replace("[image.quality]", "[image.nudity]")), CheckDependencies())


def test_check_at_the_wrong_stage_is_a_policy_error() -> None:
    text = TEXT.replace("required_checks: []", "required_checks: [image.quality]")
    with pytest.raises(PolicyError, match=r"named at stage prompt, expected stage image"):
        build_checks(Policy.from_yaml(text), CheckDependencies())


def test_category_that_no_check_finds_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match="no check finds qualty"):
        build_checks(Policy.from_yaml(TEXT.replace("{quality:", "{qualty:")), CheckDependencies())


@pytest.mark.parametrize(
    ("check", "lacking"), [("image.duplicates", "a reference index"), ("prompt.classifier", "a sentence encoder")]
)
def test_missing_dependency_is_named(check: str, lacking: str) -> None:
    stage = check.split(".")[0]
    text = TEXT.replace("[image.quality]", f"[{check}]") if stage == "image" else TEXT.replace("[]", f"[{check}]", 1)
    with pytest.raises(CheckConfigurationError, match=lacking):
        build_checks(Policy.from_yaml(text.replace("{quality: {action: refuse}}", "{}")), CheckDependencies())


def test_check_ids_are_unique() -> None:
    with pytest.raises(UnknownCheckError, match="registered twice"):
        CheckRegistry([QUALITY, QUALITY])


def test_an_operator_adds_checks_without_changing_the_shipped_registry() -> None:
    shipped = CheckRegistry([])
    assert shipped.with_checks(QUALITY).get("image.quality") is QUALITY
    assert shipped.declarations() == ()
    assert len(default_registry().declarations()) == 6


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'torch', 'transformers', 'scipy', 'imagehash', 'sqlalchemy', 'PIL'}"
    program = f"import safety, sys; print(sorted({heavy} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
