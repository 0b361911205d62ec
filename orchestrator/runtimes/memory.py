"""A runtime without an engine: it ships for tests, dry runs and benchmarks, and passes the runtime contract.

What a routing does is scripted: `Program` by the first word of its start command or by its service. Its address may
be a real one that the test serves. Several daemons share one `MemoryEngine`, as they would share Docker's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from orchestrator.core.errors import NotFound, RuntimeFailure, Unavailable
from orchestrator.core.listening import Listener
from orchestrator.core.ports import (
    Clock,
    Command,
    CommandResult,
    Created,
    Invocation,
    LogLine,
    PullProgress,
    RuntimeInfo,
    Unit,
    Unpacked,
    Usage,
)
from orchestrator.core.state import Observed
from orchestrator.runtimes import memory_files
from orchestrator.runtimes.changes import Changes
from orchestrator.runtimes.memory_engine import Member, MemoryEngine, Program
from orchestrator.runtimes.memory_execution import MemoryExecution

__all__ = ["MemoryEngine", "MemoryRuntime", "MemorySandbox", "Program"]


class MemoryRuntime:
    """`engine` None: one of its own. Script it through `engine`."""

    name = "memory"
    exclusive_ports = False

    def __init__(self, installation: str, clock: Clock | None = None, engine: MemoryEngine | None = None) -> None:
        self._installation = installation
        self.engine = engine or MemoryEngine(clock)
        self._changes = Changes()
        self.engine.listeners.add(self._changes)

    async def info(self) -> RuntimeInfo:
        self._reach()
        return RuntimeInfo(self.name, "1", self.engine.capacity)

    async def observe(self) -> Sequence[Observed]:
        self._reach()
        ours = [m for (installation, _), m in self.engine.members.items() if installation == self._installation]
        return [_observed(member) for member in ours]

    async def events(self) -> AsyncIterator[str]:
        self._reach()
        async for unit_id in self._changes.listen():
            yield unit_id
        if self.engine.down:
            raise Unavailable(self.engine.down)

    async def ensure_image(self, unit: Unit, progress: Callable[[PullProgress], None]) -> str:
        self._reach()
        program = self.engine.program(unit)
        _fail(program, "image")
        if not unit.spec.image:
            return ""
        progress(PullProgress(unit.spec.image, 1, 1))
        return f"memory:{unit.spec.image}"

    async def has_image(self, image: str) -> bool:
        self._reach()
        return image not in self.engine.absent

    async def create(self, unit: Unit) -> Created:
        self._reach()
        program = self.engine.program(unit)
        await asyncio.sleep(program.create_delay)
        _fail(program, "create")
        self.engine.drop((self._installation, unit.id))
        member = self.engine.add(self._installation, unit)
        return Created(member.runtime_id, member.port)

    def sandbox(self, unit_id: str) -> MemorySandbox:
        return MemorySandbox(self.engine, self._member(unit_id))

    async def start(self, unit_id: str, command: Command) -> None:
        self._reach()
        member = self._member(unit_id)
        word = command.text.split(maxsplit=1)[0] if command.text else (command.argv or ("",))[0]
        program = member.program = self.engine.program(member.unit, word)
        await asyncio.sleep(program.start_delay)
        self._reach()
        _fail(program, "start")
        member.state = "running"
        for stream, data in program.prints:
            self.engine.write(member, stream, data)
        if program.lives is not None:
            loop = asyncio.get_running_loop()
            member.end = loop.call_later(program.lives, self.engine.over, member, program.exit_code, program.oom)
        self.engine.tell(unit_id)

    async def stop(self, unit_id: str, grace: float) -> None:
        self._reach()
        member = self.engine.members.get((self._installation, unit_id))
        if member is None or member.state not in ("running", "paused"):
            return
        if member.program.honours_term:
            self.engine.over(member, 143, oom=False)
            return
        try:
            async with asyncio.timeout(grace):
                await member.over.wait()
        except TimeoutError:
            self.engine.over(member, 137, oom=False)

    async def remove(self, unit_id: str) -> None:
        self._reach()
        self.engine.drop((self._installation, unit_id))

    async def owns_listener(self, unit_id: str, port: int) -> bool:  # noqa: ARG002
        self._member(unit_id)
        return True

    async def listeners(self, unit_id: str) -> Sequence[Listener] | None:
        self._reach()
        self._member(unit_id)
        return None

    async def usage(self) -> Mapping[str, Usage]:
        self._reach()
        mine = [(id, m) for (installation, id), m in self.engine.members.items() if installation == self._installation]
        return {id: member.program.takes for id, member in mine if member.state == "running"}

    async def logs(
        self, unit_id: str, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncIterator[LogLine]:
        self._reach()
        member = self._member(unit_id)
        at = 0 if tail is None else max(0, len(member.log) - tail)
        while True:
            member.written.clear()
            while at < len(member.log):
                at += 1
                if since is None or member.log[at - 1].time >= since:
                    yield member.log[at - 1]
            if not follow or member.over.is_set():
                return
            await member.written.wait()

    async def execute(self, unit_id: str, invocation: Invocation) -> MemoryExecution:
        self._reach()
        member = self._member(unit_id)
        if member.state != "running":
            raise RuntimeFailure(f"cannot run a command in {unit_id}: it does not run", code="not_running")
        return MemoryExecution(member, invocation)

    async def archive(self, unit_id: str, path: str) -> AsyncIterator[bytes]:
        self._reach()
        yield memory_files.archive(self._member(unit_id), path)

    async def unpack(self, unit_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> Unpacked:
        self._reach()
        return await memory_files.unpack(self._member(unit_id), path, archive, folder=folder)

    async def clear(self) -> None:
        """It has nothing besides its units."""

    async def close(self) -> None:
        self.engine.listeners.discard(self._changes)
        self._changes.close()

    def _reach(self) -> None:
        if self.engine.down:
            raise Unavailable(f"cannot reach the engine: {self.engine.down}")

    def _member(self, unit_id: str) -> Member:
        member = self.engine.members.get((self._installation, unit_id))
        if member is None:
            raise NotFound(f"cannot find the routing {unit_id}")
        return member


class MemorySandbox:
    """Files in a table; commands as the routing's `Program` says."""

    def __init__(self, engine: MemoryEngine, member: Member) -> None:
        self._engine = engine
        self._member = member

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        path, files = memory_files.absolute(path), self._member.files
        if path in self._member.folders:
            raise RuntimeFailure(f"cannot write {path}: it is a folder", code="is_a_directory")
        await self.mkdir(path.rpartition("/")[0] or "/")
        files[path] = ((files[path][0] if append and path in files else b"") + body, mode)

    async def mkdir(self, path: str) -> None:
        parts = memory_files.absolute(path).strip("/").split("/")
        folders = ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        for folder in folders:
            if folder in self._member.files:
                raise RuntimeFailure(f"cannot make the folder {path}: {folder} is a file", code="not_a_directory")
        self._member.folders |= set(folders)

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:  # noqa: ARG002
        return self._member.program.commands.get(argv[0], CommandResult("", "", 0))

    async def log(self, line: str) -> None:
        self._engine.write(self._member, "out", line.encode("utf-8", "replace"))

    async def python(self) -> str:
        return "python3"


def _observed(member: Member) -> Observed:
    unit = member.unit
    host, port = member.address or ("127.0.0.1", member.port)
    return Observed(
        unit.id,
        unit.service,
        unit.spec.revision,
        unit.kind,
        member.runtime_id,
        member.state,
        host=host if member.state != "created" else "",
        port=port,
        exit_code=member.exit_code,
        oom=member.oom,
    )


def _fail(program: Program, step: str) -> None:
    if error := program.fails.get(step):
        raise error
