"""What the daemon forgets, and when."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast
from unittest.mock import AsyncMock

import pytest

from orchestrator.app.daemon import EVENTS_AGE, _housekeeping
from orchestrator.app.parts import Parts
from orchestrator.core.events import Event
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.store import Store

BEGAN = 1_700_000_000.0
CLOCKS = {
    "the system's clock jumps ten years ahead": (10 * 365 * 86400.0, 0.0, True),
    "it jumps back": (-86400.0, 0.0, True),
    "time goes by": (EVENTS_AGE + 1, EVENTS_AGE + 1, False),
}


@pytest.mark.parametrize("name", CLOCKS)
async def test_only_time_that_went_by_makes_events_old(name: str, tmp_path: Path) -> None:
    moved, passed, kept = CLOCKS[name]
    wall, steady = [BEGAN], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: steady[0])
    store = await Store.open("", tmp_path)
    try:
        await store.append_events([Event(BEGAN, "service.added", "echo", "", "", {})])
        wall[0], steady[0] = BEGAN + moved, passed
        parts = SimpleNamespace(store=store, clock=clock, tokens=AsyncMock(), gateway=AsyncMock())
        await _housekeeping(cast(Parts, parts))
        assert bool(await store.events()) is kept
    finally:
        await store.close()
