from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from provenance.errors import CertificateProfileError, ManifestLintError
from provenance.ingredients import Ingredient, entries
from provenance.lint import manifest_problems, require_signable, unregistered_soft_bindings
from provenance.manifest import SoftBinding, definition
from provenance.signer import PemSigner
from provenance.vocabulary import WATERMARK_ALGORITHM
from tests.provenance.pictures import description, encoded, now, textured

PARENT = Ingredient(encoded(textured(1, 64), "png"), "image/png", "parentOf", "original.png")
INPUT = Ingredient(PARENT.data, "image/png", "inputTo", "mask.png")
COMPONENT = Ingredient(PARENT.data, "image/png", "componentOf", "logo.png")


@pytest.mark.parametrize(
    "ingredients", [(), (INPUT,), (PARENT,), (PARENT, INPUT, COMPONENT), (COMPONENT, COMPONENT)], ids=len
)
def test_our_own_manifests_have_no_problem(ingredients: tuple[Ingredient, ...]) -> None:
    made = description(ingredients=ingredients, visible_label="AI", prompt="an apple")
    assert manifest_problems(definition(made), entries(ingredients)) == []


def _actions(manifest: dict[str, Any]) -> Any:
    return manifest["assertions"][0]["data"]


def _change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Set (or, with None, remove) the value at a dotted path; numbers are positions."""

    def change(manifest: dict[str, Any]) -> None:
        *way, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        place: Any = manifest
        for part in way:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value

    return change


ACTIONS = "assertions/0/data/actions"
OPENED, EDITED = f"{ACTIONS}/0", f"{ACTIONS}/2"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        # the rubric's rules, by name
        (_change(f"{OPENED}/action", "c2pa.edited"), "inception_action_position"),
        (_change(f"{EDITED}/action", "c2pa.created"), "inception_action_position"),
        (_change(f"{EDITED}/digitalSourceType", None), "mandatory_dst_for_perceptible_transformations"),
        (_change(f"{OPENED}/digitalSourceType", "http://c2pa.org/digitalsourcetype/empty"), "no_dst_for_opened_action"),
        (_change("assertions/0/data/allActionsIncluded", None), "mandatory_all_actions_included"),
        (_change("assertions/0/data/allActionsIncluded", False), "all_actions_included_opened"),
        (_change(f"{OPENED}/parameters", {}), "opened_action_ingredient_reference"),
        (_change(f"{OPENED}/parameters/ingredientIds", ["ingredient-0", "ingredient-1"]), "opened_action_ingredient"),
        (_change(f"{EDITED}/action", "c2pa.watermarked"), "no_unsupported_actions"),
        (_change(f"{EDITED}/action", "sharpened"), "no_unrecognized_custom_actions"),
        (_change(f"{EDITED}/parameters/strength", "0.5"), "no_unrecognized_custom_action_parameters"),
        (_change(f"{EDITED}/parameters/description", "x"), "discouraged_legacy_action_parameters"),
        (_change("assertions/1/label", "c2pa.made-up"), "no_unsupported_assertions"),
        (_change("assertions/1/label", "stds.exif"), "no_deprecated_assertions"),
        (_change("assertions/1/label", "disclosure"), "no_unrecognized_custom_assertions"),
        (_change("specVersion", "2.4.0"), "no_deprecated_claim_fields"),
        (_change("claim_generator_info/0/specVersion", None), "mandatory_spec_version"),
        (_change("claim_generator_info/0/specVersion", "2.2.0"), "mandatory_spec_version"),
        # vocabularies, types, references
        (_change(f"{EDITED}/digitalSourceType", "trainedAlgorithmicMedia"), "not in the IPTC or C2PA vocabulary"),
        (_change(f"{OPENED}/parameters/ingredientIds", ["ingredient-9"]), "which is not there"),
        (_change(f"{OPENED}/parameters/ingredientIds", ["ingredient-1"]), "not parentOf"),
        (_change(f"{EDITED}/when", "yesterday"), "RFC 3339"),
        (_change(f"{EDITED}/softwareAgent", "emblem"), "no map with a name"),
        (_change("assertions/1/created", False), "not marked as created"),
        (_change("assertions/1/data/modelType", "diffusion"), "asset type"),
        (_change("assertions/1/data/contentProfile", {"humanOversightLevel": "some"}), "humanOversightLevel"),
        (_change("assertions/1/data/score", float("nan")), "neither CBOR nor JSON"),
        (_change("assertions/1/data/raw", b"x"), "is a bytes"),
        (_change("assertions/1/data/x", {1: "x"}), "key that is no text"),
        (_change("claim_generator_info/0/name", ""), "has no name"),
        (_change("assertions/2/data/alg", "com.example.other"), "neither on the C2PA algorithm list"),
        (_change("assertions/2/data/blocks/0/value", ""), "has no value"),
        (_change("assertions/4/data/entries/cawg.ai_training/use", "no"), "cawg.ai_training='no'"),
        (_change("assertions/4/data/entries/c2pa.ai_training", {"use": "allowed"}), "c2pa.ai_training"),
    ],
)
def test_what_the_specification_forbids_is_named(change: Callable[[dict[str, Any]], None], problem: str) -> None:
    ingredients = (PARENT, COMPONENT, INPUT)
    manifest = copy.deepcopy(definition(description(ingredients=ingredients)))
    change(manifest)

    problems = manifest_problems(manifest, entries(ingredients))

    assert any(problem in text for text in problems), problems


def test_a_watermark_without_its_soft_binding_is_refused() -> None:
    manifest = definition(description())
    manifest["assertions"] = [entry for entry in manifest["assertions"] if entry["label"] != "c2pa.soft-binding"]
    assert any("c2pa.watermarked.bound stands without" in text for text in manifest_problems(manifest))


def test_a_large_thumbnail_is_refused(signer: PemSigner) -> None:
    large = {"thumbnail.jpg": b"\xff\xd8" + bytes(70_000)}
    with pytest.raises(ManifestLintError, match="70002 bytes"):
        require_signable(definition(description()), (), signer, now(), resources=large)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ManifestLintError, match="no time zone"):
        definition(description(created_at=datetime(2026, 1, 1)))  # noqa: DTZ001  (what is tested)


def test_all_problems_are_told_at_once(signer: PemSigner) -> None:
    bad = description(soft_bindings=(SoftBinding("y", ""),), training_mining=(("x", "y"),))
    with pytest.raises(ManifestLintError) as caught:
        require_signable(definition(bad), (), signer, now())
    assert len(caught.value.problems) == 3


def test_an_expired_certificate_is_refused_before_signing(signer: PemSigner) -> None:
    with pytest.raises(CertificateProfileError, match="valid from"):
        require_signable(definition(description()), (), signer, now() + timedelta(days=500))


def test_our_watermark_is_flagged_as_not_on_the_list() -> None:
    assert unregistered_soft_bindings(definition(description())) == (WATERMARK_ALGORITHM,)
