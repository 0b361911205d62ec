"""Answers that go on: lines of JSON (logs, tries) and server-sent events (events), with heartbeats.

An error before the first item is an ordinary problem answer; a later one is the last thing in the stream. The source
is closed when the client is gone (seen within half a second) or the daemon ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Generic, TypeVar

import structlog
from aiohttp import web
from pydantic import BaseModel

from orchestrator.api.errors import problem
from orchestrator.core.error_views import ErrorView

log = structlog.get_logger()
Item = TypeVar("Item", bound=BaseModel)
Taken = TypeVar("Taken")

CLOSING: web.AppKey[asyncio.Event] = web.AppKey("closing", asyncio.Event)
"""Set when the daemon ends: streams end themselves."""

HEARTBEAT: web.AppKey[float] = web.AppKey("heartbeat", float)
"""Seconds of silence after which one is sent."""

_FIRST = 0.25
"""Seconds that the first item may take before the answer begins without it."""

_LOOK = 0.5
"""Seconds between looks whether the client is still there."""


async def lines(request: web.Request, items: AsyncIterator[Item]) -> web.StreamResponse:
    """One JSON object a line; an empty line is a heartbeat; `{"error": problem}` ends it."""
    return await _pump(
        request,
        items,
        kind="application/x-ndjson",
        write=lambda item: item.model_dump_json().encode() + b"\n",
        fail=lambda error: json.dumps({"error": error.model_dump()}).encode() + b"\n",
        beat=b"\n",
    )


async def server_sent(
    request: web.Request,
    items: AsyncIterator[Item],
    *,
    ident: Callable[[Item], str],
    kind: Callable[[Item], str] | None = None,
) -> web.StreamResponse:
    """Server-sent events, each with what `ident` says as its id, of the type that `kind` says; an event of type `error`
    ends it."""

    def write(item: Item) -> bytes:
        head = f"event: {kind(item)}\n" if kind is not None else ""
        return f"{head}id: {ident(item)}\ndata: {item.model_dump_json()}\n\n".encode()

    return await _pump(
        request,
        items,
        kind="text/event-stream",
        write=write,
        fail=lambda error: f"event: error\ndata: {error.model_dump_json()}\n\n".encode(),
        beat=b":\n\n",
    )


async def octets(
    request: web.Request, chunks: AsyncIterator[bytes], *, headers: Mapping[str, str]
) -> web.StreamResponse:
    """Bytes as they come. An error after the first breaks the connection off: the answer is not whole."""
    kind = {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers={**kind, **headers})
    turns = _Turns(chunks, request.app[CLOSING], lambda: request.transport is None)
    try:
        await response.prepare(request)
        while not turns.ended:
            if some := await turns.next(request.app[HEARTBEAT]):
                await response.write(some)
        await response.write_eof()
    except ConnectionError:
        log.debug("client left a stream", path=request.path)
    except Exception as error:
        log.info("a stream broke off", path=request.path, cause=str(error))
        if request.transport is not None:
            request.transport.abort()
    finally:
        await turns.close()
    return response


def last_event_id(request: web.Request, form: str) -> str:
    """Where a stream that broke off is to go on; what does not have the `form` of our ids is none."""
    sent = request.headers.get("Last-Event-ID", "")
    return sent if re.fullmatch(form, sent, re.ASCII) else ""


async def _pump(
    request: web.Request,
    items: AsyncIterator[Item],
    *,
    kind: str,
    write: Callable[[Item], bytes],
    fail: Callable[[ErrorView], bytes],
    beat: bytes,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-store"})
    turns = _Turns(items, request.app[CLOSING], lambda: request.transport is None)
    try:
        item = await turns.next(_FIRST)
        await response.prepare(request)
        while not turns.ended:
            await response.write(beat if item is None else write(item))
            item = await turns.next(request.app[HEARTBEAT])
        await response.write_eof()
    except ConnectionError:
        log.debug("client left a stream", path=request.path)
    except Exception as error:
        if not response.prepared:
            raise
        with contextlib.suppress(ConnectionError):
            await response.write(fail(problem(error, request)))
            await response.write_eof()
    finally:
        await turns.close()
    return response


class _Turns(Generic[Taken]):
    """Takes one item after the other, each with a time limit that loses none."""

    def __init__(self, items: AsyncIterator[Taken], closing: asyncio.Event, left: Callable[[], bool]) -> None:
        self.ended = False
        self._items = items
        self._left = left
        self._next: asyncio.Task[Taken] | None = None
        self._closing = asyncio.create_task(closing.wait(), name="api stream end")

    async def next(self, limit: float) -> Taken | None:
        """The next item; None: none within `limit` seconds, or (`ended`) none will come. Raises ConnectionResetError
        when the client has left."""
        if self._next is None:
            self._next = asyncio.create_task(self._take(), name="api stream item")
        end, done = time.monotonic() + limit, False
        while not done and (left := end - time.monotonic()) > 0:
            done = await self._wait(min(left, _LOOK))
        if self._next.done():
            task, self._next = self._next, None
            try:
                return task.result()
            except StopAsyncIteration:
                self.ended = True
        self.ended = self.ended or self._closing.done()
        return None

    async def _wait(self, limit: float) -> bool:
        """Whether there is an item, or none will come."""
        assert self._next is not None
        done, _ = await asyncio.wait({self._next, self._closing}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if self._left():
            raise ConnectionResetError("the client has left")
        return bool(done)

    async def close(self) -> None:
        tasks = [task for task in (self._next, self._closing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        aclose = getattr(self._items, "aclose", None)
        if aclose is not None:
            await aclose()

    async def _take(self) -> Taken:
        return await anext(self._items)
