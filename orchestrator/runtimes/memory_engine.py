"""The engine that the memory runtime plays: what outlives a daemon, and the script of what happens there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.paths import HOME
from orchestrator.core.port_use import uses_port
from orchestrator.core.ports import Clock, CommandResult, LogLine, Unit, Usage
from orchestrator.core.state import Group, UnitState
from orchestrator.runtimes.changes import Changes

_LINE = 16 * 1024


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
    takes: Usage = Usage(0.5, 64 << 20)
    """What it has taken, whenever it is asked."""
    commands: Mapping[str, CommandResult] = field(default_factory=dict)
    """What commands in it give, by their first word; all others end with 0 and print nothing, but for those of
    `runtimes.memory_execution`."""


@dataclass(slots=True)
class Member:
    """One routing on the engine."""

    unit: Unit
    runtime_id: str
    port: int
    program: Program
    state: UnitState = "created"
    exit_code: int | None = None
    oom: bool = False
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
        self.absent: set[str] = set()
        """Images that it does not have."""
        self.down = ""
        """Why no call is answered now; empty: the engine is up. Set it by `fail` and `recover`."""
        self.capacity = Group("default", {"cpu": 1e6, "mem": 1e18, "cuda.device": 0.0})
        self.listeners: set[Changes] = set()
        self.members: dict[tuple[str, str], Member] = {}
        self._ids, self._ports = count(1), count(20000)

    def fail(self, why: str = "the engine is down") -> None:
        """From now on every call raises `Unavailable`; listeners learn that their connection ended."""
        self.down = why
        for listener in self.listeners:
            listener.close()

    def tell(self, unit_id: str) -> None:
        for listener in self.listeners:
            listener.tell(unit_id)

    def recover(self) -> None:
        self.down = ""

    def program(self, unit: Unit, word: str = "") -> Program:
        return self.by_service.get(unit.service) or self.programs.get(word) or self.default

    def member(self, unit_id: str) -> Member:
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
        self.tell(unit_id)

    def lose(self, unit_id: str) -> None:
        """It is removed by hand."""
        for key in [key for key in self.members if key[1] == unit_id]:
            self.drop(key)

    def add(self, installation: str, unit: Unit) -> Member:
        fixed = not uses_port(unit.spec)
        port = unit.spec.port if fixed else next(self._ports)
        member = Member(unit, f"memory-{next(self._ids)}", port, self.program(unit))
        member.address = self.addresses.get(unit.service)
        self.members[installation, unit.id] = member
        self.tell(unit.id)
        return member

    def drop(self, key: tuple[str, str]) -> None:
        if member := self.members.pop(key, None):
            if member.end:
                member.end.cancel()
            member.over.set()
            member.written.set()
            self.tell(key[1])

    def over(self, member: Member, exit_code: int, oom: bool) -> None:
        if member.end:
            member.end.cancel()
        if member.state in ("running", "paused"):
            member.state, member.exit_code, member.oom = "exited", exit_code, oom
            member.over.set()
            member.written.set()
            self.tell(member.unit.id)

    def write(self, member: Member, stream: str, data: bytes) -> None:
        now = self.now()
        for line in data.removesuffix(b"\n").split(b"\n"):
            pieces = [line[at : at + _LINE] for at in range(0, len(line), _LINE)] or [b""]
            texts = (piece.decode("utf-8", "replace") for piece in pieces)
            member.log += [LogLine(now, "err" if stream == "err" else "out", text) for text in texts]
        member.written.set()
