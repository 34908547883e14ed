"""What we sign, judged after signing as the C2PA conformance programme judges it: its rubric's rules over crJSON.

The rules are written again from the text of the Asset Rubrics (specification 2.4, programme 0.2), independently of the
lint that runs before signing.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from provenance.credential import SignedImage, sign_credential
from provenance.encode import thumbnail_jpeg
from provenance.ingredients import Ingredient
from provenance.raw_store import read_raw, reading_settings
from provenance.signer import PemSigner
from provenance.update_manifest import Update, ingredient_thumbnails, updated_store
from tests.provenance.pictures import description, encoded, now, textured

PIXELS = textured(4, 96)
GENERATED = {"trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"}
NO_SOURCE_TYPE_NEEDED = {
    "c2pa.converted", "c2pa.edited.metadata", "c2pa.enhanced", "c2pa.opened", "c2pa.placed", "c2pa.published",
    "c2pa.redacted", "c2pa.repackaged", "c2pa.resized.proportional", "c2pa.transcoded", "c2pa.watermarked.bound",
}  # fmt: skip


def used(relationship: Any, data: bytes | None = None) -> Ingredient:
    return Ingredient(data or encoded(PIXELS, "png"), "image/png", relationship, "used.png", thumbnail_jpeg(PIXELS))


def manifest_of(signer: PemSigner, ingredients: tuple[Ingredient, ...]) -> SignedImage:
    made = description(ingredients=ingredients, thumbnail_jpeg=thumbnail_jpeg(PIXELS), visible_label="AI")
    return sign_credential(encoded(PIXELS, "png"), "png", made, signer, clock=now)


def crjson(data: bytes, store: bytes | None = None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read_raw(data, "image/png", reading_settings(None), store).crjson)
    return document


@pytest.fixture(scope="module")
def manifests(signer: PemSigner) -> dict[str, dict[str, Any]]:
    parent = manifest_of(signer, ())
    images = {
        "created": parent,
        "created with a reference": manifest_of(signer, (used("inputTo"),)),
        "edited": manifest_of(signer, (used("parentOf"), used("inputTo"))),
        "edited from ours": manifest_of(signer, (used("parentOf", parent.data),)),
        "composed": manifest_of(signer, (used("componentOf"), used("componentOf"))),
    }
    found = {name: crjson(image.data)["manifests"][0] for name, image in images.items()}
    edited = images["edited from ours"]
    redacted = updated_store(
        edited.data, "png", Update("Imprimatur", "0.1.0", now(), ingredient_thumbnails(edited.report)), signer
    )
    return found | {"redacted": crjson(edited.data, redacted.manifest_store)["manifests"][0]}


CASES = pytest.mark.parametrize(
    "case", ["created", "created with a reference", "edited", "edited from ours", "composed", "redacted"]
)


def actions(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = manifest["assertions"]["c2pa.actions.v2"]["actions"]
    return found


@CASES
def test_the_first_action_is_the_inception_and_a_created_assertion(manifests: Any, case: str) -> None:
    created = [entry["url"] for entry in manifests[case]["claim.v2"]["created_assertions"]]
    assert next(url for url in created if "c2pa.actions" in url).endswith("c2pa.actions.v2")
    names = [action["action"] for action in actions(manifests[case])]
    assert names[0] in ("c2pa.created", "c2pa.opened")
    assert sum(name in ("c2pa.created", "c2pa.opened") for name in names) == 1


@CASES
def test_nothing_of_ours_is_somebody_elses_word(manifests: Any, case: str) -> None:
    assert manifests[case]["claim.v2"].get("gathered_assertions", []) == []


@CASES
def test_source_types_are_where_they_must_be_and_not_where_they_must_not(manifests: Any, case: str) -> None:
    for action in actions(manifests[case]):
        if action["action"] not in NO_SOURCE_TYPE_NEEDED:
            assert action["digitalSourceType"].startswith("http://cv.iptc.org/newscodes/digitalsourcetype/")
        if action["action"] == "c2pa.opened":
            assert "digitalSourceType" not in action
            assert len(action["parameters"]["ingredients"]) == 1


@CASES
def test_the_claim_says_its_version_where_it_belongs(manifests: Any, case: str) -> None:
    claim = manifests[case]["claim.v2"]
    assert "specVersion" not in claim
    assert claim["claim_generator_info"]["specVersion"] == "2.4.0"
    assert manifests[case]["label"].startswith("urn:c2pa:")
    assert manifests[case]["assertions"]["c2pa.actions.v2"]["allActionsIncluded"] is True


@CASES
def test_ingredients_are_of_the_newest_form(manifests: Any, case: str) -> None:
    ingredients = {
        label: data for label, data in manifests[case]["assertions"].items() if label.startswith("c2pa.ingredient")
    }
    for label, data in ingredients.items():
        assert label.startswith("c2pa.ingredient.v3")
        assert data["relationship"] in ("parentOf", "componentOf", "inputTo")
        assert ("activeManifest" in data) == ("validationResults" in data)
        assert not ("activeManifest" in data and "digitalSourceType" in data)


@CASES
def test_labels_and_parameters_are_known_or_have_a_namespace(manifests: Any, case: str) -> None:
    known = ("c2pa.actions.v2", "c2pa.ai-disclosure", "c2pa.soft-binding", "c2pa.thumbnail.", "c2pa.ingredient.v3")
    for label, data in manifests[case]["assertions"].items():
        assert label.startswith((*known, "c2pa.hash.data", "cawg.training-mining", "org.imprimatur."))
        if label.startswith("c2pa.hash"):
            assert "url" not in data
    for action in actions(manifests[case]):
        assert action["action"].startswith("c2pa.")
        assert set(action.get("parameters", {})) <= {"ingredients", "redacted"}


@pytest.mark.parametrize(
    ("case", "inception", "transformation"),
    [
        ("created", {"trainedAlgorithmicMedia"}, set()),
        ("created with a reference", {"trainedAlgorithmicMedia"}, set()),
        ("edited", set(), {"compositeWithTrainedAlgorithmicMedia"}),
        ("edited from ours", set(), {"compositeWithTrainedAlgorithmicMedia"}),
        ("composed", {"compositeWithTrainedAlgorithmicMedia"}, set()),
    ],
)
def test_the_rubrics_signals_are_those_of_generated_media(
    manifests: Any, case: str, inception: set[str], transformation: set[str]
) -> None:
    terms = [(one["action"], one.get("digitalSourceType", "").rsplit("/", 1)[-1]) for one in actions(manifests[case])]
    assert {term for action, term in terms if action == "c2pa.created"} == inception
    assert {term for action, term in terms if action != "c2pa.created"} & GENERATED == transformation
