"""The event log: each event goes to the log, to the store, and to whoever follows. Never holds up the loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from typing import Any

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.events import Event
from orchestrator.core.ports import Clock
from orchestrator.store import Store

LOG = structlog.get_logger("orchestrator")
WAITING_MOST = 10_000
"""Events that wait for a store that cannot be written; older ones are dropped, and counted."""
RETRY = 2.0
BATCH = 500
GATHER = 0.02
"""Seconds in which what happens together is gathered for one write: the loop's own writes wait behind each."""
WARNINGS = frozenset(
    {
        "routing.failed",
        "routing.unhealthy",
        "service.invalid",
        "service.held",
        "engine.lost",
        "gateway.lost",
    }
)
QUIET = frozenset({"action.started", "image.pulling", "routing.image", "routing.created", "gateway.published"})


class Journal:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._waiting: deque[Event] = deque(maxlen=WAITING_MOST)
        self._wake = asyncio.Event()
        self._one = asyncio.Lock()
        self._followers: set[asyncio.Queue[Event]] = set()
        self.store_error = ""
        """Why the last write failed; empty: it did not."""

    async def emit(self, kind: str, service: str, routing: str, cause: str, detail: Mapping[str, Any]) -> None:
        """Log it, and have it stored and told soon. Returns at once."""
        event = Event(self._clock.wall(), kind, service, routing, cause, dict(detail))
        _log(event)
        self._waiting.append(event)
        self._wake.set()

    async def run(self) -> None:
        """Writes what waits, in batches; a store that fails is tried again, and nothing is lost meanwhile."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await asyncio.sleep(GATHER)
                if not await self._write():
                    await asyncio.sleep(RETRY)

    async def flush(self) -> None:
        """Write what waits now: at the end, and for who asks what has happened. Not what the store has just refused."""
        while self._waiting and await self._write():
            pass

    async def _write(self) -> bool:
        """One batch; whether the store took it."""
        async with self._one:
            return await self._write_batch()

    async def _write_batch(self) -> bool:
        batch = list(self._waiting)[:BATCH]
        if not batch:
            return True
        try:
            stored = await self._store.append_events(batch)
        except OrchestratorError as error:
            if error.message != self.store_error:
                LOG.error("store.failed", cause=error.message, hint=error.hint)
            self.store_error = error.message
            return False
        self.store_error = ""
        for _ in batch:
            with suppress(IndexError):
                self._waiting.popleft()
        for event in stored:
            for queue in self._followers:
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(event)
        return True

    async def follow(self, after: int, service: str, limit: int) -> AsyncGenerator[Event, None]:
        """Stored events above `after` (the latest `limit`), then each new one as it comes."""
        queue: asyncio.Queue[Event] = asyncio.Queue(WAITING_MOST)
        self._followers.add(queue)
        try:
            last = after
            for event in await self._store.events(after=after, service=service, limit=limit, newest=True):
                last = max(last, event.seq)
                yield event
            while True:
                event = await queue.get()
                if event.seq > last and service.lower() in ("", event.service.lower()):
                    yield event
        finally:
            self._followers.discard(queue)


def _log(event: Event) -> None:
    bound = {"service": event.service, "routing": event.routing, "cause": event.cause}
    detail = {k: v for k, v in event.detail.items() if k not in ("out", "err", "log_tail", "event", *bound)}
    write = LOG.warning if event.kind in WARNINGS else LOG.debug if event.kind in QUIET else LOG.info
    write(event.kind, **{k: v for k, v in bound.items() if v}, **detail)
