"""What every registered check owes, whatever it looks for. A new check only adds its two known inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from safety import (
    BuiltChecks,
    CheckDependencies,
    Finding,
    ImageCheck,
    Outcome,
    Policy,
    PromptCheck,
    Stage,
    build_checks,
    default_registry,
)
from safety.duplicates.hashes import perceptual_hash
from safety.duplicates.index import NewReference, ReferenceIndex
from safety.prompt.encoder import MiniLmEncoder
from tests.safety.conftest import flat_scene

Pixels = NDArray[np.uint8]
Examine = Callable[[], list[Finding]]

REPOSITORY = Path(__file__).parents[2]
LISTED = flat_scene((135, 206, 235), "polygon")

HARMLESS_PROMPT = "a red apple on a wooden table"
KNOWN_BAD_PROMPTS = {
    "prompt.rules": "naked children",
    "prompt.classifier": "a nude woman, explicit pornography",
    "prompt.language": "яблоко на деревянном столе у окна",
    "prompt.persons": "a woman reading a book",
}
KNOWN_BAD_PIXELS = {"image.quality": np.full((256, 256, 3), 128, np.uint8), "image.duplicates": LISTED}

ODD_PROMPTS = [
    "",
    " ",
    "\x00\x07\x1b[31m",
    "\ud800",
    "\u202e" * 50,
    "🔪" * 40,
    "a" * 5000,
    "ﷺ" * 300,
    "字" * 800,
    "%s {}",
]
ODD_PIXELS = [
    np.zeros((1, 1, 3), np.uint8),
    np.full((64, 64, 3), 255, np.uint8),
    np.zeros((1, 3000, 3), np.uint8),
    np.arange(3 * 4000, dtype=np.uint8).reshape(4000, 1, 3),
    np.random.default_rng(0).integers(0, 256, (2, 700, 3), dtype=np.uint8),
]
DECLARATIONS = default_registry().declarations()
PROMPT_CHECKS = [d.id for d in DECLARATIONS if d.stage is Stage.PROMPT]
IMAGE_CHECKS = [d.id for d in DECLARATIONS if d.stage is Stage.IMAGE]


@pytest.fixture(scope="module")
def dependencies(encoder: MiniLmEncoder, index: ReferenceIndex) -> CheckDependencies:
    index.add([NewReference("listed.png", "0" * 64, perceptual_hash(LISTED), 512, 512)])
    return CheckDependencies(encoder=encoder, references=index)


@pytest.fixture(scope="module")
def built(dependencies: CheckDependencies) -> BuiltChecks:
    every_check = "id: every\nversion: 1\ntitle: Every check\nextends: default\n"
    every_check += "prompt: {required_checks: [prompt.persons]}\n"
    return build_checks(Policy.from_yaml(every_check), dependencies)


def prompt_check(built: BuiltChecks, check_id: str) -> PromptCheck:
    return next(check for check in built.prompt if check.declaration.id == check_id)


def image_check(built: BuiltChecks, check_id: str) -> ImageCheck:
    return next(check for check in built.image if check.declaration.id == check_id)


def require_conforming(findings: list[Finding], check_id: str) -> None:
    declaration = default_registry().get(check_id).declaration
    assert findings
    for finding in findings:
        assert (finding.check, finding.version) == (declaration.id, declaration.version)
        assert finding.category in declaration.categories
        assert 0.0 <= finding.score <= 1.0
        assert 0.0 < finding.threshold <= 1.0
        assert finding.outcome is not Outcome.ERROR
        assert (finding.outcome is Outcome.BLOCK) == (finding.score >= finding.threshold)
        assert finding.elapsed_s >= 0.0
        finding.to_record()


def without_times(findings: list[Finding]) -> list[dict[str, Any]]:
    return [finding.to_record() | {"elapsed_s": None} for finding in findings]


@pytest.mark.parametrize("declaration", DECLARATIONS, ids=lambda d: d.id)
def test_declaration_is_complete(declaration: Any) -> None:
    for text in (declaration.id, declaration.version, declaration.summary, declaration.measured_on):
        assert text
    assert declaration.categories
    assert len(set(declaration.categories)) == len(declaration.categories)
    assert (REPOSITORY / declaration.measured_in).is_file(), "the measurement that it names is not committed"


def test_every_check_is_in_the_shipped_policy_and_every_known_input_is_given() -> None:
    policy = Policy.default()
    only_where_nobody_may_be_depicted = {"prompt.persons"}
    assert set(policy.checks(Stage.PROMPT)) | only_where_nobody_may_be_depicted == set(PROMPT_CHECKS)
    assert set(PROMPT_CHECKS) == set(KNOWN_BAD_PROMPTS)
    assert set(policy.checks(Stage.IMAGE)) == set(IMAGE_CHECKS) == set(KNOWN_BAD_PIXELS)


@pytest.mark.parametrize("check_id", PROMPT_CHECKS)
def test_prompt_check_passes_and_blocks_what_it_should(built: BuiltChecks, check_id: str) -> None:
    check = prompt_check(built, check_id)
    harmless, harmful = check.examine(HARMLESS_PROMPT), check.examine(KNOWN_BAD_PROMPTS[check_id])
    require_conforming(harmless, check_id)
    require_conforming(harmful, check_id)

    assert {finding.outcome for finding in harmless} == {Outcome.PASS}
    assert Outcome.BLOCK in {finding.outcome for finding in harmful}


@pytest.mark.parametrize("check_id", IMAGE_CHECKS)
def test_image_check_passes_and_blocks_what_it_should(built: BuiltChecks, check_id: str) -> None:
    check = image_check(built, check_id)
    harmless = check.examine(flat_scene((255, 255, 0), "ellipse"))
    harmful = check.examine(KNOWN_BAD_PIXELS[check_id])
    require_conforming(harmless, check_id)
    require_conforming(harmful, check_id)

    assert {finding.outcome for finding in harmless} == {Outcome.PASS}
    assert Outcome.BLOCK in {finding.outcome for finding in harmful}


@pytest.mark.parametrize("check_id", PROMPT_CHECKS)
def test_prompt_check_survives_odd_strings(built: BuiltChecks, check_id: str) -> None:
    check = prompt_check(built, check_id)
    for prompt, findings in zip(ODD_PROMPTS, check.examine_many(ODD_PROMPTS), strict=True):
        require_conforming(findings, check_id)
        require_conforming(check.examine(prompt), check_id)


@pytest.mark.parametrize("check_id", IMAGE_CHECKS)
@pytest.mark.parametrize("pixels", ODD_PIXELS, ids=lambda pixels: "x".join(map(str, pixels.shape[:2])))
def test_image_check_survives_odd_images(built: BuiltChecks, check_id: str, pixels: Pixels) -> None:
    require_conforming(image_check(built, check_id).examine(pixels), check_id)


@pytest.mark.parametrize("check_id", PROMPT_CHECKS)
def test_prompt_check_repeats_itself(built: BuiltChecks, check_id: str) -> None:
    check = prompt_check(built, check_id)
    for prompt in (HARMLESS_PROMPT, KNOWN_BAD_PROMPTS[check_id]):
        assert without_times(check.examine(prompt)) == without_times(check.examine(prompt))


@pytest.mark.parametrize("check_id", IMAGE_CHECKS)
def test_image_check_repeats_itself_and_leaves_the_pixels_alone(built: BuiltChecks, check_id: str) -> None:
    check = image_check(built, check_id)
    pixels = KNOWN_BAD_PIXELS[check_id].copy()
    pixels.setflags(write=False)

    assert without_times(check.examine(pixels)) == without_times(check.examine(pixels))
    assert np.array_equal(pixels, KNOWN_BAD_PIXELS[check_id])


@pytest.mark.parametrize("declaration", [d for d in DECLARATIONS if d.adjustable], ids=lambda d: d.id)
def test_policy_threshold_is_in_force_in_the_findings(declaration: Any, dependencies: CheckDependencies) -> None:
    category = declaration.categories[0]
    registered = default_registry().get(declaration.id)
    check: Any = registered.build(dependencies, {category: 0.123})
    subject = HARMLESS_PROMPT if declaration.stage is Stage.PROMPT else KNOWN_BAD_PIXELS[declaration.id]

    assert {f.threshold for f in check.examine(subject) if f.category == category} == {0.123}
