"""The limit on request bodies, before a FastAPI application as the service's is."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import pytest
from fastapi import Body, FastAPI, Request, UploadFile
from starlette.responses import StreamingResponse

from api.http.body_limit import BodyLimit, _TooLargeError

LIMIT = 1000


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(BodyLimit, max_bytes=LIMIT)

    @app.post("/json")
    async def take_json(body: Annotated[dict[str, str], Body()]) -> int:
        return len(body)

    @app.post("/upload")
    async def take_file(file: UploadFile) -> int:
        return len(await file.read())

    @app.post("/raw")
    async def take_raw(request: Request) -> int:
        return len(await request.body())

    @app.post("/unread")
    async def take_nothing() -> str:
        return "done"

    @app.post("/fails")
    async def fail() -> None:
        raise ZeroDivisionError

    @app.post("/early")
    async def answer_early(request: Request) -> StreamingResponse:
        async def pieces() -> Any:
            yield b"begun"
            async for piece in request.stream():
                yield piece

        return StreamingResponse(pieces())

    return app


def _post(
    app: FastAPI, path: str, pieces: list[bytes], *, kind: str = "application/json", length: bytes | None = None
) -> tuple[int, Any, int]:
    """Send a body in pieces; return status, document and how many pieces were asked for."""
    asked = 0
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        nonlocal asked
        if asked == len(pieces):
            await asyncio.sleep(10)
        asked += 1
        return {"type": "http.request", "body": pieces[asked - 1], "more_body": asked < len(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"content-type", kind.encode())] + ([] if length is None else [(b"content-length", length)])
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1",
        "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    asyncio.run(asyncio.wait_for(app(scope, receive, send), 5))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return starts[0]["status"], json.loads(body), asked


def _is_refusal(status: int, document: Any) -> bool:
    error = document["error"]
    return (status, error["code"], error["type"]) == (413, "image_too_large", "invalid_request_error") and (
        str(LIMIT) in error["message"]
    )


def test_a_body_of_exactly_the_limit_passes(app: FastAPI) -> None:
    assert _post(app, "/raw", [bytes(600), bytes(400)], length=b"1000") == (200, 1000, 2)
    assert _post(app, "/raw", [bytes(600), bytes(400)]) == (200, 1000, 2)


@pytest.mark.parametrize("length", [b"1001", b"9" * 18, b"9" * 19, b"9" * 5000])
def test_a_body_that_is_declared_too_large_is_refused_unread(app: FastAPI, length: bytes) -> None:
    status, document, asked = _post(app, "/raw", [bytes(10)], length=length)

    assert _is_refusal(status, document)
    assert asked == 0


FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)


@pytest.mark.parametrize(
    ("path", "first", "kind"),
    [
        ("/raw", b"", "application/octet-stream"),
        ("/json", b'{"a": "', "application/json"),
        ("/upload", FORM, "multipart/form-data; boundary=b"),
    ],
)
def test_a_body_that_streams_past_the_limit_is_refused_in_the_apis_shape(
    app: FastAPI, path: str, first: bytes, kind: str
) -> None:
    pieces = [first, *([b"x" * 300] * 20)]
    for length in (None, b"10", b"-1", b"many"):  # nothing declared, or a lie
        status, document, asked = _post(app, path, pieces, kind=kind, length=length)

        assert _is_refusal(status, document), document
        assert asked <= 5


def test_small_json_and_uploads_pass(app: FastAPI) -> None:
    assert _post(app, "/json", [b'{"a": "b"}'])[:2] == (200, 1)
    assert _post(app, "/upload", [FORM + b"abc\r\n--b--\r\n"], kind="multipart/form-data; boundary=b")[:2] == (200, 3)
    assert _post(app, "/unread", [b""])[:2] == (200, "done")


def test_an_error_of_the_application_is_not_hidden(app: FastAPI) -> None:
    with pytest.raises(ZeroDivisionError):
        _post(app, "/fails", [b""])


def test_what_began_to_answer_is_cut_off_and_not_answered_twice(app: FastAPI) -> None:
    with pytest.raises(_TooLargeError):  # the server then closes the connection
        _post(app, "/early", [b"x" * 300] * 20)


def test_other_scopes_pass_untouched() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(BodyLimit(app, LIMIT)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]

    assert seen == ["lifespan"]
