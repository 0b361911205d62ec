"""A service that changes while it is asked: its model, its clients, and what must have held for each of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from docker_host import DockerDaemon
from harness import Daemon, echo, until
from streams import Cut, Streams
from traffic import Load

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.views import EventView, ServiceDetail

GRACE = 1.0
"""Seconds; `stop_grace` of the services here."""
EARLY = 0.15
"""Seconds by which the clocks of a drain, of its event and of a client may differ."""
MODEL = """
import os, sys, time
import server

FAULT, _, AMOUNT = os.environ.get("FAULT", "").partition(":")
ROUTING = os.environ["ORCHESTRATOR_ROUTING"]
if FAULT == "exit":
    sys.exit("there are no weights")
if FAULT == "late":
    time.sleep(float(AMOUNT))

class Model(server.Echo):
    asked, first = 0, 0.0

    def end_headers(self):
        self.send_header("X-Routing", ROUTING)
        super().end_headers()

    def reply(self, value, status=200):
        if self.path == "/health":
            asked = Model.first and time.monotonic() - Model.first
            return super().reply(value, 500 if FAULT == "health" or FAULT == "sick" and asked > float(AMOUNT) else 200)
        Model.asked += 1
        Model.first = Model.first or time.monotonic()
        if FAULT == "slow":
            time.sleep(float(AMOUNT))
        if FAULT == "errors" and not Model.asked % int(AMOUNT):
            return super().reply({"injected": ROUTING}, 500)
        super().reply(value, status)

server.Echo = Model
server.main()
"""
"""FAULT: `exit` at once; `health` 500 from the first probe on; `sick:S`, the same S seconds after its first request;
`errors:N`, each Nth answer is 500; `slow:S`; `late:S`, it listens only after S seconds."""


SLOTS = {"default": {"slots": {"seat": 2}}}
"""Declared capacity for the ways that take seats."""


@dataclass(frozen=True, slots=True)
class Way:
    """A strategy. `seats`: of two, what a routing takes; with both taken there is no room for another."""

    update: Mapping[str, Any]
    count: int = 2
    seats: int = 0

    @property
    def took(self) -> dict[str, Any]:
        return {"resources": {"seat": self.seats}} if self.seats else {}


WAYS = {
    "rolling": Way({"strategy": "rolling"}, count=3),
    "rolling without room": Way({"strategy": "rolling"}, seats=1),
    "the only one without room": Way({"strategy": "rolling"}, count=1, seats=2),
    "recreate": Way({"strategy": "recreate"}),
    "blue-green": Way({"strategy": "blue_green", "promote_after": 0.2}),
    "canary": Way({"strategy": "canary", "steps": [10, 50], "pause": 1, "min_requests": 10}),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """A change as it went."""

    events: Sequence[EventView]

    def of(self, kind: str) -> list[EventView]:
        return [e for e in self.events if e.kind == kind]


class Changing:
    """`async with Changing(daemon, count=3, update={…}) as service:` serves it, under load, with streams open."""

    def __init__(
        self, daemon: Daemon, *, count: int = 1, update: Mapping[str, Any], loaded: bool = True, **deployment: Any
    ) -> None:
        self.daemon, self.update = daemon, dict(update)
        self._count, self._loaded, self._deployment = count, loaded, deployment
        self.version = 0
        self._kills: list[float] = []
        self.load: Load
        self.streams: Streams
        self._stack = AsyncExitStack()

    def definition(self, **environ: str) -> dict[str, Any]:
        asked = {"desired_routing_count": self._count, "stop_grace": GRACE, "update": self.update, **self._deployment}
        environ = {"VERSION": str(self.version), **environ}
        command = ["python", "/models/model.py", "--port", "{port}"]
        return echo("echo", start_command=command, deployment={**asked, "environ": environ})

    async def __aenter__(self) -> Changing:
        self.daemon.drop("echo", self.definition(), {"model.py": MODEL})
        await self.daemon.settled("echo", self._count)
        self._url, self._header = self.daemon.endpoint("echo"), await self.daemon.header("echo")
        if self._loaded:
            self.load = await self._stack.enter_async_context(self.asked())
            self.streams = await self._stack.enter_async_context(Streams(self._url, self._header))
            await until(lambda: self.streams.ended, what="streams are open")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    def asked(self, **options: Any) -> Load:
        return Load(self._url, self._header, timeout=30, **options)

    # --- changes

    async def last(self) -> int:
        return max(e.seq for e in await self.daemon.events())

    def edit(self, **environ: str) -> None:
        """A new revision: its number in VERSION, and whatever else."""
        self.version += 1
        self.daemon.edit("echo", self.definition(**environ))

    async def change(self, end: str = "rollout.finished", **environ: str) -> Seen:
        """A new revision, to the end of its rollout."""
        began = await self.last()
        self.edit(**environ)
        return await self.ended(began, end)

    async def reached(self, phase: str) -> ServiceDetail:
        """The service, once a rollout of the newest revision is at this phase."""

        async def look() -> ServiceDetail | None:
            seen = await self.daemon.service("echo")
            assert seen.spec["routing"]["environ"]["VERSION"] == str(self.version)
            return seen if seen.rollout and seen.rollout.phase == phase else None

        return await until(look, what=f"the rollout is {phase}")  # type: ignore[return-value]

    async def published(self, cause: str, began: int) -> None:
        """Once the gateway has what followed from the last event since `began` with these words."""

        async def look() -> bool:
            events = [e for e in await self.daemon.events() if e.seq > began]
            told = [e.seq for e in events if cause in e.cause]
            return bool(told) and any(e.seq > told[-1] and e.kind == "gateway.published" for e in events)

        await until(look, what=f"the gateway heard of {cause}")

    async def ended(self, began: int, end: str = "rollout.finished") -> Seen:
        """Once an event `end` came after `began`, and all is settled."""
        await until(lambda: self._told(began, end), 40, what=f"the rollout ends with {end}")
        await self.settled()
        return Seen(await self.daemon.client.events(after=began, service="echo", limit=1000))

    async def _told(self, began: int, end: str) -> bool:
        events = await self.daemon.client.events(after=began, service="echo", limit=1000)
        assert end in [e.kind for e in events], [(e.kind, e.cause) for e in events]
        return True

    async def settled(self) -> ServiceDetail:
        """Once what is wanted runs, and no rollout is under way."""

        async def look() -> ServiceDetail:
            service = await self.daemon.settled("echo", deadline=0)
            assert service.rollout is None, service.rollout
            return service

        return await until(look, 40, what="no rollout is under way")  # type: ignore[return-value]

    async def killed(self, act: Callable[[], Awaitable[object] | None], most: int, chance: random.Random) -> str:
        """Do it, and `kill -9` the daemon a moment after some of the `most` events that it brings, or after 3 s; start
        it again, and wait for the end, whose event may be cut off. The last event before."""
        began, last, count = await self.last(), "", chance.randint(1, most)
        doing = asyncio.ensure_future(_done(act))
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(3),
                aclosing(self.daemon.client.follow_events(after=began, service="echo")) as told,
            ):
                async for event in told:
                    last, count = f"{event.kind}: {event.cause}", count - 1
                    if not count:
                        break
        await asyncio.sleep(chance.random() * 0.05)
        self._kills.append(time.time())
        await self.daemon.kill()
        await doing
        await self.daemon.start()
        await self.settled()
        return last

    # --- what must have held

    async def check(self, what: str) -> None:
        """No request failed, and each stream ended by itself, or when its routing's grace was over."""
        assert not self.load.failures, f"{what}: {self.load}"
        assert self.load.answered, what
        drains = {e.routing: [e.time.timestamp()] for e in await self.daemon.events("routing.draining")}
        drains |= {r.id: [] for r in (await self.daemon.service("echo")).routings if r.id not in drains}
        # of one that is gone without a word a kill came between the fact and its event
        early = [cut for cut in self.streams.cuts if not _at_its_grace(cut, drains.get(cut.routing, self._kills))]
        assert not early, f"{what}: {len(early)} of {self.streams.ended + len(self.streams.cuts)} were cut: {early[:3]}"
        assert self.streams.ended, what

    async def serves(self, version: int) -> ServiceDetail:
        """All of it is what version `version` says, and nothing else is left once what failed was cleared away."""
        service = await self.settled()
        assert service.spec["routing"]["environ"]["VERSION"] == str(version), service.spec["routing"]["environ"]

        def look() -> bool:
            left = running(self.daemon)
            assert len(left) == service.desired_routing_count, left
            return True

        await until(look, what="nothing else is left")
        return service

    async def went_back(self, version: int, cause: str) -> None:
        """The newest revision was rolled back for `cause`, which is told, and version `version` serves."""
        service = await self.serves(version)
        assert cause in service.rejected, service.rejected
        told = await self.daemon.client.explain("echo")
        assert any(c.code == "rolled_back" and cause in c.message for c in told.causes), told


def running(daemon: Daemon) -> list[str]:
    """The models that run, whatever the daemon believes."""
    if isinstance(daemon, DockerDaemon):
        return list(daemon.containers())
    return [line for line in daemon.processes().values() if "model.py" in line]


async def _done(act: Callable[[], Awaitable[object] | None]) -> None:
    """A call of the API may be cut off by the kill: what counts is what had been told before."""
    with suppress(OrchestratorError):
        if (awaited := act()) is not None:
            await awaited


def _at_its_grace(cut: Cut, drains: Sequence[float]) -> bool:
    return any(at + GRACE - EARLY <= cut.ended for at in drains)
