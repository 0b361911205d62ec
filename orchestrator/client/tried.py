"""Tries as the SDK shows them: what `Service.try_start` answers with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from orchestrator.client.driving import Awaited, Blocking, Driver, both, streamed
from orchestrator.client.results import Answered, Result
from orchestrator.client.wire import DELAYS, Wire
from orchestrator.core.errors import Unavailable


class BaseTry(Answered):
    """A service that is tried before it is created; also a mapping of `task_id` and `name`."""

    def __init__(self, begun: Mapping[str, Any], wire: Wire, drive: Driver | None) -> None:
        super().__init__(begun)
        self.task_id: str = begun["task_id"]
        self._wire = wire
        if drive is not None:
            self._drive = drive

    @streamed
    async def events(self, *, after: int = 0) -> AsyncGenerator[Result, None]:
        """Its steps to the end, each of `core.daemon_views.TryEvent`: `step`, `state`, `message`; `log` steps are lines
        of the server's log. A connection that breaks off is made again where it was."""
        for delay in (*DELAYS, None):
            try:
                async with aclosing(self._wire.client.try_events(self.task_id, after=after)) as events:
                    async for event in events:
                        after = event.seq
                        yield Result(event.model_dump())
                return
            except Unavailable:
                if delay is None:
                    raise
                await asyncio.sleep(delay)

    @both
    async def wait(self, timeout: float = 600.0) -> Result:
        """Its end, of `core.daemon_views.TryView`: `state` is passed, failed or cancelled; running after `timeout`
        seconds."""
        end = time.monotonic() + timeout
        while True:
            found = await self._wire.client.try_view(self.task_id)
            if found.finished or time.monotonic() >= end:
                return Result(found.model_dump())
            await asyncio.sleep(0.2)

    @both
    async def cancel(self) -> Result:
        """Returns when nothing of it is left."""
        return Result((await self._wire.client.try_cancel(self.task_id)).model_dump())


class Try(BaseTry, Blocking):
    """Of a Session."""


class AsyncTry(BaseTry, Awaited):
    """Of an AsyncSession."""
