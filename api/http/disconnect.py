"""Calling a request off when whoever asked for it has gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from generator.serving import Cancellation

T = TypeVar("T")

_POLL_S = 0.2


async def while_connected(request: Request, work: Callable[[Cancellation], T], *, heed: bool = True) -> T:
    """Run `work` in a worker thread; if the client disconnects and `heed` is set, its cancellation is set off."""
    cancellation = Cancellation()

    async def watch() -> None:
        while not await request.is_disconnected():
            await asyncio.sleep(_POLL_S)
        cancellation.cancel()

    watcher = asyncio.create_task(watch()) if heed else None
    try:
        return await run_in_threadpool(work, cancellation)
    finally:
        if watcher is not None:
            watcher.cancel()
