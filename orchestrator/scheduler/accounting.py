"""What was used, by day, service and token: from the recorder into the store, in batches, each request once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import date, timedelta

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.state import ASKING
from orchestrator.core.traffic_views import UsageView
from orchestrator.records import Recorder
from orchestrator.records.tally import Fresh, is_error, text
from orchestrator.scheduler.facts import Facts
from orchestrator.store import Store

LOG = structlog.get_logger("orchestrator")
EVERY = 2.0
"""Seconds between two writes."""
REFRESH_EVERY = 0.2
"""Seconds between two questions of the gateway's thread for a token that is not known."""
PRUNE_EVERY = 300
"""Writes between two looks for access files that are too old."""
_EPOCH = date(1970, 1, 1)


class Accounting:
    """`names`: token ids to their names, as far as they are known; kept up to date by `refresh`."""

    def __init__(self, store: Store, recorder: Recorder, facts: Facts) -> None:
        self._store = store
        self._recorder = recorder
        self._facts = facts
        self.names: dict[str, str] = {ASKING: ASKING}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = 0.0

    async def begin(self) -> None:
        """Before any record is taken."""
        self._loop = asyncio.get_running_loop()
        self._recorder.begin(*await self._store.record_marks())
        await self.refresh()
        self._know()

    async def run(self) -> None:
        count = 0
        while True:
            await asyncio.sleep(EVERY)
            await self.flush()
            count += 1
            if count % PRUNE_EVERY == 1:
                await asyncio.to_thread(self._recorder.files.prune)

    async def flush(self) -> None:
        """Write what was counted. A store that fails gets the same the next time, and takes it once."""
        self._know()
        generation, fresh, marks = self._recorder.settle()
        if not fresh:
            return
        try:
            if any((token := text(key[2])) and token not in self.names for key in fresh):
                await self.refresh()
            await self._store.add_usage(self._rows(fresh), generation, marks)
        except OrchestratorError as error:
            LOG.debug("usage.not_stored", cause=error.message)
            return
        self._recorder.stored(generation)

    def _know(self) -> None:
        self._spelled: Mapping[str, str] = {s.name.lower(): s.name for s in self._facts.services.values()}
        self._recorder.know(self._spelled.values())

    def _rows(self, fresh: Fresh) -> list[UsageView]:
        """Of services that there are; what asked for none has no user."""
        sums: dict[tuple[str, str, str], list[float]] = {}
        for (day, service, token, status), (requests, sent, answered, ms) in fresh.items():
            if not (name := text(service)):
                continue
            key = ((_EPOCH + timedelta(days=day)).isoformat(), self._spelled.get(name, name), text(token))
            known = sums.setdefault(key, [0, 0, 0, 0, 0.0])
            row = (requests, requests if is_error(status) else 0, sent, answered, ms / 1000)
            sums[key] = [a + b for a, b in zip(known, row, strict=True)]
        return [
            UsageView(
                day=day,
                service=service,
                token_id=token,
                token_name=self.names.get(token, ""),
                requests=int(requests),
                errors=int(errors),
                bytes_in=int(sent),
                bytes_out=int(answered),
                seconds=seconds,
            )
            for (day, service, token), (requests, errors, sent, answered, seconds) in sums.items()
        ]

    async def refresh(self) -> None:
        self.names |= {token.id: token.name for token in await self._store.tokens()}

    def token_name(self, token: str) -> str | None:
        """From another thread: asks the store for a token that was made since. One that the store has no longer may
        come with each of thousands of requests a second, all of them refused."""
        now = time.monotonic()
        if token in self.names or self._loop is None or now < self._asked + REFRESH_EVERY:
            return self.names.get(token)
        self._asked = now
        try:
            asyncio.run_coroutine_threadsafe(self.refresh(), self._loop).result(1.0)
        except Exception as error:
            LOG.debug("token.unknown", token=token, cause=str(error))
        return self.names.get(token)
