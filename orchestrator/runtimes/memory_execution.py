"""Commands in a routing of the memory runtime: what its `Program` scripts, and the few that need no script.

`cat` gives its input back, `sleep` goes on until it is ended, `nonsense` is not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Chunk, CommandResult, Invocation
from orchestrator.runtimes.memory_engine import Member

ENDED = 128 + 15


class MemoryExecution:
    """See `core.ports.Execution`."""

    def __init__(self, member: Member, asked: Invocation) -> None:
        if asked.argv[0] == "nonsense":
            raise RuntimeFailure("cannot execute nonsense: there is no such command", code="command_not_found")
        self._asked = asked
        self._gives = member.program.commands.get(asked.argv[0], CommandResult("", "", 0))
        self._input: asyncio.Queue[bytes] = asyncio.Queue(8)
        self._closed = asyncio.Event()
        self.size = asked.size

    async def output(self) -> AsyncIterator[Chunk]:
        if self._gives.out:
            yield "out", self._gives.out.encode()
        if self._gives.err:
            yield ("out" if self._asked.tty else "err"), self._gives.err.encode()
        if self._asked.argv[0] == "sleep":
            await self._closed.wait()
        while self._asked.argv[0] == "cat" and self._asked.stdin and (data := await self._input.get()):
            yield "out", data

    async def write(self, data: bytes) -> None:
        if self._asked.stdin and not self._closed.is_set():
            await self._input.put(data)

    async def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)

    async def wait(self) -> int:
        return ENDED if self._closed.is_set() else self._gives.exit_code

    async def close(self) -> None:
        self._closed.set()
        with suppress(asyncio.QueueFull):
            self._input.put_nowait(b"")
