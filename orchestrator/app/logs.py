"""Logs of one routing or of all of a service, merged as they come, or read in pages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.log_cursor import Counting, LogPlace
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
LOOK = 0.5
"""Seconds between looks for routings that have come since."""


@dataclass(frozen=True, slots=True)
class LogPart:
    """Which lines are asked for. `tail`: the last of each routing; `since` in wall seconds; `after`: only what follows
    the line there, by routing; `before`: only what comes before that line; `limit`: so many in all, the first after
    `after`, else the last."""

    tail: int | None = None
    since: float | None = None
    after: Mapping[str, LogPlace] = field(default_factory=dict)
    before: LogPlace | None = None
    limit: int | None = None


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

    async def page(self, routings: Sequence[Routing], part: LogPart) -> AsyncGenerator[LogEntry, None]:
        """Lines in the order of their time. Of a routing whose container is gone, the tail that its record kept."""
        tasks = [asyncio.create_task(self._part(r, part), name=f"logs:{r.id}") for r in routings]
        try:
            found = [pair for pairs in await asyncio.gather(*tasks) for pair in pairs]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        found.sort(key=lambda pair: pair[0])
        if part.limit is not None:
            found = found[: part.limit] if part.after else found[max(0, len(found) - part.limit) :]
        for _, entry in found:
            yield entry

    async def _part(self, routing: Routing, part: LogPart) -> list[tuple[LogPlace, LogEntry]]:
        """Of one log as many as could be wanted."""
        kept: deque[tuple[LogPlace, LogEntry]] = deque(maxlen=None if part.after else part.limit)
        async with aclosing(self._placed(routing, part, follow=False)) as lines:
            async for pair in lines:
                if part.before is not None and pair[0] >= part.before:
                    break
                if part.after and len(kept) == part.limit:
                    break
                kept.append(pair)
        return list(kept)

    async def follow(
        self, pick: Callable[[], Sequence[Routing]], part: LogPart, *, grows: bool
    ) -> AsyncGenerator[LogEntry, None]:
        """Lines in the order of their arrival. `grows`: also of routings that `pick` names later, until it raises
        `NotFound`; otherwise to the end of those that it names now."""
        queue: asyncio.Queue[LogEntry | None] = asyncio.Queue(BUFFER)
        readers: dict[str, asyncio.Task[bool]] = {}

        async def read(routing: Routing, wanted: LogPart) -> bool:
            """Whether there was a log at all."""
            found = False
            async for _, entry in self._placed(routing, wanted, follow=True):
                found = True
                await queue.put(entry)
            return found or routing.failure is not None

        async def watch() -> None:
            wanted = part
            try:
                while True:
                    for routing in pick():
                        known = readers.get(routing.id)
                        if known is None or (known.done() and not known.result()):
                            readers[routing.id] = asyncio.create_task(read(routing, wanted), name=f"logs:{routing.id}")
                    if not grows and all(task.done() for task in readers.values()):
                        return
                    wanted = replace(part, tail=None, since=None)
                    await asyncio.sleep(LOOK)
            except NotFound:
                await asyncio.gather(*readers.values())
            finally:
                await queue.put(None)

        watching = asyncio.create_task(watch(), name="logs: watch")
        try:
            while (entry := await queue.get()) is not None:
                yield entry
            await watching
        finally:
            tasks = [watching, *readers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _placed(
        self, routing: Routing, part: LogPart, *, follow: bool
    ) -> AsyncGenerator[tuple[LogPlace, LogEntry], None]:
        """The lines of one log with their places; of one that is gone, the tail that its record kept."""
        counting, after = Counting(routing.id), part.after.get(routing.id)
        since = part.since if after is None else max(after.since, part.since or 0.0)
        try:
            async with aclosing(self._lines(routing, follow, part.tail, since)) as lines:
                async for line in lines:
                    place = counting.place(line.time)
                    if after is None or place > after:
                        yield place, _entry(routing, line, place)
        except NotFound:
            failure = routing.failure
            kept = failure.log_tail if failure else ()
            for text in kept[max(0, len(kept) - part.tail) :] if part.tail is not None else kept:
                line = LogLine(failure.at if failure else 0.0, "out", text)
                place = counting.place(line.time)
                if (after is None or place > after) and line.time >= (part.since or 0.0):
                    yield place, _entry(routing, line, place)

    async def _lines(
        self, routing: Routing, follow: bool, tail: int | None, since: float | None
    ) -> AsyncGenerator[LogLine, None]:
        service = self._facts.services.get(routing.service_id)
        mask = self._launcher.masker(service.spec.routing) if service is not None else str
        async for line in self._runtime.logs(routing.id, follow=follow, tail=tail, since=since):
            yield replace(line, text=mask(line.text))


def _entry(routing: Routing, line: LogLine, place: LogPlace) -> LogEntry:
    return LogEntry(
        time=instant(line.time),
        routing=routing.id,
        service=routing.service,
        stream=line.stream,
        text=line.text,
        cursor=str(place),
    )
