"""Ids of routings that changed, brought to whoever listens; shared by the runtimes that have no engine to ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class Changes:
    """Each listener hears every change; one that happens often before it is taken comes once."""

    def __init__(self) -> None:
        self._listeners: set[_Pending] = set()

    def tell(self, unit_id: str) -> None:
        for listener in self._listeners:
            listener.add(unit_id)

    async def listen(self) -> AsyncIterator[str]:
        """Until `close`. Begins with "": what happened before is not told."""
        pending = _Pending()
        pending.add("")
        self._listeners.add(pending)
        try:
            while (unit_id := await pending.take()) is not None:
                yield unit_id
        finally:
            self._listeners.discard(pending)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()


class _Pending:
    """Ids that one listener has not taken yet, in order."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._news = asyncio.Event()
        self._closed = False

    def add(self, unit_id: str) -> None:
        self._ids[unit_id] = None
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    async def take(self) -> str | None:
        while not self._ids and not self._closed:
            self._news.clear()
            await self._news.wait()
        if self._closed:
            return None
        first = next(iter(self._ids))
        del self._ids[first]
        return first
