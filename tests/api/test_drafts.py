"""What is put aside for a reviewer comes back as it was, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.drafts import Draft, DraftError, HeldRequest, ReleaseFacts
from audit import records
from generator.canvas import Extension
from generator.request import GenerationRequest
from provenance.ingredients import Ingredient

REFERENCE = records.VaultReference("item", "ab" * 32, "subject")
FINDING = records.Finding(
    "image.any",
    "1",
    "listed_work",
    "block",
    "0.9",
    "0.5",
    None,
    "1.25",
    {"nearest": [{"bits": 3}]},
)
REQUEST = GenerationRequest(
    prompt="a red apple\n\u202e字",
    task="outpaint",
    negative_prompt="blue",
    width=512,
    height=256,
    steps=7,
    guidance=4.25,
    scheduler="euler",
    seed=2**31,
    count=3,
    strength=0.5,
    extend=Extension(1, 2, 3, 4),
    scale=2,
    model="emblem",
)
HELD = HeldRequest(
    request=REQUEST,
    image=b"\x00\xff picture",
    mask=b"mask",
    image_format="webp",
    model_digest="cd" * 32,
    tenant="acme",
    subject="acme/user/ü",
    findings=(FINDING,),
    prompt=REFERENCE,
    actor=REFERENCE,
)
DRAFT = Draft(
    encoded=b"\x89PNG \x00\xff",
    image_format="png",
    ingredients=(
        Ingredient(b"\xff\xd8 parent", "image/jpeg", "parentOf", "Input image", b"\xff\xd8 small"),
        Ingredient(b"mask", "image/png", "inputTo", "Mask"),
    ),
    facts=ReleaseFacts(
        task="inpaint",
        width=512,
        height=512,
        origin="altered",
        inputs=(records.Input("image", "ef" * 32, "image/jpeg", 10, 64, 64, "ISCC:X"),),
        decision=records.Decision("review", "image", (records.Reason("image", "listed_work", "image.any", "review"),)),
        policy=records.Policy("house", "1", "01" * 32),
        findings=(FINDING,),
        model=records.Model("emblem", "23" * 32, "diffusion"),
        sampling=records.Sampling(512, 512, seed="18446744073709551615", steps=4, extend=(1, 2, 3, 4)),
        watermark=records.Watermark("0123456789abcdef", "imprimatur.test", True, "0.98"),
        nearest_reference=records.NearestReference("work-1", "change-1-size-1", "3", "0.5"),
        prompt=REFERENCE,
        actor=REFERENCE,
        tenant="acme",
    ),
)


def test_a_held_request_comes_back_with_every_field() -> None:
    assert HeldRequest.from_bytes(HELD.to_bytes()) == HELD


def test_the_example_leaves_no_field_of_a_request_at_its_default() -> None:
    untold = {"image", "mask"}  # kept as files
    for field in dataclasses.fields(GenerationRequest):
        assert field.name in untold or getattr(REQUEST, field.name) != field.default, field.name


def test_a_draft_comes_back_with_every_field() -> None:
    assert Draft.from_bytes(DRAFT.to_bytes()) == DRAFT


def test_a_request_without_pictures_comes_back_without() -> None:
    plain = dataclasses.replace(HELD, request=GenerationRequest(prompt="x"), image=None, mask=None)
    assert HeldRequest.from_bytes(plain.to_bytes()) == plain


@pytest.mark.parametrize("kind", [Draft, HeldRequest])
@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"kind": "other"},
        {"request": None, "facts": None},
        {"request": {"surprise": 1}, "facts": {"surprise": 1}},
        {"ingredients": [{}], "files": {}},
    ],
)
def test_what_another_version_wrote_is_refused(kind: Any, change: dict[str, Any]) -> None:
    written = DRAFT.to_bytes() if kind is Draft else HELD.to_bytes()
    with pytest.raises(DraftError, match="reject it"):
        kind.from_bytes(json.dumps({**json.loads(written), **change}).encode())


@settings(deadline=None)  # the first example imports what the others find loaded
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
    lambda value: json.dumps(value).encode()
))  # fmt: skip
def test_any_bytes_are_a_draft_or_a_typed_error(data: bytes) -> None:
    for kind in (Draft, HeldRequest):
        with pytest.raises(DraftError):
            kind.from_bytes(data)
