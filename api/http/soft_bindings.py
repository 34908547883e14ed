"""The C2PA Soft Binding Resolution API 1.0: from a watermark, a fingerprint or a picture back to its manifest.

Anybody may ask: what is found are manifests of released images, without the thumbnails of what customers sent.
Identifiers are random, and a fingerprint that is not close to a released picture's leads nowhere.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.errors import InvalidInputError, QueryTooLongError, UnsupportedMediaTypeError
from api.http.rate_limit import RateLimit
from api.http.routes import Services, caller
from provenance.repository import MAX_RESULTS, SUPPORTED_FINGERPRINTS, SUPPORTED_WATERMARKS, Match

if TYPE_CHECKING:
    from api.composition import Imprimatur

router = APIRouter(tags=["soft bindings"])

MAX_QUERY_VALUE = 2_048
MAX_BODY_VALUE = 65_536
CONTENT_COSTS = 10  # look-ups; a picture is decoded and searched for marks
_MANIFEST_ID = re.compile(r"urn:c2pa:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(:[\w.:-]{1,64})?")

Limit = Annotated[int, Query(alias="maxResults", ge=1)]


def admitted(cost: int) -> Any:
    """A dependency that counts the request against its address, unless it comes with a valid key."""

    def admit(request: Request, authorization: Annotated[str | None, Header()] = None) -> None:
        if authorization is not None:
            caller(request, authorization)
            return
        limit: RateLimit = request.app.state.lookups
        limit.take(request.client.host if request.client else "", cost)

    return Depends(admit)


class SoftBindingQuery(BaseModel):
    """A soft binding: the algorithm's name and its value in base64."""

    model_config = ConfigDict(extra="ignore")

    alg: str = Field(max_length=256)
    value: str = Field(max_length=MAX_BODY_VALUE)


@router.get("/matches/byBinding", dependencies=[admitted(1)])
def by_binding(opened: Services, alg: str, value: str, limit: Limit = 10) -> dict[str, Any]:
    """Manifests that a soft binding leads to. `value` is base64."""
    if len(value) > MAX_QUERY_VALUE:
        raise QueryTooLongError("value is too long for an address; use POST", parameter="value")
    return _result(opened.credentials.by_binding(alg, _decoded(value, "value"), _at_most(limit)))


@router.post("/matches/byBinding", dependencies=[admitted(1)])
def by_large_binding(opened: Services, query: SoftBindingQuery, limit: Limit = 10) -> dict[str, Any]:
    """As GET, for values that are too long for an address."""
    return _result(opened.credentials.by_binding(query.alg, _decoded(query.value, "value"), _at_most(limit)))


@router.post("/matches/byContent", dependencies=[admitted(CONTENT_COSTS)])
async def by_content(
    request: Request,
    opened: Services,
    alg: Annotated[str | None, Query(max_length=256)] = None,
    limit: Limit = 10,
    hint_alg: Annotated[str | None, Query(alias="hintAlg", max_length=256)] = None,
    hint_value: Annotated[str | None, Query(alias="hintValue", max_length=MAX_QUERY_VALUE)] = None,
) -> dict[str, Any]:
    """Manifests that a picture (the body, `image/*`) leads to by its watermark and fingerprint. It is not stored."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media_type.startswith("image/") and media_type != "application/octet-stream":
        raise UnsupportedMediaTypeError("send an image as the body, with its content type, such as image/png")
    hint = None
    if hint_alg is not None and hint_value is not None:
        hint = (hint_alg, _decoded(hint_value, "hintValue"))
    elif hint_alg is not None or hint_value is not None:
        raise InvalidInputError("hintAlg and hintValue belong together", parameter="hintAlg")
    data = await request.body()
    return await run_in_threadpool(_by_content, opened, data, alg, _at_most(limit), hint)


@router.get("/manifests/{manifest_id}", dependencies=[admitted(1)])
def manifest(
    opened: Services,
    manifest_id: str,
    only_active: Annotated[bool, Query(alias="returnActiveManifest")] = False,
) -> Response:
    """A manifest store (`application/c2pa`), or its active manifest alone."""
    if not _MANIFEST_ID.fullmatch(manifest_id):
        raise InvalidInputError("not an identifier of a C2PA manifest (urn:c2pa:…)", parameter="manifestId")
    store = opened.credentials.public_store(manifest_id, only_active=only_active)
    return Response(store, media_type="application/c2pa", headers={"X-Content-Type-Options": "nosniff"})


@router.get("/services/supportedAlgorithms", dependencies=[admitted(1)])
def supported_algorithms() -> JSONResponse:
    """The soft-binding algorithms that can be asked for."""
    return JSONResponse({"watermarks": _names(SUPPORTED_WATERMARKS), "fingerprints": _names(SUPPORTED_FINGERPRINTS)})


def _by_content(
    opened: Imprimatur, data: bytes, alg: str | None, limit: int, hint: tuple[str, bytes] | None
) -> dict[str, Any]:
    if alg is not None and alg not in (*SUPPORTED_WATERMARKS, *SUPPORTED_FINGERPRINTS):
        raise InvalidInputError(f"the algorithm {alg[:100]!r} is not supported", parameter="alg")
    return _result(opened.credentials.by_content(opened.decode(data), alg, limit, hint))


def _names(algorithms: Sequence[str]) -> list[dict[str, str]]:
    return [{"alg": alg} for alg in algorithms]


def _result(matches: Sequence[Match]) -> dict[str, Any]:
    return {"matches": [{"manifestId": match.manifest_id, "similarityScore": match.similarity} for match in matches]}


def _at_most(limit: int) -> int:
    return min(limit, MAX_RESULTS)


def _decoded(value: str, parameter: str) -> bytes:
    """Base64 of either alphabet, with or without padding; a plus sign that an address has lost is one again."""
    plain = value.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"{parameter} is not base64", parameter=parameter) from error
