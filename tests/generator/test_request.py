from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from generator import GenerationRequest, ModelCard, UnsupportedRequestError


def test_what_is_not_said_comes_from_the_card(shipped_card: ModelCard) -> None:
    resolved = GenerationRequest("a red apple", seed=3).resolve(shipped_card)

    assert (resolved.width, resolved.height) == (shipped_card.defaults.width, shipped_card.defaults.height)
    assert resolved.steps == shipped_card.defaults.steps
    assert resolved.guidance == shipped_card.defaults.guidance
    assert (resolved.seed, resolved.count, resolved.model) == (3, 1, shipped_card.id)
    assert resolved.negative_prompt is None


def test_what_is_said_is_kept(shipped_card: ModelCard) -> None:
    request = GenerationRequest(
        "a dog", negative_prompt="a cat", width=256, height=256, steps=7, guidance=0, seed=2**32 - 2, count=2
    )

    resolved = request.resolve(shipped_card)

    assert (resolved.width, resolved.height, resolved.steps, resolved.guidance) == (256, 256, 7, 0.0)
    assert (resolved.seed, resolved.count, resolved.negative_prompt) == (2**32 - 2, 2, "a cat")


def test_one_side_alone_stands_for_a_square(shipped_card: ModelCard) -> None:
    resolved = GenerationRequest("a dog", width=256).resolve(shipped_card)

    assert (resolved.width, resolved.height) == (256, 256)


def test_a_seed_is_drawn_when_none_is_given(shipped_card: ModelCard) -> None:
    seeds = {GenerationRequest("a dog", count=10).resolve(shipped_card).seed for _ in range(20)}

    assert len(seeds) > 15
    assert all(0 <= seed <= 2**32 - 10 for seed in seeds)


@pytest.mark.parametrize(
    ("parameter", "changes"),
    [
        ("size", {"width": 300, "height": 300}),
        ("size", {"width": 512, "height": 256}),
        ("size", {"width": 0}),
        ("size", {"width": -512, "height": -512}),
        ("steps", {"steps": 0}),
        ("steps", {"steps": 101}),
        ("steps", {"steps": True}),
        ("guidance", {"guidance": -0.1}),
        ("guidance", {"guidance": 50.1}),
        ("guidance", {"guidance": float("nan")}),
        ("count", {"count": 0}),
        ("count", {"count": 11}),
        ("seed", {"seed": -1}),
        ("seed", {"seed": 2**32}),
        ("seed", {"seed": 2**32 - 1, "count": 2}),
        ("task", {"task": "style-transfer"}),
        ("task", {"task": "sculpture"}),
        ("model", {"model": "another"}),
        ("strength", {"strength": 0.5}),
        ("strength", {"strength": 1}),
        ("image", {"image": np.zeros((8, 8, 3), np.uint8)}),
        ("mask", {"mask": np.zeros((8, 8), np.uint8)}),
        ("prompt", {"prompt": ""}),
        ("prompt", {"prompt": " \n\t"}),
        ("prompt", {"prompt": "x" * 4001}),
        ("prompt", {"prompt": "a\x00dog"}),
        ("prompt", {"prompt": "a \x1b[31mdog"}),
        ("prompt", {"prompt": "\ud800"}),
        ("negative_prompt", {"negative_prompt": "\x07"}),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(
    shipped_card: ModelCard, parameter: str, changes: dict[str, object]
) -> None:
    request = replace(GenerationRequest("a dog"), **changes)  # type: ignore[arg-type]

    with pytest.raises(UnsupportedRequestError) as caught:
        request.resolve(shipped_card)

    assert caught.value.parameter == parameter
    assert caught.value.expected in str(caught.value)


def test_a_refused_size_names_the_sizes_there_are(shipped_card: ModelCard) -> None:
    with pytest.raises(UnsupportedRequestError, match="256x256 or 512x512"):
        GenerationRequest("a dog", width=1024, height=1024).resolve(shipped_card)
