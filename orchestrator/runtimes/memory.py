"""A runtime without an engine: it ships for tests, dry runs and benchmarks, and passes the runtime contract.

What a routing does is scripted: `Program` by the first word of its start command or by its service. Its address may
be a real one that the test serves. Several daemons share one `MemoryEngine`, as they would share Docker's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from orchestrator.core.errors import NotFound, OrchestratorError, RuntimeFailure, Unavailable
from orchestrator.core.paths import HOME
from orchestrator.core.port_use import uses_port
from orchestrator.core.ports import Clock, Command, CommandResult, Created, LogLine, PullProgress, RuntimeInfo, Unit
from orchestrator.core.state import Group, Observed, UnitState
from orchestrator.runtimes.changes import Changes


@dataclass(frozen=True, slots=True)
class Program:
    """What a routing does. Times in seconds; `fails` maps a step (image, create, start) to what is raised there."""

    create_delay: float = 0.0
    start_delay: float = 0.0
    fails: Mapping[str, OrchestratorError] = field(default_factory=dict)
    lives: float | None = None
    """Ends by itself after this time with `exit_code`; None: runs until it is stopped."""
    exit_code: int = 0
    oom: bool = False
    honours_term: bool = True
    prints: tuple[tuple[str, bytes], ...] = ()
    """Stream (`out`, `err`) and bytes, written when it starts."""
    commands: Mapping[str, CommandResult] = field(default_factory=dict)
    """What commands of its pre-start actions give, by their first word; all others end with 0 and print nothing."""


@dataclass(slots=True)
class _Member:
    """One routing on the engine."""

    unit: Unit
    runtime_id: str
    port: int
    program: Program
    state: UnitState = "created"
    exit_code: int | None = None
    oom: bool = False
    finished_at: float | None = None
    address: tuple[str, int] | None = None
    log: list[LogLine] = field(default_factory=list)
    files: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/", HOME})
    written: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    end: asyncio.TimerHandle | None = None


class MemoryEngine:
    """What outlives a daemon: the routings of all installations, how they behave, and whether the engine is down."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.now: Callable[[], float] = clock.wall if clock else time.time
        self.default = Program()
        self.programs: dict[str, Program] = {}
        """By the first word of the start command (a string: of its text)."""
        self.by_service: dict[str, Program] = {}
        self.addresses: dict[str, tuple[str, int]] = {}
        """By service: the real (host, port) that its routings are reached by; else 127.0.0.1 and its own port."""
        self.unhealthy: set[str] = set()
        """Routings whose probes a test's prober should let fail; see `answers`."""
        self.down = ""
        """Why no call is answered now; empty: the engine is up. Set it by `fail` and `recover`."""
        self.capacity = Group("default", {"cpu": 1e6, "mem": 1e18, "cuda.device": 0.0})
        self.changes = Changes()
        self.members: dict[tuple[str, str], _Member] = {}
        self._ids, self._ports = count(1), count(20000)

    def fail(self, why: str = "the engine is down") -> None:
        """From now on every call raises `Unavailable`; listeners are told that their connection ended."""
        self.down = why
        self.changes.close()
        self.changes = Changes()

    def recover(self) -> None:
        self.down = ""

    def program(self, unit: Unit, word: str = "") -> Program:
        return self.by_service.get(unit.service) or self.programs.get(word) or self.default

    def member(self, unit_id: str) -> _Member:
        """Of any installation. Raises `NotFound`."""
        for (_, known), member in self.members.items():
            if known == unit_id:
                return member
        raise NotFound(f"cannot find the routing {unit_id}")

    def answers(self, unit_id: str) -> bool:
        """Whether a probe would pass now."""
        return self.member(unit_id).state == "running" and unit_id not in self.unhealthy

    def end(self, unit_id: str, exit_code: int = 137, *, oom: bool = False) -> None:
        """It dies: by itself, by hand, by the OOM killer."""
        self.over(self.member(unit_id), exit_code, oom)

    def pause(self, unit_id: str, *, paused: bool = True) -> None:
        self.member(unit_id).state = "paused" if paused else "running"
        self.changes.tell(unit_id)

    def lose(self, unit_id: str) -> None:
        """It is removed by hand."""
        for key in [key for key in self.members if key[1] == unit_id]:
            self.drop(key)

    def add(self, installation: str, unit: Unit) -> _Member:
        fixed = not uses_port(unit.spec)
        port = unit.spec.port if fixed else next(self._ports)
        member = _Member(unit, f"memory-{next(self._ids)}", port, self.program(unit))
        member.address = self.addresses.get(unit.service)
        self.members[installation, unit.id] = member
        self.changes.tell(unit.id)
        return member

    def drop(self, key: tuple[str, str]) -> None:
        if member := self.members.pop(key, None):
            if member.end:
                member.end.cancel()
            member.over.set()
            member.written.set()
            self.changes.tell(key[1])

    def over(self, member: _Member, exit_code: int, oom: bool) -> None:
        if member.end:
            member.end.cancel()
        if member.state in ("running", "paused"):
            member.state, member.exit_code, member.oom, member.finished_at = "exited", exit_code, oom, self.now()
            member.over.set()
            member.written.set()
            self.changes.tell(member.unit.id)

    def write(self, member: _Member, stream: str, data: bytes) -> None:
        now = self.now()
        for line in data.removesuffix(b"\n").split(b"\n"):
            pieces = [line[at : at + _LINE] for at in range(0, len(line), _LINE)] or [b""]
            texts = (piece.decode("utf-8", "replace") for piece in pieces)
            member.log += [LogLine(now, "err" if stream == "err" else "out", text) for text in texts]
        member.written.set()


_LINE = 16 * 1024


class MemoryRuntime:
    """`engine` None: one of its own. Script it through `engine`."""

    name = "memory"
    exclusive_ports = False

    def __init__(self, installation: str, clock: Clock | None = None, engine: MemoryEngine | None = None) -> None:
        self._installation = installation
        self.engine = engine or MemoryEngine(clock)
        self._closed = False

    async def info(self) -> RuntimeInfo:
        self._reach()
        return RuntimeInfo(self.name, "1", self.engine.capacity)

    async def observe(self) -> Sequence[Observed]:
        self._reach()
        ours = [m for (installation, _), m in self.engine.members.items() if installation == self._installation]
        return [_observed(member) for member in ours]

    async def events(self) -> AsyncIterator[str]:
        self._reach()
        async for unit_id in self.engine.changes.listen():
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
        self.engine.changes.tell(unit_id)

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

    async def close(self) -> None:
        self._closed = True

    def _reach(self) -> None:
        if self.engine.down:
            raise Unavailable(f"cannot reach the engine: {self.engine.down}")

    def _member(self, unit_id: str) -> _Member:
        member = self.engine.members.get((self._installation, unit_id))
        if member is None:
            raise NotFound(f"cannot find the routing {unit_id}")
        return member


class MemorySandbox:
    """Files in a table; commands as the routing's `Program` says."""

    def __init__(self, engine: MemoryEngine, member: _Member) -> None:
        self._engine = engine
        self._member = member

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        path, files = _absolute(path), self._member.files
        if path in self._member.folders:
            raise RuntimeFailure(f"cannot write {path}: it is a folder", code="is_a_directory")
        await self.mkdir(path.rpartition("/")[0] or "/")
        files[path] = ((files[path][0] if append and path in files else b"") + body, mode)

    async def mkdir(self, path: str) -> None:
        parts = _absolute(path).strip("/").split("/")
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


def _observed(member: _Member) -> Observed:
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
        finished_at=member.finished_at,
    )


def _fail(program: Program, step: str) -> None:
    if error := program.fails.get(step):
        raise error


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"{HOME}/{path}"
