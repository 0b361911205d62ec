"""A command that somebody runs beside a local routing, in its environment and folder, on a terminal if asked for.

Its processes carry the routing's marker, so they end with it at the latest, and one of their own, by which this ends
them when whoever asked has gone.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import to_host
from orchestrator.core.ports import Chunk, Invocation
from orchestrator.runtimes.process.ends import Ends, Reader, Terminal, pipes
from orchestrator.runtimes.process.environment import environment, host_argv
from orchestrator.runtimes.process.failures import on_disk, translated
from orchestrator.runtimes.process.processes import marked
from orchestrator.runtimes.process.starting import read_all
from orchestrator.runtimes.process.supervisor import send
from orchestrator.runtimes.process.units import Record, UnitFolder

MARKER = "ORCHESTRATOR_EXEC"
"""Environment variable that every process of one command has."""
GRACE = 2.0
"""Seconds between asking a command to end and killing it."""
_LEFTOVER_OUTPUT = 0.5
"""Seconds of silence after the command's end: what it left in the background may hold its output open."""
_PAUSE, _LONG_PAUSE = 0.02, 0.3
"""Seconds between looks whether something of a command is left."""
_PIECE = 64 * 1024
_PROGRAM = Path(__file__).with_name("executing.py")


class LocalExecution:
    """See `core.ports.Execution`. Made by `execute`."""

    def __init__(self, process: asyncio.subprocess.Process, mark: str, ends: Ends) -> None:
        self._process = process
        self._mark = mark
        self._ends = ends
        self._queue: asyncio.Queue[Chunk | None] = asyncio.Queue(8)
        self._readers = [asyncio.create_task(self._read(one), name=f"exec {one[0]}") for one in ends.readers]
        self._ending = asyncio.create_task(self._end(), name="exec end")

    async def output(self) -> AsyncIterator[Chunk]:
        while (chunk := await self._queue.get()) is not None:
            yield chunk

    async def write(self, data: bytes) -> None:
        if not data:
            self._ends.end_of_input()
        elif (writer := self._ends.writer) is not None and not writer.is_closing():
            with suppress(OSError):  # it has ended, or closed its input
                writer.write(data)
                await writer.drain()

    async def resize(self, columns: int, rows: int) -> None:
        self._ends.resize(columns, rows)

    async def wait(self) -> int:
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        try:
            await self._kill()
            await self._process.wait()
        finally:
            tasks = (*self._readers, self._ending)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._ends.close()

    async def _kill(self) -> None:
        """Ask, then kill, until nothing of it is left; what was left in the background goes, too. No thread waits: what
        many commands take their time with would hold up all else."""
        asked = signal.SIGHUP if isinstance(self._ends, Terminal) else signal.SIGTERM
        began, told, pause = time.monotonic(), set[int](), _PAUSE
        while left := await self._left():
            late = time.monotonic() - began
            send(left if late > GRACE else left - told, signal.SIGKILL if late > GRACE else asked, signal.SIGCONT)
            told |= left
            if late > 2 * GRACE:
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONG_PAUSE)

    async def _left(self) -> set[int]:
        return await on_disk("end a command", lambda: marked(MARKER, self._mark))

    async def _read(self, one: Reader) -> None:
        name, reader = one
        while data := await reader.read(_PIECE):
            await self._queue.put((name, data))

    async def _end(self) -> None:
        """The output's end: all of it was read, or the command has ended and nothing has come for a while."""
        await self._process.wait()
        pending = set(self._readers)
        while pending:
            done, pending = await asyncio.wait(pending, timeout=_LEFTOVER_OUTPUT)
            if not done and self._queue.empty():
                break
        for task in pending:
            task.cancel()
        await self._queue.put(None)


async def execute(folder: UnitFolder, record: Record, invocation: Invocation) -> LocalExecution:
    """Raises `RuntimeFailure` where it cannot be executed; then nothing of it is left."""
    if invocation.user:
        hint = "leave the user out, or use the Docker runtime"
        text = "cannot run a command as another user: the process runtime has only the daemon's own"
        raise RuntimeFailure(text, hint=hint, code="unsupported")
    mark, doing = uuid4().hex, f"execute {invocation.argv[0]}"
    order = {
        "argv": await on_disk(doing, lambda: host_argv(invocation.argv, folder, record)),
        "cwd": to_host(os.path.normpath(invocation.folder or record.cwd), record.paths),
        "environ": {
            **({"TERM": "xterm"} if invocation.tty else {}),
            **environment(folder, record),
            **invocation.environ,
            MARKER: mark,
        },
        "tty": invocation.tty,
    }
    try:
        ends = Terminal(invocation.size) if invocation.tty else pipes(stdin=invocation.stdin)
    except OSError as error:
        raise translated(error, doing) from error
    try:
        process = await _spawn(order, ends)
        await ends.open()
    except BaseException:
        ends.close()
        send(marked(MARKER, mark), signal.SIGKILL)
        raise
    return LocalExecution(process, mark, ends)


async def _spawn(order: Mapping[str, Any], ends: Ends) -> asyncio.subprocess.Process:
    asked, order_end = os.pipe2(os.O_CLOEXEC)
    verdict, verdict_end = os.pipe2(os.O_CLOEXEC)
    try:
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(_PROGRAM), str(asked), str(verdict_end)),
                stdin=ends.theirs[0],
                stdout=ends.theirs[1],
                stderr=ends.theirs[2],
                pass_fds=(asked, verdict_end),
                start_new_session=True,
                env={"PATH": os.defpath},
            )
        except OSError as error:
            os.close(order_end)
            raise translated(error, f"execute {order['argv'][0]}") from error
        finally:
            ends.handed()
            os.close(asked)
            os.close(verdict_end)
        await on_disk("start a command", lambda: _tell(order_end, order))
        said = await asyncio.to_thread(read_all, verdict)
    finally:
        os.close(verdict)
    if said:
        await process.wait()
        raise _failure(order, json.loads(said))
    return process


def _tell(descriptor: int, order: Mapping[str, Any]) -> None:
    with suppress(BrokenPipeError), open(descriptor, "wb") as pipe:
        pipe.write(json.dumps(order).encode("utf-8", "surrogatepass"))


def _failure(order: Mapping[str, Any], problem: Mapping[str, Any]) -> RuntimeFailure:
    number, program = problem["error"] or 0, order["argv"][0]
    error = OSError(number, os.strerror(number))
    if problem["step"] == "chdir":
        hint = "--workdir takes a path as the routing sees it"
        return RuntimeFailure(f"cannot enter {order['cwd']}: {error.strerror}", hint=hint, code="not_found")
    if isinstance(error, FileNotFoundError):
        text = f"cannot execute {program}: there is no such command"
        return RuntimeFailure(text, hint="check its name and the routing's PATH", code="command_not_found")
    found = translated(error, f"execute {program}")
    return RuntimeFailure(found.message, hint=found.hint, code=found.code)
