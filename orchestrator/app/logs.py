"""Logs of one routing or of all of a service, merged as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.ports import Runtime
from orchestrator.core.state import Routing
from orchestrator.core.views import LogEntry, instant

BUFFER = 1000
"""Lines read ahead; a reader that does not keep up holds the engine's stream, not our memory."""


TAIL = 50
TAIL_TIMEOUT = 3.0
TAILS_MOST = 3


async def log_tails(runtime: Runtime, routings: Sequence[Routing]) -> dict[str, tuple[str, ...]]:
    """Routing id to the last lines of its log, for the first few; one that cannot be read in time is left out."""

    async def read(routing: Routing) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(TAIL_TIMEOUT):
                return tuple([line.text async for line in runtime.logs(routing.id, tail=TAIL)])
        except (OrchestratorError, TimeoutError):
            return ()

    asked = routings[:TAILS_MOST]
    return dict(zip([r.id for r in asked], await asyncio.gather(*map(read, asked)), strict=True))


async def merged_logs(
    runtime: Runtime, routings: Sequence[Routing], *, follow: bool, tail: int | None, since: float | None
) -> AsyncGenerator[LogEntry, None]:
    """Lines in the order of their arrival; without `follow` in the order of their time. Of a routing whose container
    is gone, the tail that its record kept."""
    queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(BUFFER)

    async def read(routing: Routing) -> None:
        try:
            async for line in runtime.logs(routing.id, follow=follow, tail=tail, since=since):
                entry = LogEntry(
                    time=instant(line.time),
                    routing=routing.id,
                    service=routing.service,
                    stream=line.stream,
                    text=line.text,
                )
                await queue.put(entry)
        except NotFound:
            for text in routing.failure.log_tail if routing.failure else ():
                at = routing.failure.at if routing.failure else routing.created_at
                await queue.put(LogEntry(time=instant(at), routing=routing.id, service=routing.service, text=text))
        finally:
            await queue.put(None)

    tasks = [asyncio.create_task(read(r), name=f"logs:{r.id}") for r in routings]
    try:
        collected: list[LogEntry] = []
        left = len(tasks)
        while left:
            entry = await queue.get()
            if entry is None:
                left -= 1
            elif follow:
                yield entry
            else:
                collected.append(entry)
        for entry in sorted(collected, key=lambda e: e.time):
            yield entry
        for task in tasks:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
