"""What clients keep while a revision takes over, by each strategy, beside the same service left alone; and how long
that takes beside the start of the model itself."""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.lib import ROOT, Daemon, Table, arguments, daemon, milliseconds, report, until
from benchmarks.load import Answers, Paced, flat_out
from benchmarks.servers import Kind, define, floor, own_network
from orchestrator.core.state import RoutingStatus
from orchestrator.core.token_views import TokenRequest

SERVER = ROOT / "examples" / "model-definitions" / "rollouts" / "server.py"
COMMAND = ("python", "{folder}/server.py", "--port", "{port}")
KINDS = (Kind("process", "process", "", COMMAND), Kind("docker", "docker", "orchestrator/python:test", COMMAND))
RATE = 200.0
"""Requests a second of the paced client."""
BEFORE = 1.0
"""Seconds of a run before its change."""
T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """`starts`: of the model, one after the other; `asked`: seconds that the policy itself waits; `fault`: environment
    of the new revision by which it fails."""

    label: str
    count: int
    update: Mapping[str, Any]
    starts: int = 1
    asked: float = 0.0
    seat: bool = False
    fault: Mapping[str, str] = field(default_factory=dict)

    @property
    def service(self) -> str:
        return "".join(c if c.isalnum() else "-" for c in self.label.lower())[:32].strip("-")


CANARY = {"strategy": "canary", "steps": [10, 50], "pause": 1}
WAYS = (
    Way("rolling, 3 routings", 3, {"strategy": "rolling"}, starts=3),
    Way("swap with hold, 1 routing and no room", 1, {"strategy": "rolling"}, seat=True),
    Way("recreate, 1 routing", 1, {"strategy": "recreate"}),
    Way("blue-green, 3 routings", 3, {"strategy": "blue_green", "promote_after": 0}),
    Way("canary, 3 routings, 2 steps of 1 s", 3, CANARY, starts=3, asked=2.0),
    Way("rolling, the new one ends at once", 3, {"strategy": "rolling"}, fault={"ERRORS": "none"}),
    Way("canary, the new one answers 500", 3, CANARY, fault={"ERRORS": "1"}),
)


@dataclass
class Seen:
    """Of one way, in the order of rounds: alone and during a change. `rates`: answers a second as fast as it goes."""

    rates: list[tuple[float, float]] = field(default_factory=list)
    fast_failed: int = 0
    alone: Answers = field(default_factory=Answers)
    during: Answers = field(default_factory=Answers)
    took: list[float] = field(default_factory=list)
    floors: list[float] = field(default_factory=list)


class Served:
    """A way's service on a daemon, and its clients."""

    def __init__(self, one: Daemon, kind: Kind, way: Way, authorization: str) -> None:
        self._one, self._kind, self._way, self._authorization = one, kind, way, authorization
        self._url = f"{one.gateway}/inference/{way.service}/"
        self._version = 0

    def define(self, **environ: str) -> None:
        self._version += 1
        way, told = self._way, {"VERSION": str(self._version), **environ}
        more: dict[str, Any] = {"environ": told, "update": dict(way.update)}
        if way.seat:
            more["resources"] = {"seat": 1}
        define(self._one.models / way.service, self._kind, routings=way.count, deployment=more, path="/health")

    async def settled(self) -> None:
        """No rollout is under way, and nothing but what is wanted runs."""

        async def quiet() -> bool:
            service = await self._one.client.service(self._way.service)
            routings = [r for r in await self._one.client.routings() if r.service == self._way.service]
            live = [r.status for r in routings if r.status is not RoutingStatus.FAILED_TO_START]
            return service.rollout is None and live == [RoutingStatus.HEALTHY] * self._way.count

        await until(quiet, every=0.1)
        await asyncio.sleep(0.5)

    async def changed(self, client: Awaitable[T]) -> tuple[T, float]:
        """What the client saw, and the seconds from the new definition to the end of its rollout."""
        running = asyncio.ensure_future(client)
        await asyncio.sleep(BEFORE)
        last = max((e.seq for e in await self._one.client.events(service=self._way.service)), default=0)
        wall = time.time()
        self.define(**self._way.fault)

        async def over() -> float:
            events = await self._one.client.events(after=last, service=self._way.service)
            ended = max((e.time.timestamp() for e in events if e.kind == "rollout.finished"), default=0.0)
            if not ended and running.done():
                await self.paced(1)  # on a slow machine: a canary waits for requests
            return ended

        ended = await until(over, every=0.1)
        seen = await running
        await self.settled()
        return seen, ended - wall

    async def alone(self, client: Awaitable[T]) -> T:
        return await client

    def paced(self, seconds: int) -> Awaitable[Answers]:
        return Paced(self._url, self._authorization, RATE).run(seconds)

    def fast(self, seconds: int) -> Awaitable[tuple[float, int]]:
        return flat_out(self._url, self._authorization, seconds)


async def measure(served: Served, start: Callable[[], Awaitable[float]], rounds: int, seconds: int) -> Seen:
    """Alone and changed take turns."""
    seen = Seen()
    for _ in range(rounds):
        seen.floors.append(await start())
        before, bad = await served.fast(seconds)
        (after, worse), _ = await served.changed(served.fast(seconds))
        seen.rates.append((before, after))
        seen.fast_failed += bad + worse
        _add(seen.alone, await served.paced(seconds))
        during, took = await served.changed(served.paced(seconds))
        _add(seen.during, during)
        seen.took.append(took)
    return seen


def _add(to: Answers, more: Answers) -> None:
    to.took += more.took
    to.failed += more.failed


async def kind_of(kind: Kind, ways: Sequence[Way], rounds: int, seconds: int) -> dict[str, Seen]:
    """By label of a way."""
    found = {}

    def prepare(models: Path) -> None:
        for way in ways:
            _copy(models / way.service)

    with tempfile.TemporaryDirectory(prefix="ob-") as plain:
        _copy(Path(plain) / "m")
        async with daemon(kind.runtime, image=kind.image, prepare=prepare) as one:
            token = (await one.client.token_create(TokenRequest(service="*"))).token
            for way in ways:
                served = Served(one, kind, way, f"Bearer {token}")
                served.define()
                await until(lambda name=way.service: _known(one, name))  # type: ignore[misc]
                await served.settled()
                found[way.label] = await measure(served, lambda: floor(kind, Path(plain) / "m"), rounds, seconds)
                (one.models / way.service / "model-definition.yml").unlink()
    return found


async def _known(one: Daemon, name: str) -> bool:
    return any(s.name == name for s in await one.client.services())


def _copy(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(SERVER, folder)


def row(label: str, way: Way, seen: Seen) -> tuple[str, ...]:
    low, took = statistics.median(seen.floors), statistics.median(seen.took)
    kept = statistics.median(after / before for before, after in seen.rates)
    fast = statistics.median(before for before, _ in seen.rates)
    beyond = took - way.asked - (way.starts * low if not way.fault else 0.0)
    starts = "rolled back" if way.fault else f"{way.starts} × {milliseconds(low)}"
    asked = f" + {way.asked:g} s" if way.asked and not way.fault else ""
    both = [
        f"{milliseconds(seen.alone.quantile(share))} → {milliseconds(seen.during.quantile(share))}"
        for share in (0.5, 0.99, 1.0)
    ]
    failed = f"{len(seen.during.failed)} of {seen.during.count:,}"
    ends = (milliseconds(took), starts + asked, milliseconds(beyond))
    return (f"{label}, {way.label}", f"{fast:,.0f}", f"{kept:.2f}", str(seen.fast_failed), *both, failed, *ends)


async def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=8, help="of each run")
    parser.add_argument("--only", default="", help="ways whose name contains this")
    parser.add_argument("--kinds", nargs="*", default=[kind.label for kind in KINDS])
    given = parser.parse_args()
    ways = [way for way in WAYS if given.only in way.label]
    table = Table(
        [
            *("service", "requests/s alone", "kept", "failed", "p50 at 200/s", "p99", "slowest", "failed"),
            *("rollout", "of it starts and pauses", "beyond"),
        ]
    )
    for kind in (kind for kind in KINDS if kind.label in given.kinds):
        with own_network() if kind.runtime == "docker" else nullcontext():
            tried = [way for way in ways if kind.runtime == "process" or not way.fault]  # Docker's starts take longer
            found = await kind_of(kind, tried, given.rounds, given.seconds)
        for way in tried:
            table.add(*row(kind.label, way, found[way.label]))
    report("rollouts", table)


if __name__ == "__main__":
    asyncio.run(main())
