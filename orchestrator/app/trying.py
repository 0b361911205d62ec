"""Tries in the background: each goes on without whoever began it, is told to whoever follows, and can be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from uuid import uuid4

from orchestrator.app.tries import Tries
from orchestrator.core.daemon_views import TryEvent, TryRequest, TryState, TryView
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.ports import Clock
from orchestrator.core.views import instant

AT_ONCE = 8
"""Tries that run side by side."""
KEPT = 50
"""Tries that are remembered once they have ended."""


class Try:
    """One try: what happened so far, and what it came to."""

    def __init__(self, request: TryRequest, now: float) -> None:
        self.id = uuid4().hex[:12]
        self.state: TryState = "running"
        self.events: list[TryEvent] = []
        self.task: asyncio.Task[None] | None = None
        self._request = request
        self._began = now
        self._news = asyncio.Event()

    @property
    def finished(self) -> bool:
        return self.task is None or self.task.done()

    async def run(self, tries: Tries) -> None:
        try:
            await tries.told(self._request, self._tell)
        finally:
            last = self.events[-1] if self.events else None
            self.state = "passed" if last is not None and last.state == "passed" else "failed"
            if last is None or last.detail.get("code") == "cancelled":
                self.state = "cancelled"
            self._wake()

    def _tell(self, event: TryEvent) -> None:
        self.events.append(event.model_copy(update={"seq": len(self.events) + 1}))
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def follow(self, after: int) -> AsyncGenerator[TryEvent, None]:
        """Events whose seq is above `after`, to the end."""
        while True:
            news = self._news
            for event in self.events[after:]:
                after = event.seq
                yield event
            if news is not self._news:
                continue
            if self.state != "running":
                return
            await news.wait()

    def view(self, *, events: bool) -> TryView:
        return TryView(
            id=self.id,
            state=self.state,
            finished=self.state != "running",
            folder=self._request.folder,
            created_at=instant(self._began),
            events=tuple(self.events) if events else (),
        )


class BackgroundTries:
    """Owns them. Ended with the daemon."""

    def __init__(self, tries: Tries, clock: Clock) -> None:
        self._tries = tries
        self._clock = clock
        self._known: dict[str, Try] = {}
        self._followed = 0

    def begin(self, request: TryRequest) -> TryView:
        """Raises `Conflict` where too many run."""
        self._refuse_more(request)
        for old in [one for one in self._known.values() if one.finished][: max(0, len(self._known) - KEPT)]:
            del self._known[old.id]
        one = Try(request, self._clock.wall())
        one.task = asyncio.create_task(one.run(self._tries), name=f"try:{one.id}")
        self._known[one.id] = one
        return one.view(events=False)

    async def run(self, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
        """One that ends with whoever follows it; among the others it counts. Raises `Conflict` where too many run."""
        self._refuse_more(request)
        self._followed += 1
        try:
            async with aclosing(self._tries.run(request)) as events:
                async for event in events:
                    yield event
        finally:
            self._followed -= 1

    def _refuse_more(self, request: TryRequest) -> None:
        running = self._followed + len([one for one in self._known.values() if not one.finished])
        if running >= AT_ONCE:
            text = f"cannot try {request.folder}: {running} tries are under way"
            raise Conflict(text, hint="wait for one to end, or cancel it", code="too_many_tries")

    def listed(self) -> Sequence[TryView]:
        return [one.view(events=False) for one in reversed(self._known.values())]

    def find(self, ident: str) -> Try:
        if (one := self._known.get(ident)) is None:
            hint = f"the last {KEPT} are kept until the daemon ends"
            raise NotFound(f"there is no try {ident!r}", hint=hint, code="no_try")
        return one

    async def cancel(self, ident: str) -> TryView:
        """Returns when nothing of it is left. One that has ended stays as it is."""
        one = self.find(ident)
        if one.task is not None and not one.finished:
            one.task.cancel()
            await asyncio.wait({one.task})
        return one.view(events=True)

    async def close(self) -> None:
        tasks = [one.task for one in self._known.values() if one.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
