"""The routes. Handlers that work run in worker threads, so that the event loop stays free."""

from __future__ import annotations

import base64
import json
import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, Header, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from api.composition import Imprimatur
from api.errors import HeldError, InvalidInputError, NotAuthenticatedError, RefusedError
from api.fetching import fetch
from api.generate import GenerationResult, ImageResult, Order
from api.http.disconnect import while_connected
from api.keys import Caller, Role
from generator.request import LARGEST_COUNT, GenerationRequest
from safety.policy import DecisionOutcome

router = APIRouter(prefix="/v1")
health = APIRouter()


def services(request: Request) -> Imprimatur:
    """The opened service that the application was made with."""
    opened: Imprimatur = request.app.state.services
    return opened


def caller(request: Request, authorization: Annotated[str | None, Header()] = None) -> Caller:
    """Who asks, by the API key in `Authorization: Bearer`."""
    scheme, _, key = (authorization or "").partition(" ")
    opened = services(request)
    try:
        return opened.keys.authenticate(key.strip() if scheme.lower() == "bearer" else None)
    except NotAuthenticatedError as error:
        if authorization is not None:  # else nobody tried a key
            opened.login_failures.note(request.client.host if request.client else "", error.key_id)
        raise


Services = Annotated[Imprimatur, Depends(services)]
Authenticated = Annotated[Caller, Depends(caller)]


class ImageGenerationBody(BaseModel):
    """OpenAI's request to generate images, and our further parameters. Unknown parameters are refused."""

    model_config = ConfigDict(extra="forbid")

    prompt: str
    model: str | None = None
    n: Annotated[int, Field(ge=1, le=LARGEST_COUNT)] | None = 1
    size: str | None = None
    response_format: Literal["b64_json", "url"] | None = "b64_json"
    output_format: Literal["png", "jpeg", "webp", "avif", "tiff"] | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    seed: int | None = None
    steps: int | None = None
    guidance: float | None = None
    negative_prompt: str | None = None
    scheduler: str | None = None
    disclose_prompt: bool = False

    def order(self, caller: Caller, *, default_format: str, idempotency_key: str | None) -> Order:
        """The flow's order for this body."""
        width, height = sides_of_size(self.size)
        request = GenerationRequest(
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            width=width,
            height=height,
            steps=self.steps,
            guidance=self.guidance,
            scheduler=self.scheduler,
            seed=self.seed,
            count=self.n or 1,
            model=self.model,
        )
        return Order(
            request,
            caller.on_behalf_of(self.user),
            self.output_format or default_format,
            idempotency_key,
            disclose_prompt=self.disclose_prompt,
        )


@router.post("/images/generations")
async def generate_images(
    body: ImageGenerationBody,
    opened: Services,
    who: Authenticated,
    request: Request,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> dict[str, Any]:
    """Generate images in OpenAI's shape; each comes with its record and receipt under `imprimatur`."""
    who.require(Role.GENERATE)
    order = body.order(who, default_format=opened.settings.image_format, idempotency_key=idempotency_key)
    return await answer(opened, order, request, by_url=body.response_format == "url")


async def answer(opened: Imprimatur, order: Order, request: Request, *, by_url: bool) -> dict[str, Any]:
    """Run an order and answer in OpenAI's shape. Raises `RefusedError` if no image was released."""
    # With a key the client can come back for the result, so the request goes on without it.
    result = await while_connected(
        request,
        lambda cancellation: opened.generation.run(order, cancellation=cancellation),
        heed=order.idempotency_key is None,
    )
    released = [image for image in result.images if image.outcome is DecisionOutcome.RELEASE]
    if not released:
        raise _nothing_released(result)
    return {
        "created": int(time.time()),
        "output_format": order.image_format,
        "data": [_image(image, request, by_url=by_url) for image in result.images],
    }


def _image(image: ImageResult, request: Request, *, by_url: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "b64_json": None,
        "url": None,
        "imprimatur": {
            "record_id": image.record_id,
            "decision": image.outcome.value,
            "categories": image.decision["categories"],
            "seed": image.seed,
            "receipt": json.loads(image.receipt.to_json()) if image.receipt else None,
        },
    }
    if image.data is not None and by_url:
        document["url"] = str(request.url_for("record_image", record_id=image.record_id))
    elif image.data is not None:
        document["b64_json"] = base64.b64encode(image.data).decode()
    return document


def _nothing_released(result: GenerationResult) -> RefusedError:
    """What the client's library raises: refused if any image was, else held for review."""
    image = next(image for image in result.images if image.outcome is result.outcome)
    decision = image.decision
    return (HeldError if image.outcome is DecisionOutcome.REVIEW else RefusedError)(
        stage=decision["stage"],
        categories=decision["categories"],
        policy_id=decision["policy"]["id"],
        policy_version=str(decision["policy"]["version"]),
        policy_digest=decision["policy"]["digest"],
        record_id=result.record_id,
    )


def sides_of_size(size: str | None) -> tuple[int | None, int | None]:
    """Width and height of a size such as 512x512; none for `auto`. Raises `InvalidInputError`."""
    if size is None or size == "auto":
        return None, None
    width, separator, height = size.partition("x")
    if not separator or not (width.isdecimal() and height.isdecimal()):
        raise InvalidInputError(f"size '{size[:40]}' is not a size such as 512x512", parameter="size")
    return int(width), int(height)


@router.post("/verify")
def verify_image(
    opened: Services,
    who: Authenticated,
    image: Annotated[UploadFile | None, File()] = None,
    url: Annotated[str | None, Form()] = None,
) -> dict[str, Any]:
    """Tell what can be known about an image's origin: an upload in `image`, or a `url`. Nothing is stored."""
    who.require(Role.VERIFY)
    if (image is None) == (url is None):
        raise InvalidInputError("send one file as form field 'image', or a 'url', and not both", parameter="image")
    settings = opened.settings
    if image is not None:
        data = image.file.read()
        name = image.filename or "image"
    else:
        name = url or ""
        data = fetch(name, max_bytes=settings.max_upload_bytes, allow_private=settings.url_private_addresses)
    return {"file": name, **opened.verification.verify(data, who).to_document()}


@router.get("/records/{record_id}")
def show_record(record_id: str, opened: Services, who: Authenticated) -> dict[str, Any]:
    """The record of an image: everything for its tenant's auditors, the public disclosure for others."""
    return opened.results.record(record_id, who)


@router.get("/records/{record_id}/image", name="record_image")
def record_image(record_id: str, opened: Services, who: Authenticated) -> Response:
    """The released file of a record of the caller's tenant."""
    who.require(Role.GENERATE)
    data, media_type = opened.results.image(record_id, who)
    return Response(data, media_type=media_type)


@router.get("/records/{record_id}/receipt")
def record_receipt(record_id: str, opened: Services, who: Authenticated) -> Response:
    """A fresh receipt for a released image of the caller's tenant."""
    who.require(Role.GENERATE)
    return Response(opened.results.receipt_of(record_id, who).to_json(), media_type="application/json")


@health.get("/healthz")
def healthz(opened: Services, response: Response) -> dict[str, Any]:
    """Whether the service can work: database, ledger, signing certificate. Needs no key."""
    report = opened.health()
    response.status_code = 200 if report["status"] != "red" else 503
    return report
