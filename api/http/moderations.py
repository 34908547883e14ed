"""`POST /v1/moderations` in OpenAI's shape."""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from api.composition import Imprimatur
from api.errors import ImageTooLargeError, InvalidInputError, NotPermittedError, ServiceError
from api.fetching import fetch
from api.http.routes import Authenticated, Services
from api.keys import Caller, Role
from api.moderation import ModerationInput, ModerationResult
from safety.policy import Policy

MOST_INPUTS = 128
MOST_PARTS = 32
MOST_IMAGES = 4
LONGEST_TEXT_CHARACTERS = 20_000

_DATA_URL = "data:"

router = APIRouter()

_INPUT_SCHEMA = {
    "oneOf": [
        {"type": "string", "maxLength": LONGEST_TEXT_CHARACTERS},
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MOST_INPUTS},
        {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_PARTS,
            "items": {
                "type": "object",
                "properties": {
                    "type": {"enum": ["text", "image_url"]},
                    "text": {"type": "string"},
                    "image_url": {"type": "object", "properties": {"url": {"type": "string"}}},
                },
            },
        },
    ]
}


class ModerationBody(BaseModel):
    """OpenAI's request: one text, several texts (a result each), or the parts of one input (one result).

    `model` is accepted and not used: the checks are those of the caller's policy, which the answer names.
    """

    model_config = ConfigDict(extra="forbid")

    # Read by `_inputs`, whose errors name the entry; a union's would name every shape that it might have been.
    input: Annotated[Any, WithJsonSchema(_INPUT_SCHEMA)]
    model: Annotated[str, Field(max_length=200)] | None = None


@router.post("/moderations")
def moderate(body: ModerationBody, opened: Services, who: Authenticated) -> dict[str, Any]:
    """Examine texts and images with the checks of the caller's policy. Nothing of them is kept."""
    _require_role(who)
    try:
        inputs = _inputs(body, opened)
    except InvalidInputError as error:
        opened.log_rejection("moderate", error, tenant=who.tenant)
        raise
    results, policy = opened.moderation.moderate(inputs, who)
    return {
        "id": f"modr-{secrets.token_hex(16)}",
        "model": f"imprimatur/{policy.id}-{policy.version}",
        "results": [_document(result, policy) for result in results],
    }


def _require_role(who: Caller) -> None:
    if not who.roles & {Role.GENERATE, Role.VERIFY, Role.ADMIN}:
        raise NotPermittedError("this API key lacks the role 'generate' or 'verify'")


def _inputs(body: ModerationBody, opened: Imprimatur) -> list[ModerationInput]:
    """What is to be judged. Raises `InvalidInputError`, which names the entry."""
    given = body.input
    if isinstance(given, str):
        return [ModerationInput((_text(given, "input"),))]
    if not isinstance(given, list) or not given:
        raise InvalidInputError("input: expected a text, a list of texts, or a list of parts", parameter="input")
    if isinstance(given[0], str):
        if len(given) > MOST_INPUTS:
            raise InvalidInputError(f"input: {len(given)} texts; expected at most {MOST_INPUTS}", parameter="input")
        return [ModerationInput((_text(text, f"input.{at}"),)) for at, text in enumerate(given)]
    if len(given) > MOST_PARTS:
        raise InvalidInputError(f"input: {len(given)} parts; expected at most {MOST_PARTS}", parameter="input")
    texts, urls = [], []
    for at, part in enumerate(given):
        where = f"input.{at}"
        match part:
            case {"type": "text", "text": text}:
                texts.append(_text(text, where))
            case {"type": "image_url", "image_url": {"url": str(url)}}:
                urls.append((url, where))
            case _:
                raise InvalidInputError(
                    f"{where}: expected {{type: text, text: ...}} or {{type: image_url, image_url: {{url: ...}}}}",
                    parameter=where,
                )
    if len(urls) > MOST_IMAGES:
        raise InvalidInputError(f"input: {len(urls)} images; expected at most {MOST_IMAGES}", parameter="input")
    return [ModerationInput(tuple(texts), tuple(_pixels(url, where, opened) for url, where in urls))]


def _text(value: Any, parameter: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f"{parameter}: expected a text", parameter=parameter)
    if len(value) > LONGEST_TEXT_CHARACTERS:
        raise InvalidInputError(
            f"{parameter}: {len(value)} characters; expected at most {LONGEST_TEXT_CHARACTERS}", parameter=parameter
        )
    return value


def _pixels(url: str, parameter: str, opened: Imprimatur) -> Any:
    """The pixels behind an address, decoded by the guarded decoder."""
    try:
        return opened.decode(_bytes(url, opened)).pixels
    except InvalidInputError as error:
        raise _naming(error, parameter) from error


def _bytes(url: str, opened: Imprimatur) -> bytes:
    settings = opened.settings
    if not url.startswith(_DATA_URL):
        if not settings.moderation_urls:
            raise InvalidInputError("images are not fetched here; send a data: URL, such as data:image/png;base64,...")
        return fetch(url, max_bytes=settings.max_upload_bytes, allow_private=settings.url_private_addresses)
    head, comma, content = url[len(_DATA_URL) :].partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidInputError("expected a data: URL in base64, such as data:image/png;base64,...")
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"the data: URL is no base64: {error}") from error
    if len(data) > settings.max_upload_bytes:
        raise ImageTooLargeError(f"the image has more than {settings.max_upload_bytes} bytes")
    return data


def _naming(error: InvalidInputError, parameter: str) -> ServiceError:
    return type(error)(f"{parameter}: {error.message}", parameter=parameter)


def _document(result: ModerationResult, policy: Policy) -> dict[str, Any]:
    return {
        "flagged": result.flagged,
        "categories": result.categories,
        "category_scores": result.scores,
        "category_applied_input_types": result.applied,
        "imprimatur": {
            "decision": result.outcome.value,
            "categories": list(result.own_categories),
            "policy": {"id": policy.id, "version": policy.version, "digest": policy.digest},
        },
    }
