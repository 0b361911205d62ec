"""The journal over a real store: what was told is there for who asks, once and in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.journal import BATCH, Journal
from orchestrator.store import Store


async def test_who_asks_finds_all_that_was_told_once_and_in_order(tmp_path: Path) -> None:
    """Beside the writer that gathers what happens together, also more than one batch, asked by many at a time."""
    store = await Store.open("", tmp_path)
    journal = Journal(store, SteadyClock())
    writer = asyncio.create_task(journal.run(), name="journal")
    told = []
    for count in (1, 3, 2 * BATCH + 1):
        for _ in range(count):
            told.append(str(len(told)))
            await journal.emit("test.told", "", "", told[-1], {})
        await asyncio.gather(*(journal.flush() for _ in range(4)))
        assert [e.cause for e in await store.events(after=0, service="", limit=10_000)] == told
    writer.cancel()
    with suppress(asyncio.CancelledError):
        await writer
    await store.close()
