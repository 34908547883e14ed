"""The application: routes, one JSON shape for every error, limits before bodies are read."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from api.errors import BusyError, InvalidInputError, NotFoundError, RateLimitedError, ServiceError
from api.http import edits, moderations, reviews, soft_bindings
from api.http.body_limit import BodyLimit
from api.http.ledger import router as ledger
from api.http.rate_limit import RateLimit
from api.http.routes import health, router

if TYPE_CHECKING:
    from api.composition import Imprimatur

_LOGGER = logging.getLogger(__name__)


def create_app(services: Imprimatur) -> FastAPI:
    """The ASGI application over an opened service, which the caller closes."""
    app = FastAPI(
        docs_url=None,  # the pages would load scripts from other hosts; /openapi.json serves any viewer
        redoc_url=None,
        title="Imprimatur",
        version=version("imprimatur"),
        summary="Images that were checked and documented for publication, and what is known of any image's origin.",
    )
    app.state.services = services
    app.add_middleware(BodyLimit, max_bytes=services.settings.max_upload_bytes)
    app.include_router(router)
    app.include_router(edits.router, prefix="/v1")
    app.include_router(reviews.router, prefix="/v1")
    app.include_router(moderations.router, prefix="/v1")
    app.include_router(health)
    app.include_router(ledger)
    app.state.ledger_reads = RateLimit(services.settings.ledger_reads_per_minute)
    app.state.lookups = RateLimit(services.settings.lookups_per_minute)
    app.include_router(soft_bindings.router, prefix="/v1")
    app.include_router(soft_bindings.router, include_in_schema=False)  # where the specification's paths begin
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


def _response(error: ServiceError) -> JSONResponse:
    headers: dict[str, str] = {}
    if isinstance(error, BusyError | RateLimitedError):
        headers["Retry-After"] = str(error.retry_after_s)
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error.to_document(), error.http_status, headers)


async def _service_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)
    return _response(error)


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first: dict[str, Any] = dict(error.errors()[0])
    names = [str(part) for part in first["loc"] if part not in ("body", "query", "path")]
    parameter = ".".join(names) or None
    return _response(InvalidInputError(f"{parameter or 'body'}: {first['msg']}", parameter=parameter))


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    wrapped: ServiceError = NotFoundError(error.detail) if error.status_code == 404 else InvalidInputError(error.detail)
    response = _response(wrapped)
    response.status_code = error.status_code
    return response


async def _unexpected_error(_request: Request, error: Exception) -> JSONResponse:
    # The text of an unexpected error may hold personal data or secrets: it goes to the log, not to the caller.
    _LOGGER.error("unexpected error", exc_info=error)
    return _response(ServiceError("an unexpected error happened; the service's log says more"))
