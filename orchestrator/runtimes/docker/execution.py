"""A command that somebody runs in a routing's container, and its end when whoever asked has gone.

The engine cannot end a command that it executes, and goes on with it when the connection is lost. So each has a mark in
its environment, by which a shell in the same container finds it and all that it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

from orchestrator.core.errors import NotFound, OrchestratorError, RuntimeFailure
from orchestrator.core.ports import Chunk, CommandTimeout, Invocation
from orchestrator.runtimes.docker import command, gate
from orchestrator.runtimes.docker.client import Engine
from orchestrator.runtimes.docker.errors import explained, plain
from orchestrator.runtimes.docker.hijacked import Hijacked, Sender, start
from orchestrator.runtimes.docker.stream import Pump

MARKER = "ORCHESTRATOR_EXEC"
GRACE = 2.0
"""Seconds between asking a command to end and killing it."""
_SIZED = (0.02, 0.05, 0.1, 0.3, 1.0)
"""Seconds between the times that its first size is told: the engine takes it, and loses it, while the terminal is not
there yet."""
_REFUSED = b"OCI runtime exec failed"
_KILL = (
    'for one in /proc/[0-9]*; do if tr "\\0" "\\n" <"$one/environ" | grep -qx "$1"; '
    'then kill -s "$2" "${one#/proc/}"; fi; done 2>/dev/null; exit 0'
)
"""sh -c KILL sh NAME=VALUE SIGNAL: to each process with that in its environment."""


class ContainerExecution:
    """See `core.ports.Execution`. Made by `execute`."""

    def __init__(
        self, engine: Engine, container: str, exec_id: str, mark: str, asked: Invocation, source: Hijacked
    ) -> None:
        self._engine, self._container, self._id, self._asked = engine, container, exec_id, asked
        self._mark = mark
        self._doing = f"execute {asked.argv[0]}"
        self._sender = Sender(source.socket, f"docker: write to {asked.argv[0]}")
        self._pump: Pump[Chunk] = engine.pump(self._doing, lambda _: source)
        self._size = asked.size
        self._sizing = asyncio.create_task(self._keep_size(), name="exec size") if asked.tty else None

    async def output(self) -> AsyncIterator[Chunk]:
        """An engine that cannot execute the command says so in the command's place."""
        said, first = b"", True
        async for chunk in self._chunks():
            if first and chunk[0] == "out" and chunk[1].startswith(_REFUSED):
                said = chunk[1]
            elif said:
                said += chunk[1]
            else:
                yield chunk
            first = False
        if said:
            reason = plain(said.decode("utf-8", "replace"))
            raise explained(reason, self._doing) or RuntimeFailure(f"cannot {self._doing}: {reason}")

    async def _chunks(self) -> AsyncIterator[Chunk]:
        batch = asyncio.ensure_future(self._pump.batch())
        try:
            while True:
                await asyncio.wait({batch}, timeout=command.LEFTOVER_OUTPUT)
                if not batch.done():
                    if not await self._running():
                        return
                    continue
                if not (chunks := batch.result()):
                    return
                for chunk in chunks:
                    yield chunk
                batch = asyncio.ensure_future(self._pump.batch())
        finally:
            batch.cancel()
            await asyncio.gather(batch, return_exceptions=True)

    async def write(self, data: bytes) -> None:
        if data or not self._asked.tty:
            await self._sender.send(data)

    async def resize(self, columns: int, rows: int) -> None:
        self._size = (columns, rows)
        if self._asked.tty:
            with contextlib.suppress(OrchestratorError):  # it has ended meanwhile, or its terminal is not there yet
                await self._engine.call(
                    "size a terminal", lambda api: api.exec_resize(self._id, height=rows, width=columns)
                )

    async def _keep_size(self) -> None:
        for pause in _SIZED:
            await self.resize(*self._size)
            await asyncio.sleep(pause)

    async def wait(self) -> int:
        return await command.exit_code(self._engine, self._id, self._doing)

    async def close(self) -> None:
        if self._sizing is not None:
            self._sizing.cancel()
            await asyncio.gather(self._sizing, return_exceptions=True)
        try:
            with contextlib.suppress(OrchestratorError):  # the container ended, or the engine: with it the command
                await self._end()
        finally:
            self._sender.close()
            await self._engine.release(self._pump)

    async def _running(self) -> bool:
        return await command.running(self._engine, self._id)

    async def _end(self) -> None:
        """Ask, then kill. What has ended may have left something in the background, which goes, too."""
        was = await self._running()
        await self._signal("HUP" if self._asked.tty else "TERM")
        began = time.monotonic()
        while was and await self._running():
            if time.monotonic() - began > GRACE:
                await self._signal("KILL")
                await self._kill_from_here()
                return
            await asyncio.sleep(0.05)

    async def _signal(self, name: str) -> None:
        """As the command's own user, who may look at its environment. Nothing where the image has no shell."""
        argv = (gate.SHELL, "-c", _KILL, "sh", f"{MARKER}={self._mark}", name)
        with contextlib.suppress(RuntimeFailure, CommandTimeout):
            await command.execute(self._engine, self._container, argv, timeout=5.0, folder="/", user=self._asked.user)

    async def _kill_from_here(self) -> None:
        """Where the engine runs on this host and we may: the process whose control group is that container's."""
        facts = await self._engine.call("look at a command", lambda api: api.exec_inspect(self._id))
        pid = int(facts.get("Pid") or 0)
        if facts["Running"] and pid > 1:
            with contextlib.suppress(OSError):
                if self._container in Path(f"/proc/{pid}/cgroup").read_text():
                    os.kill(pid, signal.SIGKILL)


async def execute(engine: Engine, container: str, asked: Invocation) -> ContainerExecution:
    """Raises `RuntimeFailure` (not_running …), `NotFound` or `Unavailable`."""
    mark, doing = uuid4().hex, f"execute {asked.argv[0]}"
    try:
        made = await engine.call(
            doing,
            lambda api: api.exec_create(
                container,
                list(asked.argv),
                stdin=asked.stdin or asked.tty,
                tty=asked.tty,
                user=asked.user,
                workdir=asked.folder or None,
                environment={**asked.environ, MARKER: mark},
            ),
        )
    except NotFound:
        raise
    except RuntimeFailure as error:
        if "is not running" in error.message or "is paused" in error.message:
            raise RuntimeFailure(error.message, code="not_running") from error
        raise
    source = await engine.call(doing, lambda api: start(api, made["Id"], tty=asked.tty))
    return ContainerExecution(engine, container, made["Id"], mark, asked, source)
