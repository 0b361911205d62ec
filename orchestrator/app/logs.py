"""Logs of one routing or of all of a service, merged as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.ports import LogLine, Runtime
from orchestrator.core.state import Routing
from orchestrator.core.views import LogEntry, instant
from orchestrator.executor import Launcher
from orchestrator.scheduler.facts import Facts

BUFFER = 1000
"""Lines read ahead; a reader that does not keep up holds the engine's stream, not our memory."""
TAIL = 50
TAIL_TIMEOUT = 3.0
TAILS_MOST = 3


class Logs:
    """The logs of routings, without the values of their secrets."""

    def __init__(self, runtime: Runtime, launcher: Launcher, facts: Facts) -> None:
        self._runtime = runtime
        self._launcher = launcher
        self._facts = facts

    async def tails(self, routings: Sequence[Routing]) -> dict[str, tuple[str, ...]]:
        """Routing id to the last lines of its log, for the first few; one that cannot be read in time is left out."""

        async def read(routing: Routing) -> tuple[str, ...]:
            try:
                async with asyncio.timeout(TAIL_TIMEOUT):
                    return tuple([line.text async for line in self._lines(routing, False, TAIL, None)])
            except (OrchestratorError, TimeoutError):
                return ()

        asked = routings[:TAILS_MOST]
        return dict(zip([r.id for r in asked], await asyncio.gather(*map(read, asked)), strict=True))

    async def merged(
        self, routings: Sequence[Routing], *, follow: bool, tail: int | None, since: float | None
    ) -> AsyncGenerator[LogEntry, None]:
        """Lines in the order of their arrival; without `follow` in the order of their time. Of a routing whose
        container is gone, the tail that its record kept."""
        queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(BUFFER)

        async def read(routing: Routing) -> None:
            try:
                async for line in self._lines(routing, follow, tail, since):
                    await queue.put(_entry(routing, line))
            except NotFound:
                failure = routing.failure
                for text in failure.log_tail if failure else ():
                    await queue.put(_entry(routing, LogLine(failure.at if failure else 0.0, "out", text)))
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

    async def _lines(
        self, routing: Routing, follow: bool, tail: int | None, since: float | None
    ) -> AsyncGenerator[LogLine, None]:
        service = self._facts.services.get(routing.service_id)
        mask = self._launcher.masker(service.spec.routing) if service is not None else str
        async for line in self._runtime.logs(routing.id, follow=follow, tail=tail, since=since):
            yield replace(line, text=mask(line.text))


def _entry(routing: Routing, line: LogLine) -> LogEntry:
    return LogEntry(
        time=instant(line.time), routing=routing.id, service=routing.service, stream=line.stream, text=line.text
    )
