"""What wakes the loop besides the API: folder changes, engine events, the gateway's death, and the passing of time.

Nothing is decided here: each only says *look again*.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from watchfiles._rust_notify import RustNotify

from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.ports import Gateway, Runtime

LOG = structlog.get_logger("orchestrator")
SETTLE = 100
"""Milliseconds without a change after which a burst of changes (an editor's rename dance, a copy) is over."""
AT_MOST = 1000
"""Milliseconds after which a burst that does not end is looked at all the same."""
WATCH_LIMIT = 5000
"""Milliseconds that one wait for changes lasts, so that a folder that came unseen is watched soon."""
AGAIN = (0.05, 0.15, 0.4, 1.0)
"""Seconds after an event at which to look again."""
RETRY = 0.5
RESYNC = 15
RESCAN = 10
HOUSEKEEPING = 60
GATEWAY_CHECK = 0.5


@dataclass(frozen=True, slots=True)
class Watched:
    """What to watch, asked again and again: the models_dirs, model folders that lie elsewhere, names of definitions."""

    models_dirs: Sequence[Path]
    elsewhere: Callable[[], Iterable[str]]
    files: Callable[[], Collection[str]]

    def folders(self) -> dict[str, int]:
        """One level deep, with their inodes: another folder of the same name is another one to watch."""
        found: dict[str, int] = {}
        for top in self.models_dirs:
            with suppress(OSError):
                for path in [top, *sorted(p for p in top.iterdir() if p.is_dir())]:
                    if path.name.isprintable():  # no other is a model folder, nor can one that is no text be watched
                        found[str(path)] = path.stat().st_ino
        for folder in self.elsewhere():
            with suppress(OSError):
                found[folder] = Path(folder).stat().st_ino
        return found

    def matters(self, path: str) -> bool:
        """A model folder that comes or goes, or a definition in one."""
        return Path(path).parent in self.models_dirs or Path(path).name in self.files()


async def watch_folders(watched: Watched, changed: Callable[[], None]) -> None:
    """`changed` after each burst of changes among the model folders or their definition files.

    What servers write further down, or under other names, wakes nobody. The slow rescan covers what a watch cannot
    see (network file systems).
    """
    while True:
        folders = await asyncio.to_thread(watched.folders)
        try:
            await _watch(watched, folders, changed)
        except FileNotFoundError:  # one went away meanwhile
            await asyncio.sleep(RETRY)
        except (OSError, RuntimeError) as error:
            LOG.warning("watch.failed", cause=str(error), hint="raise fs.inotify.max_user_watches")
            await asyncio.sleep(RESCAN)


async def _watch(watched: Watched, folders: Mapping[str, int], changed: Callable[[], None]) -> None:
    """Until there are other folders to watch. `changed` first of all, for what happened before the watch stood."""
    closing = threading.Event()
    watcher = await asyncio.to_thread(RustNotify, list(folders), False, False, 0, False, True)
    try:
        changed()
        while await asyncio.to_thread(watched.folders) == folders:
            seen = await asyncio.to_thread(watcher.watch, AT_MOST, SETTLE, WATCH_LIMIT, closing)
            changes = set() if isinstance(seen, str) else seen  # a word in place of changes: there were none
            if any(watched.matters(path) for _, path in changes):
                changed()
    finally:
        closing.set()  # the thread that waits looks at it every `SETTLE`; the watch ends with its last reference


async def watch_engine(runtime: Runtime, wake: Callable[[], None]) -> None:
    """`wake` at each event of the engine, and again soon after: an engine tells of a change a moment before its own
    list shows it. Listens again when it comes back."""
    loop, later = asyncio.get_running_loop(), list[asyncio.TimerHandle]()
    try:
        while True:
            with suppress(Unavailable):
                async for _ in runtime.events():
                    wake()
                    while later:
                        later.pop().cancel()
                    later += [loop.call_later(delay, wake) for delay in AGAIN]
            wake()
            await asyncio.sleep(RETRY)
    finally:
        for timer in later:
            timer.cancel()


async def guard_gateway(
    gateway: Gateway, restarted: Callable[[], None], lost: Callable[[str], Awaitable[None]]
) -> None:
    """Start the gateway again whenever it is gone; `restarted` then has it told everything. That it is gone, and why it
    cannot be started, is told once, not at each attempt."""
    down = ""
    while True:
        await asyncio.sleep(GATEWAY_CHECK)
        try:
            await gateway.check()
        except OrchestratorError as error:
            if not down:
                await lost(error.message)
            down = await _start(gateway, down)
        else:
            if not down:
                continue
            down = ""  # its unit started it
        if not down:
            restarted()


async def _start(gateway: Gateway, told: str) -> str:
    """Why it cannot be started; empty: it was. `told`: what is known of that already."""
    try:
        await gateway.start()
    except OrchestratorError as error:
        if error.message != told:
            LOG.error("gateway.start_failed", cause=error.message, hint=error.hint)
        return error.message
    return ""


def periodic(
    rescan: Callable[[], None], resync: Callable[[], None], housekeeping: Callable[[], Awaitable[None]]
) -> AsyncIOScheduler:
    """The started scheduler of everything that is due by the clock alone."""
    scheduler = AsyncIOScheduler(timezone="UTC")
    common = {"trigger": "interval", "coalesce": True, "max_instances": 1, "misfire_grace_time": 30}

    async def soon(what: Callable[[], None]) -> None:
        what()

    async def kept() -> None:
        await housekeeping()

    scheduler.add_job(soon, args=[rescan], seconds=RESCAN, id="rescan", **common)
    scheduler.add_job(soon, args=[resync], seconds=RESYNC, id="resync", **common)
    scheduler.add_job(kept, seconds=HOUSEKEEPING, id="housekeeping", **common)
    scheduler.start()
    return scheduler
