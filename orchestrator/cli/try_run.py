"""`validate --try`: runs a definition once, for real, and shows each step; by the daemon where it can, else in here."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from orchestrator.cli.common import FAILED, INTERRUPTED, INVALID, OK, Common, connect, requested
from orchestrator.cli.output import clean, dump, one_line, paint
from orchestrator.core.errors import NotAuthorised, NotFound, Unavailable

if TYPE_CHECKING:
    from orchestrator.core.daemon_views import TryEvent, TryRequest

_BESIDE = ("out", "err", "log_tail", "code", "hint")
"""Details that are shown below a step; the others are in its message, and whole in `-o json`."""


def try_path(
    common: Common,
    path: Path,
    *,
    image: str | None = None,
    environ: Mapping[str, str] | None = None,
    resources: Mapping[str, str] | None = None,
    model: str | None = None,
) -> int:
    """Exit code: 0 passed, 4 failed, 130 interrupted. However it ends, the scratch routing is gone then."""
    from orchestrator.core.daemon_views import TryRequest

    request = requested(
        TryRequest,
        folder=str(path.resolve()),
        model=model,
        image=image,
        environ=environ or {},
        resources=resources or {},
    )
    try:
        return asyncio.run(_until_terminated(common, request))
    except asyncio.CancelledError:
        return INTERRUPTED


async def _until_terminated(common: Common, request: TryRequest) -> int:
    """SIGTERM closes what runs as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await _shown(common, request)


async def _shown(common: Common, request: TryRequest) -> int:
    last: TryEvent | None = None
    async with aclosing(_events(common, request)) as events:
        async for event in events:
            last = event
            _show(common, event)
    if last is None or last.state not in ("passed", "failed"):
        raise Unavailable("cannot tell how the try went: it ended without a result", hint="see the daemon's log")
    if last.state == "passed":
        return OK
    return INVALID if last.detail.get("code") in ("definition_invalid", "invalid_input") else FAILED


async def _events(common: Common, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
    """The daemon's, unless it does not answer, does not let us, or cannot see the folder."""
    began = False
    try:
        async with connect(common) as client, aclosing(client.try_run(request)) as events:
            async for event in events:
                began = True
                yield event
        return
    except (Unavailable, NotAuthorised, NotFound):
        if began:
            raise
    from orchestrator.app import try_locally
    from orchestrator.settings import load

    async with aclosing(try_locally(load(common.config), request)) as events:
        async for event in events:
            yield event


def _show(common: Common, event: TryEvent) -> None:
    if common.json:
        import json

        print(json.dumps(dump(event), ensure_ascii=False), flush=True)
        return
    first, *more = event.message.splitlines() or [""]
    passing = event.step == "image" and event.state == "info" and sys.stdout.isatty()
    if sys.stdout.isatty():
        print("\r\x1b[K", end="")  # what was only passing
    if passing:
        room = get_terminal_size().columns - 1
        print(f"{event.state:<8} {event.step}  {one_line(first)}"[:room], end="", flush=True)
        return
    print(f"{paint(event.state):<8} {event.step}  {one_line(first)}".rstrip(), flush=True)
    for line in more:
        print(f"         {one_line(line)}", flush=True)
    for name in _BESIDE:
        value = event.detail.get(name, "")
        lines = value if isinstance(value, list | tuple) else str(value).splitlines()
        for line in lines:
            print(f"         {name} | {clean(str(line))}", flush=True)
