"""Manifests of edited and composed pictures, read back from signed files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provenance.credential import SignedImage, sign_credential
from provenance.encode import thumbnail_jpeg
from provenance.errors import IngredientError
from provenance.ingredients import Ingredient, Relationship
from provenance.reader import read_credential
from provenance.signer import PemSigner
from provenance.update_manifest import Update, ingredient_thumbnails, updated_store
from provenance.vocabulary import COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA, TRAINED_ALGORITHMIC_MEDIA
from tests.provenance.pictures import decoded, description, encoded, now, textured


def ingredient(relationship: Relationship, data: bytes | None = None, title: str = "original.png") -> Ingredient:
    data = data or encoded(textured(3, 96), "png")
    return Ingredient(data, "image/png", relationship, title, thumbnail_jpeg(decoded(data)))


def signed(signer: PemSigner, *ingredients: Ingredient, **changes: Any) -> SignedImage:
    made = description(ingredients=ingredients, **changes)
    return sign_credential(encoded(textured(4, 96), "png"), "png", made, signer, clock=now)


def active(image: SignedImage) -> Any:
    return json.loads(image.report.raw_json)["manifests"][image.manifest_label]


def actions(image: SignedImage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = next(
        entry["data"]["actions"] for entry in active(image)["assertions"] if entry["label"] == "c2pa.actions.v2"
    )
    return found


def test_an_edited_picture_was_opened_and_then_edited_by_a_model(signer: PemSigner) -> None:
    image = signed(signer, ingredient("parentOf"), ingredient("inputTo", title="mask.png"), task="inpaint")

    opened, edited, *rest = actions(image)

    assert opened["action"] == "c2pa.opened"
    assert "digitalSourceType" not in opened
    assert edited["action"] == "c2pa.edited"
    assert edited["digitalSourceType"] == COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
    assert edited["description"] == "inpaint"
    urls = [action["parameters"]["ingredients"][0]["url"] for action in (opened, edited)]
    listed = {entry["label"]: entry for entry in active(image)["ingredients"]}
    assert [listed[url.rsplit("/", 1)[1]]["relationship"] for url in urls] == ["parentOf", "inputTo"]
    assert [action["action"] for action in rest] == ["c2pa.watermarked.bound"]
    assert image.report.claims == ("declared_ai", "declared_edited")


def test_a_reference_alone_leaves_the_picture_created(signer: PemSigner) -> None:
    created, *_ = actions(signed(signer, ingredient("inputTo")))
    assert created["action"] == "c2pa.created"
    assert created["digitalSourceType"] == TRAINED_ALGORITHMIC_MEDIA
    assert len(created["parameters"]["ingredients"]) == 1


def test_components_are_placed_each_by_itself(signer: PemSigner) -> None:
    image = signed(signer, ingredient("componentOf", title="a.png"), ingredient("componentOf", title="b.png"))
    created, *placed = actions(image)[:3]
    assert created["digitalSourceType"] == COMPOSITE_WITH_TRAINED_ALGORITHMIC_MEDIA
    assert [action["action"] for action in placed] == ["c2pa.placed", "c2pa.placed"]
    assert [len(action["parameters"]["ingredients"]) for action in placed] == [1, 1]


def test_an_ingredient_brings_its_small_thumbnail_its_credential_and_its_validation_result(signer: PemSigner) -> None:
    parent = signed(signer, title="parent.png")

    child = signed(signer, ingredient("parentOf", parent.data, title="parent.png"))

    entry = active(child)["ingredients"][0]
    assert entry["active_manifest"] == parent.manifest_label
    assert entry["validation_results"]["activeManifest"]["success"]
    assert entry["thumbnail"]["format"] == "image/jpeg"
    assert thumbnail_jpeg(decoded(parent.data)) in child.manifest_store
    assert child.report.state == "valid"
    assert not child.report.broken_ingredients
    assert len(child.data) - len(encoded(textured(4, 96), "png")) < len(parent.manifest_store) + 40_000


def test_a_broken_ingredient_is_recorded_as_broken(signer: PemSigner, shared_data: Path) -> None:
    broken = (shared_data / "c2pa/public-testfiles/adobe-20220124-E-sig-CA.jpg").read_bytes()
    image = signed(signer, Ingredient(broken, "image/jpeg", "parentOf", "broken.jpg"))

    report = read_credential(image.data, "png", None)

    assert report.state == "valid"
    assert [entry.title for entry in report.broken_ingredients] == ["broken.jpg"]
    assert "claimSignature.mismatch" in {code.code for code in report.broken_ingredients[0].failures}


@pytest.mark.parametrize("image_format", ["jpeg", "webp", "avif", "tiff", "gif", "bmp"])
def test_pictures_of_every_accepted_format_can_be_ingredients(signer: PemSigner, image_format: str) -> None:
    data = encoded(textured(5, 64), image_format)
    image = signed(signer, Ingredient(data, f"image/{image_format}", "inputTo", "reference"))
    assert image.report.state == "valid"
    assert [entry.relationship for entry in image.report.ingredients] == ["inputTo"]


def test_two_parents_are_refused(signer: PemSigner) -> None:
    with pytest.raises(IngredientError, match="one parent"):
        signed(signer, ingredient("parentOf"), ingredient("parentOf"))


def test_bytes_that_are_no_image_are_a_typed_error(signer: PemSigner) -> None:
    with pytest.raises(IngredientError, match="cannot be listed"):
        signed(signer, Ingredient(b"no image", "image/png", "parentOf", "x"))


@pytest.mark.parametrize(
    "values",
    [
        (b"x", "image/png", "siblingOf", "t"),
        (b"x", "text/html", "parentOf", "t"),
        (b"", "image/png", "inputTo", "t"),
    ],
)
def test_ingredients_that_no_credential_can_list_are_refused(values: tuple[Any, ...]) -> None:
    with pytest.raises(IngredientError):
        Ingredient(*values)


def test_a_prompt_is_in_the_credential_only_on_request(signer: PemSigner) -> None:
    assert b"a red apple" not in signed(signer).manifest_store
    assert b"a red apple" in signed(signer, prompt="a red apple").manifest_store


def test_a_person_who_approved_and_a_visible_label_are_declared(signer: PemSigner) -> None:
    image = signed(signer, human_oversight="human_validated", visible_label="AI")
    disclosure = next(e["data"] for e in active(image)["assertions"] if e["label"] == "c2pa.ai-disclosure")
    assert disclosure["contentProfile"]["humanOversightLevel"] == "human_validated"
    assert "c2pa.addedText" in [action["action"] for action in actions(image)]


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp", "avif", "tiff"])
def test_what_strangers_get_has_no_thumbnail_of_an_ingredient(signer: PemSigner, image_format: str) -> None:
    parent = signed(signer, title="parent.png", thumbnail_jpeg=thumbnail_jpeg(textured(4, 96)))
    used = ingredient("parentOf", parent.data, title="parent.png")
    made = description(ingredients=(used,), thumbnail_jpeg=thumbnail_jpeg(textured(9, 96)))
    image = sign_credential(encoded(textured(9, 96), image_format), image_format, made, signer, clock=now)
    assert used.thumbnail_jpeg is not None

    hidden = ingredient_thumbnails(image.report)
    public = updated_store(image.data, image_format, Update("S", "1", now(), hidden), signer)

    assert used.thumbnail_jpeg in image.manifest_store
    assert used.thumbnail_jpeg not in public.manifest_store
    assert thumbnail_jpeg(textured(9, 96)) in public.manifest_store  # the picture's own one stays
    report = read_credential(image.data, image_format, None, manifest_store=public.manifest_store)
    assert report.state == "valid"
    assert not report.broken_ingredients
    assert report.claims == image.report.claims
