"""From a killed routing to its being out of rotation and to its replacement HEALTHY, beside the engine's own floor."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.lib import Daemon, Table, arguments, daemon, milliseconds, report, until
from benchmarks.servers import KINDS, Kind, answers, define, engine, fill, floor, own_network
from orchestrator.core.state import RoutingStatus
from orchestrator.core.token_views import TokenRequest
from orchestrator.core.views import RoutingView
from orchestrator.gateway import runtime
from orchestrator.gateway.files import files
from orchestrator.gateway.master import Master

ROUNDS = 5
ROUTINGS = 2
SERVICE = "m"
PACE = 0.02
"""Seconds between the requests of the client that counts failures."""


def process_of(routing: RoutingView, kind: Kind) -> psutil.Process:
    """The routing's own: a container's first process, or the one that listens."""
    if kind.runtime == "docker":
        return psutil.Process(engine().containers.get(routing.runtime_id).attrs["State"]["Pid"])
    port = int(routing.address.rpartition(":")[2])
    listening = (c for c in psutil.net_connections("tcp4") if c.status == "LISTEN" and c.laddr[1:] == (port,))
    return psutil.Process(next(c.pid for c in listening))


async def healthy(one: Daemon) -> list[RoutingView] | None:
    found = [r for r in await one.client.routings() if r.status is RoutingStatus.HEALTHY]
    return found if len(found) == ROUTINGS else None


async def death(one: Daemon, kind: Kind, master: Master) -> tuple[float, float]:
    """Seconds until the gateway's worker no longer sends anything to the dead one, and until there are two again."""
    victim = (await until(lambda: healthy(one), every=0.1))[0]
    await asyncio.sleep(11)  # HEALTHY for longer than 10 s: replaced at once

    async def out() -> bool:
        worker = (await master.processes()).workers[0]
        servers = runtime.servers(await master.ask(worker, "show servers state"))
        return not any(
            name == victim.id and server.member.weight and not server.maintained
            for (_, name), server in servers.items()
        )

    async def replaced() -> bool:
        found = await healthy(one)
        return found is not None and victim.id not in {r.id for r in found}

    process = await asyncio.to_thread(process_of, victim, kind)
    began = time.perf_counter()
    process.kill()  # nobody is told
    await until(out)
    gone = time.perf_counter() - began
    await until(replaced, every=0.01)
    return gone, time.perf_counter() - began


@dataclass
class Asked:
    """What a client saw that asks 50 times a second, each time on a connection of its own, and never retries."""

    took: list[float] = field(default_factory=list)
    failed: int = 0

    async def for_ever(self, one: Daemon, headers: Mapping[str, str]) -> None:
        """Starts a request every `PACE` seconds, however long the others take."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._once(f"{one.gateway}/inference/{SERVICE}/", headers))
                await asyncio.sleep(PACE)

    async def _once(self, url: str, headers: Mapping[str, str]) -> None:
        began = time.perf_counter()
        self.failed += not await answers(url, headers, limit=20)
        self.took.append(time.perf_counter() - began)


async def rounds(kind: Kind) -> tuple[list[float], list[tuple[float, float]], Asked]:
    """Floors, deaths, and what the client saw meanwhile."""
    floors, deaths, asked = [], [], Asked()
    with tempfile.TemporaryDirectory(prefix="ob-") as plain:
        fill(Path(plain) / "m")
        async with daemon(kind.runtime, image=kind.image, prepare=lambda models: fill(models / SERVICE)) as one:
            define(one.models / SERVICE, kind, routings=ROUTINGS)
            token = (await one.client.token_create(TokenRequest(service="*"))).token
            await until(lambda: healthy(one), every=0.1)
            master = Master(files(one.models.parent / "state").master)
            client = asyncio.create_task(asked.for_ever(one, {"Authorization": f"Bearer {token}"}))
            for _ in range(ROUNDS):
                floors.append(await floor(kind, Path(plain) / "m"))
                deaths.append(await death(one, kind, master))
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)
    return floors, deaths, asked


async def main() -> None:
    arguments(__doc__).parse_args()
    columns = ["server", "engine's floor", "out of rotation", "slowest", "replaced, HEALTHY", "slowest", "above floor"]
    table = Table([*columns, "requests", "failed", "slowest request"])
    for kind in KINDS:
        with own_network() if kind.runtime == "docker" else nullcontext():
            floors, deaths, asked = await rounds(kind)
        gone, back = [one for one, _ in deaths], [two for _, two in deaths]
        above = statistics.median(b - f for b, f in zip(back, floors, strict=True))
        times = (
            statistics.median(floors),
            statistics.median(gone),
            max(gone),
            statistics.median(back),
            max(back),
            above,
        )
        seen = (f"{len(asked.took):,}", str(asked.failed), milliseconds(max(asked.took)))
        table.add(kind.label, *map(milliseconds, times), *seen)
    report("deaths", table)


if __name__ == "__main__":
    asyncio.run(main())
