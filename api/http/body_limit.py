"""Refuses request bodies above a limit, by their declared length or while they stream in."""

from __future__ import annotations

import json

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import ImageTooLargeError

_MAX_LENGTH_DIGITS = 18


class BodyLimit:
    """ASGI middleware; answers with status 413 in the API's error shape."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting the bytes of its body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and (len(declared) > _MAX_LENGTH_DIGITS or int(declared) > self._max_bytes):
            await self._refuse(send)
            return
        seen = 0
        started = False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise _TooLargeError
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            # A framework may catch what `counted` raised and answer with an error of its own: ours replaces it.
            if seen > self._max_bytes and not started:
                raise _TooLargeError
            started = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except Exception:
            if seen <= self._max_bytes or started:
                raise
        if seen > self._max_bytes and not started:
            await self._refuse(send)

    async def _refuse(self, send: Send) -> None:
        error = ImageTooLargeError(f"the request's body is larger than {self._max_bytes} bytes")
        body = json.dumps(error.to_document()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class _TooLargeError(Exception):
    """The body went past the limit."""
