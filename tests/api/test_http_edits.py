"""Edits and variations over HTTP, with the real OpenAI client against a real server on loopback."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from api.composition import Imprimatur
from tests.api.serving import serving

QUICK: dict[str, Any] = {"steps": 2, "seed": 5}
SIDE = 512


@pytest.fixture(scope="module")
def address(services: Imprimatur) -> Iterator[str]:
    with serving(services) as url:
        yield url


@pytest.fixture(scope="module")
def key(services: Imprimatur) -> str:
    return services.create_key(tenant="acme", name="edits", roles=("generate", "audit"))[1]


@pytest.fixture(scope="module")
def client(address: str, key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=120) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture() -> bytes:
    coarse = Image.fromarray(np.random.default_rng(6).integers(30, 226, (9, 9, 3), dtype=np.uint8))
    return png(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def transparent_corner() -> bytes:
    """A mask as OpenAI has it: transparent where the picture is to be repainted."""
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[:200, :200] = 0
    return png(Image.merge("RGBA", [*Image.new("RGB", (SIDE, SIDE)).split(), Image.fromarray(alpha)]))


def opened(answer: Any) -> tuple[Image.Image, dict[str, Any]]:
    (image,) = answer.data
    return Image.open(io.BytesIO(base64.b64decode(image.b64_json))), image.model_extra["imprimatur"]


def task_of(services: Imprimatur, ours: dict[str, Any]) -> str:
    return str(services.log.events(ours["record_id"])[0].fields()["task"])


def test_an_edit_with_a_mask_repaints_inside_it(client: openai.OpenAI, services: Imprimatur, picture: bytes) -> None:
    answer = client.images.edit(
        image=("p.png", picture), mask=("m.png", transparent_corner()), prompt="a red apple", extra_body=QUICK
    )
    image, ours = opened(answer)
    assert image.size == (SIDE, SIDE)
    assert task_of(services, ours) == "inpaint"
    assert ours["receipt"]


@pytest.mark.parametrize(
    ("body", "task", "size"),
    [
        ({"strength": 0.8}, "image-to-image", (SIDE, SIDE)),
        ({"extend": "left=64"}, "outpaint", (SIDE + 64, SIDE)),
        ({"scale": 2, "prompt": ""}, "upscale", (2 * SIDE, 2 * SIDE)),
    ],
)
def test_what_comes_with_a_picture_chooses_the_task(
    client: openai.OpenAI,
    services: Imprimatur,
    picture: bytes,
    body: dict[str, Any],
    task: str,
    size: tuple[int, int],
) -> None:
    prompt = body.get("prompt", "a red apple")
    answer = client.images.edit(image=("p.png", picture), prompt=prompt, extra_body={**QUICK, **body})
    image, ours = opened(answer)
    assert image.size == size
    assert task_of(services, ours) == task


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by OpenAI, whose model is gone
def test_a_variation_needs_no_words(client: openai.OpenAI, services: Imprimatur, picture: bytes) -> None:
    answer = client.images.create_variation(image=("p.png", picture), n=1, extra_body=QUICK)
    assert task_of(services, opened(answer)[1]) == "variation"


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"strength": 1.5}, "strength"),
        ({"extend": "up=3"}, "extend"),
        ({"extend": "left=9999"}, "extend"),
        ({"scale": 3}, "scale"),
        ({"task": "sculpture"}, "task"),
        ({"scheduler": "magic"}, "scheduler"),
        ({"size": "huge"}, "size"),
        ({"n": 11}, "n"),
    ],
)
def test_bad_parameters_are_named(client: openai.OpenAI, picture: bytes, body: dict[str, Any], parameter: str) -> None:
    with pytest.raises(openai.BadRequestError) as rejection:
        client.images.edit(image=("p.png", picture), prompt="a red apple", extra_body={**QUICK, **body})
    assert rejection.value.param == parameter


def test_what_is_no_picture_is_named(client: openai.OpenAI, picture: bytes) -> None:
    with pytest.raises(openai.BadRequestError) as rejection:
        client.images.edit(image=("p.png", b"no image"), prompt="a red apple")
    assert (rejection.value.code, rejection.value.param) == ("undecodable_image", "image")
    with pytest.raises(openai.BadRequestError) as rejection:
        client.images.edit(image=("p.png", picture), mask=("m.png", b"no image"), prompt="a red apple")
    assert rejection.value.param == "mask"


def test_without_a_key_nothing_is_done(address: str, picture: bytes) -> None:
    for path in ("edits", "variations"):
        assert httpx.post(f"{address}/v1/images/{path}", files={"image": picture}).status_code == 401
