"""What wakes the loop besides the API: folder changes, engine events, the gateway's death, and the passing of time.

Nothing is decided here: each only says *look again*.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from watchfiles import Change, awatch

from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.ports import Gateway, Runtime

LOG = structlog.get_logger("orchestrator")
SETTLE = 100
"""Milliseconds without a change after which a burst of changes (an editor's rename dance, a copy) is over."""
AT_MOST = 1000
"""Milliseconds after which a burst that does not end is looked at all the same."""
RETRY = 0.5
RESYNC = 15
RESCAN = 10
HOUSEKEEPING = 60
GATEWAY_CHECK = 0.5


async def watch_folders(
    models_dirs: Sequence[Path], files: Callable[[], frozenset[str]], changed: Callable[[], None]
) -> None:
    """`changed` after each burst of changes among the model folders or their definition files (`files`: their names).

    Watched are the models_dirs and the model folders, one level deep: what servers write further down, or under other
    names, wakes nobody. The slow rescan covers what a watch cannot see (network file systems).
    """
    while True:
        folders = await asyncio.to_thread(_folders, models_dirs)
        tops = {str(d) for d in models_dirs}

        def matters(_: Change, path: str, tops: set[str] = tops) -> bool:
            return str(Path(path).parent) in tops or Path(path).name in files()

        if not folders:
            await asyncio.sleep(RESCAN)
            changed()
            continue
        try:
            async for _ in awatch(
                *folders, watch_filter=matters, debounce=AT_MOST, step=SETTLE, recursive=False, rust_timeout=5000
            ):
                changed()
                if await asyncio.to_thread(_folders, models_dirs) != folders:
                    break
        except (OSError, RuntimeError) as error:
            LOG.warning("watch.failed", cause=str(error), hint="raise fs.inotify.max_user_watches")
            await asyncio.sleep(RESCAN)


def _folders(models_dirs: Sequence[Path]) -> list[Path]:
    """The models_dirs and every folder directly below them."""
    found: list[Path] = []
    for top in models_dirs:
        with suppress(OSError):
            found += [top, *sorted(p for p in top.iterdir() if p.is_dir())]
    return found


async def watch_engine(runtime: Runtime, wake: Callable[[], None]) -> None:
    """`wake` at each event of the engine; listens again when it comes back."""
    while True:
        with suppress(Unavailable):
            async for _ in runtime.events():
                wake()
        wake()
        await asyncio.sleep(RETRY)


async def guard_gateway(
    gateway: Gateway, restarted: Callable[[], None], lost: Callable[[str], Awaitable[None]]
) -> None:
    """Start the gateway again whenever it is gone; `restarted` then has it told everything."""
    while True:
        await asyncio.sleep(GATEWAY_CHECK)
        try:
            await gateway.check()
            continue
        except OrchestratorError as error:
            await lost(error.message)
        try:
            await gateway.start()
            restarted()
        except OrchestratorError as error:
            LOG.error("gateway.start_failed", cause=error.message, hint=error.hint)
            await asyncio.sleep(RETRY)


def periodic(
    rescan: Callable[[], None], resync: Callable[[], None], housekeeping: Callable[[], Awaitable[None]]
) -> AsyncIOScheduler:
    """The started scheduler of everything that is due by the clock alone."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    common = {"trigger": "interval", "coalesce": True, "max_instances": 1, "misfire_grace_time": 30}

    async def soon(what: Callable[[], None]) -> None:
        what()

    scheduler.add_job(soon, args=[rescan], seconds=RESCAN, id="rescan", **common)
    scheduler.add_job(soon, args=[resync], seconds=RESYNC, id="resync", **common)
    scheduler.add_job(housekeeping, seconds=HOUSEKEEPING, id="housekeeping", **common)
    scheduler.start()
    return scheduler
