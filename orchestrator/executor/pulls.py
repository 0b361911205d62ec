"""Images that are being fetched now, by the routing that they are for: told every few seconds, and shown when asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from orchestrator.core.fetching import REPORT_EVERY, Fetching
from orchestrator.core.ports import Clock, EventSink, PullProgress
from orchestrator.core.state import Routing


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
        told = self._clock.now() - REPORT_EVERY

        def progress(seen: PullProgress) -> None:
            nonlocal told
            now = self._clock.now()
            fetching = Fetching.further(self._under_way.get(routing.id), seen, now)
            self._under_way[routing.id] = fetching
            if now - told >= REPORT_EVERY:
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
