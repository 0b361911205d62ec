"""Between the event loop, where bytes come and go, and the threads that pack and unpack them: a few pieces ahead.

Each has a thread of its own: whoever sends slowly would hold one that the rest of the daemon needs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeVar

from orchestrator.core.errors import Unavailable

T = TypeVar("T")
AHEAD = 4
"""Pieces that a reader is ahead of."""


def aside(name: str, call: Callable[[], T]) -> asyncio.Future[T]:
    """What `call` returns, run in a thread of its own."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def settle(give: Callable[[], None]) -> None:
        if not answer.done():
            give()

    def work() -> None:
        try:
            give = partial(answer.set_result, call())
        except BaseException as error:
            give = partial(answer.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, give)

    threading.Thread(target=work, name=name, daemon=True).start()
    return answer


class Incoming:
    """An asynchronous stream as a file that another thread reads. To be closed by the event loop."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waits: concurrent.futures.Future[bytes] | None = None
        self._closed = False

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        """The next piece, whatever its size; empty at the end. Raises what the stream does, `Unavailable` once it is
        closed."""
        with self._lock:
            if self._closed:
                raise Unavailable("cannot read on: whoever sent it has gone")
            waits = self._waits = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return waits.result()
        except concurrent.futures.CancelledError:
            raise Unavailable("cannot read on: whoever sent it has gone") from None

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._waits is not None:
                self._waits.cancel()


async def streamed(name: str, blocks: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """What a blocking iterator gives, as it comes. Raises what that raises."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(AHEAD)
    over = threading.Event()

    def work() -> None:
        for block in blocks:
            if over.is_set():
                return
            _wait_for(queue.put(block), loop)

    working = aside(name, work)
    try:
        while not (working.done() and queue.empty()):
            getting = asyncio.ensure_future(queue.get())
            either: set[asyncio.Future[Any]] = {getting, working}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                yield getting.result()
            else:
                getting.cancel()
                await asyncio.gather(getting, return_exceptions=True)
        await working
    finally:
        over.set()
        while not working.done():
            while not queue.empty():
                queue.get_nowait()
            await asyncio.wait({working}, timeout=0.02)
        if not working.cancelled():
            working.exception()


def _wait_for(what: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(what, loop).result()
