"""Requests that start from a picture, as OpenAI's client sends them: `images.edit` and `images.create_variation`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Header, Request, UploadFile

from api.errors import InvalidInputError
from api.generate import Order
from api.http.routes import Authenticated, Services, answer, sides_of_size
from api.inputs import task_for
from api.keys import Role
from generator.canvas import Extension
from generator.request import LARGEST_COUNT, GenerationRequest

router = APIRouter()

Count = Annotated[int, Form(ge=1, le=LARGEST_COUNT)]
Key = Annotated[str | None, Header(min_length=1, max_length=255)]
User = Annotated[str | None, Form(max_length=256)]
ResponseFormat = Annotated[Literal["b64_json", "url"] | None, Form()]
OutputFormat = Annotated[Literal["png", "jpeg", "webp", "avif", "tiff"] | None, Form()]
Text = Annotated[str | None, Form()]
Whole = Annotated[int | None, Form()]
Number = Annotated[float | None, Form()]


@router.post("/images/edits")
async def edit_image(
    opened: Services,
    who: Authenticated,
    request: Request,
    image: Annotated[UploadFile, File()],
    prompt: Annotated[str, Form()] = "",
    mask: Annotated[UploadFile | None, File()] = None,
    task: Text = None,
    model: Text = None,
    n: Count = 1,
    size: Text = None,
    response_format: ResponseFormat = None,
    output_format: OutputFormat = None,
    user: User = None,
    strength: Number = None,
    extend: Text = None,
    scale: Whole = None,
    seed: Whole = None,
    steps: Whole = None,
    guidance: Number = None,
    scheduler: Text = None,
    negative_prompt: Text = None,
    idempotency_key: Key = None,
) -> dict[str, Any]:
    """Change a picture as a whole, inside a `mask` (transparent or white: repainted), beyond its borders (`extend`, as
    `64` or `left=128,bottom=64`), or enlarge it (`scale`)."""
    who.require(Role.GENERATE)
    extension = _extension(extend)
    width, height = sides_of_size(size)
    asked = GenerationRequest(
        prompt=prompt,
        task=task or task_for(image=image, mask=mask, extend=extend, scale=scale),
        negative_prompt=negative_prompt,
        width=width,
        height=height,
        steps=steps,
        guidance=guidance,
        scheduler=scheduler,
        strength=strength,
        extend=extension,
        scale=scale,
        seed=seed,
        count=n,
        model=model,
    )
    order = Order(
        asked,
        who.on_behalf_of(user),
        output_format or opened.settings.image_format,
        idempotency_key,
        image=await image.read(),
        mask=await mask.read() if mask is not None else None,
    )
    return await answer(opened, order, request, by_url=response_format == "url")


@router.post("/images/variations")
async def vary_image(
    opened: Services,
    who: Authenticated,
    request: Request,
    image: Annotated[UploadFile, File()],
    model: Text = None,
    n: Count = 1,
    size: Text = None,
    response_format: ResponseFormat = None,
    output_format: OutputFormat = None,
    user: User = None,
    strength: Number = None,
    seed: Whole = None,
    steps: Whole = None,
    idempotency_key: Key = None,
) -> dict[str, Any]:
    """Make other pictures like one."""
    who.require(Role.GENERATE)
    width, height = sides_of_size(size)
    asked = GenerationRequest(
        task="variation",
        width=width,
        height=height,
        steps=steps,
        strength=strength,
        seed=seed,
        count=n,
        model=model,
    )
    order = Order(
        asked,
        who.on_behalf_of(user),
        output_format or opened.settings.image_format,
        idempotency_key,
        image=await image.read(),
    )
    return await answer(opened, order, request, by_url=response_format == "url")


def _extension(text: str | None) -> Extension | None:
    if text is None:
        return None
    try:
        return Extension.parse(text)
    except ValueError as error:
        raise InvalidInputError(str(error), parameter="extend") from error
