"""Images that are being fetched now, by the routing that they are for: told every few seconds, and shown when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from orchestrator.core.fetching import Fetching
from orchestrator.core.ports import Clock, EventSink, PullProgress
from orchestrator.core.state import Routing

PULL_REPORT_EVERY = 2.0


class Pulls:
    """One for all routings; `of` gives what the runtime calls for one of them."""

    def __init__(self, clock: Clock, emit: EventSink) -> None:
        self._clock = clock
        self._emit = emit
        self._under_way: dict[str, Fetching] = {}
        self._telling: set[asyncio.Future[None]] = set()

    def now(self) -> Mapping[str, Fetching]:
        """Routing id to how far its image is."""
        return dict(self._under_way)

    def of(self, routing: Routing) -> Callable[[PullProgress], None]:
        told = self._clock.now() - PULL_REPORT_EVERY

        def progress(seen: PullProgress) -> None:
            nonlocal told
            now = self._clock.now()
            before = self._under_way.get(routing.id)
            fetching = before.goes_on(seen, now) if before else Fetching(seen, now, now, seen.current)
            self._under_way[routing.id] = fetching
            if now - told >= PULL_REPORT_EVERY:
                told = now
                detail = {"image": seen.image, "current": seen.current, "total": seen.total}
                self._tell(self._emit("image.pulling", routing.service, routing.id, str(fetching), detail))

        return progress

    def over(self, routing: Routing) -> None:
        self._under_way.pop(routing.id, None)

    def _tell(self, event: Awaitable[None]) -> None:
        task = asyncio.ensure_future(event)
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
