"""A service whose model paints quickly and whose checks find nothing: for tests of what happens to a picture then."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from api.composition import Imprimatur
from api.generate import ImageResult, Order
from api.settings import Settings
from generator.engine import Draw, Progress, draws
from generator.image import GeneratedImage
from generator.request import GenerationRequest, ResolvedRequest
from safety.checks import CheckDeclaration, Stage
from safety.findings import Finding, Outcome
from safety.policy import Policy
from safety.registry import BuiltChecks
from tests.provenance.pictures import textured

Pixels = NDArray[np.uint8]


class Painter:
    """An engine that paints a picture full of detail, another one for every seed."""

    def __init__(self, model: str, digest: str) -> None:
        self._model, self._digest = model, digest

    def load(self) -> None:
        """Nothing to load."""

    def generate(self, request: ResolvedRequest, progress: Progress | None = None) -> list[GeneratedImage]:
        return self.draw(draws(request), progress)

    def draw(self, batch: Sequence[Draw], progress: Progress | None = None) -> list[GeneratedImage]:
        return [self._paint(draw, index, len(batch)) for index, draw in enumerate(batch)]

    def _paint(self, draw: Draw, index: int, size: int) -> GeneratedImage:
        request = draw.request
        side = max(request.width, request.height)
        return GeneratedImage(
            pixels=np.ascontiguousarray(textured(draw.seed, side)[: request.height, : request.width]),
            seed=draw.seed, index=index, model=self._model, model_digest=self._digest, width=request.width,
            height=request.height, steps=request.steps, guidance=request.guidance, scheduler="none", batch_size=size,
            threads=1, device="cpu", dtype="uint8", elapsed_s=0.0,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing to give back."""


class Blind:
    """A check that finds nothing, under the id of a real one."""

    def __init__(self, check: str, stage: Stage) -> None:
        self.declaration = CheckDeclaration(check, "0", stage, (check,), "finds nothing", "nothing", "nowhere")

    def examine(self, subject: object) -> list[Finding]:
        return [Finding(self.declaration.id, "0", self.declaration.id, 0.0, 0.5, Outcome.PASS)]

    def examine_many(self, subjects: Sequence[object]) -> list[list[Finding]]:
        return [self.examine(subject) for subject in subjects]


def _blind(policy: Policy) -> BuiltChecks:
    prompt, image = (tuple(Blind(one, stage) for one in policy.checks(stage)) for stage in (Stage.PROMPT, Stage.IMAGE))
    return BuiltChecks(prompt, image)


@contextmanager
def painting_service(settings: Settings) -> Iterator[Imprimatur]:
    """The service with everything real but the model and the checks."""
    with Imprimatur(settings) as opened:
        card = opened.card(None)
        opened._engines[card.id] = Painter(card.id, card.digest)
        opened.checks_of = _blind  # type: ignore[method-assign]
        yield opened


def released(
    services: Imprimatur,
    seed: int,
    image_format: str = "png",
    *,
    original: bytes | None = None,
    disclose_prompt: bool = False,
    **request: Any,
) -> tuple[ImageResult, bytes]:
    """One released picture and its bytes. original: the picture that it is made from."""
    values: dict[str, Any] = {"prompt": "a green tree on a white background", "seed": seed, "steps": 2} | request
    order = Order(
        GenerationRequest(**values),
        services.local_caller(),
        image_format,
        image=original,
        disclose_prompt=disclose_prompt,
    )
    image = services.generation.run(order).images[0]
    assert image.data is not None
    return image, image.data


def pixels_of(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image.convert("RGB"))


def encoded(pixels: Pixels, image_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, image_format, **options)
    return out.getvalue()
