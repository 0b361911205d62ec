"""Carries what a blocking iterator yields (events, log frames, output of a command) into the event loop.

The iterator lives in a thread of its own, so that long reads never hold one of the threads that calls need.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

WAITING = 256
"""Items read ahead at most; then the thread waits, and with it the engine."""


class Source(Iterable[T_co], Protocol[T_co]):
    """A blocking iterator that another thread may close."""

    def close(self) -> None: ...


class Pump(Generic[T]):
    """`batch` gives what has come since the last call, waiting for the first; empty at the end."""

    def __init__(
        self, name: str, open_source: Callable[[], Source[T]], translated: Callable[[Exception], Exception]
    ) -> None:
        self._open_source = open_source
        self._translated = translated
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._gone = asyncio.Event()
        self._room = threading.Condition()
        self._items: list[T] = []
        self._source: Source[T] | None = None
        self._ended = False
        self._closed = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._read, name=name, daemon=True)
        self._thread.start()

    async def batch(self) -> list[T]:
        """Raises what the iterator raised (translated), after everything before it was given out."""
        await self._ready.wait()
        with self._room:
            items, self._items = self._items, []
            if not self._ended:
                self._ready.clear()
            self._room.notify()
        if not items and self._error is not None:
            raise self._error
        return items

    async def close(self) -> None:
        """Ends the thread; waits for it, but not longer than a second."""
        with self._room:
            self._closed = True
            self._items.clear()
            self._room.notify()
            source = self._source
        if source is not None:
            hang_up(source)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), 1.0)

    def _read(self) -> None:
        try:
            source = self._open_source()
            with self._room:
                self._source = source
                closed = self._closed
            if closed:
                hang_up(source)
            for item in source:
                if not self._hand_over(item):
                    break
        except Exception as error:
            self._error = self._translated(error)
        finally:
            self._end()

    def _hand_over(self, item: T) -> bool:
        with self._room:
            self._room.wait_for(lambda: self._closed or len(self._items) < WAITING)
            if self._closed:
                return False
            self._items.append(item)
            first = len(self._items) == 1
        if first:
            self._set(self._ready)
        return True

    def _end(self) -> None:
        with self._room:
            self._ended = True
        self._set(self._ready)
        self._set(self._gone)

    def _set(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(event.set)


def hang_up(source: Source[object]) -> None:
    with contextlib.suppress(Exception):  # whatever state the connection is in: it ends
        source.close()
