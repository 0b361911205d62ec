"""The whole daemon with up to 1,000 services of 3 routings: start, idle, changes, and rollouts of one service in ten.

Routings are records of the memory runtime, all at the address of one nginx; store, folders, probes and gateway are
the real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

import psutil
import structlog
import yaml

from benchmarks import proxies, publish
from benchmarks.idle import gateways
from benchmarks.idle import spent as cpu
from benchmarks.lib import Daemon, Table, arguments, daemon, milliseconds, report, until
from benchmarks.servers import answers
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.token_views import TokenRequest

SIZES = (50, 300, 1_000)
ROUTINGS = 3
OVER = 30.0
SERVE = "--serve-at"


def serve_at(port: int, config: Path) -> int:
    """A daemon whose memory runtime reaches every routing at `port`."""
    from orchestrator import runtimes
    from orchestrator.app import serve
    from orchestrator.runtimes.memory import MemoryEngine, MemoryRuntime
    from orchestrator.settings import load

    class Everywhere(dict[str, tuple[str, int]]):
        def get(self, *_: object) -> tuple[str, int]:
            return "127.0.0.1", port

    engine = MemoryEngine()
    engine.addresses = Everywhere()
    runtimes.RUNTIMES = {"memory": lambda _, installation, __: MemoryRuntime(installation, engine=engine)}
    return serve(load(config, {}), ephemeral=True)


@dataclass(frozen=True)
class Model:
    """A service of these; another `image` is another revision, `public` is hot."""

    image: str = "i:1"
    public: bool = False

    def define(self, models: Path, number: int) -> None:
        """Its health check is at the default interval of 10 s."""
        folder = models / f"m{number:04d}"
        folder.mkdir(exist_ok=True)
        service = {"start_command": ["serve", "{port}"], "port": 8000, "health_check": {"path": "/"}}
        deployment = {"desired_routing_count": ROUTINGS, "image": self.image, "stop_grace": 1}
        deployment["open_to_public"] = self.public
        model = {"name": folder.name, "model_path": "/models", "service": service, "deployment": deployment}
        (folder / "draft").write_text(yaml.safe_dump({"models": [model]}))
        (folder / "draft").rename(folder / "model-definition.yml")


async def all_healthy(one: Daemon, count: int) -> bool:
    with suppress(OrchestratorError):
        return (await one.client.status()).routings.get("HEALTHY", 0) == count
    return False


@dataclass(frozen=True)
class Spent:
    """Since some moment: seconds of CPU of the daemon and of HAProxy; seconds in looks, and how many there were."""

    daemon: float
    gateway: float
    looking: float
    looks: float

    def since(self, before: Spent) -> Spent:
        return Spent(*(getattr(self, f.name) - getattr(before, f.name) for f in fields(self)))

    @property
    def look(self) -> float:
        return self.looking / max(1.0, self.looks)


async def spent(one: Daemon) -> Spent:
    lines = (await one.client.metrics()).decode().splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("orchestrator_reconcile_seconds_"))
    looking, looks = (float(told[f"orchestrator_reconcile_seconds_{what}"]) for what in ("sum", "count"))
    return Spent(cpu([psutil.Process(one.process.pid)]), cpu(list(gateways(one))), looking, looks)


# --- changes --------------------------------------------------------------------------------------------------------


async def published(one: Daemon, number: int, model: Model, headers: Mapping[str, str]) -> float:
    """Seconds from a definition to the first 200 that it brings."""
    began = time.perf_counter()
    model.define(one.models, number)
    await until(lambda: answers(f"{one.gateway}/inference/m{number:04d}/", headers), limit=60)
    return time.perf_counter() - began


@dataclass(frozen=True)
class Rolled:
    """Rollouts of one revision, begun at once: seconds to the end of the last, of one (median), and what it cost."""

    took: float
    one: float
    spent: Spent


async def rolled(one: Daemon, numbers: Sequence[int], model: Model) -> Rolled:
    last = max(e.seq for e in await one.client.events(limit=1))
    names, ends, begins = {f"m{n:04d}" for n in numbers}, dict[str, float](), dict[str, float]()
    before, began, wall = await spent(one), time.perf_counter(), time.time()
    for number in numbers:
        model.define(one.models, number)

    async def over() -> bool:
        nonlocal last
        for event in await one.client.events(after=last, limit=1000):
            last = event.seq
            if event.kind in ("rollout.started", "rollout.finished"):
                (begins if event.kind == "rollout.started" else ends)[event.service] = event.time.timestamp()
            assert event.kind != "rollout.rolled_back", event
        return names <= ends.keys()

    await until(over, limit=300, every=0.5)
    took = max(ends.values()) - wall
    cost = (await spent(one)).since(before)
    assert took <= time.perf_counter() - began
    return Rolled(took, statistics.median(ends[name] - begins[name] for name in names), cost)


# --- measured -------------------------------------------------------------------------------------------------------


async def measure(services: int, port: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """A row of each table."""

    def prepare(models: Path) -> None:
        for number in range(services):
            Model().define(models, number)

    began = time.perf_counter()
    async with daemon("memory", prepare=prepare, program=("benchmarks.many", SERVE, str(port))) as one:
        await until(lambda: all_healthy(one, services * ROUTINGS), limit=300, every=0.25)
        up = time.perf_counter() - began
        await asyncio.sleep(15)
        before = await spent(one)
        await asyncio.sleep(OVER)
        idle = (await spent(one)).since(before)
        token = (await one.client.token_create(TokenRequest(service="*"))).token
        hot = await published(one, 0, Model(public=True), {})
        new = await published(one, services, Model(), {"Authorization": f"Bearer {token}"})
        memory = mebibytes([psutil.Process(one.process.pid)]), mebibytes(list(gateways(one)))
        await asyncio.sleep(15)
        single = await rolled(one, [1], Model("i:2"))
        every = await rolled(one, range(1, services, 10), Model("i:3"))
    first = (f"{up:.1f} s", f"{idle.daemon / OVER:.1%}", *(f"{m:.0f} MiB" for m in memory), milliseconds(idle.look))
    reload = (await publish.measure(services, ROUTINGS))["a service added (reload)"]
    second = (milliseconds(hot), milliseconds(new), milliseconds(reload), milliseconds(single.took))
    cost, took = every.spent, every.took
    third = (f"{took:.1f} s", milliseconds(every.one), f"{cost.daemon / took:.0%}", f"{cost.gateway / took:.0%}")
    return first, (*second, *third, milliseconds(cost.look))


def mebibytes(processes: Sequence[psutil.Process]) -> float:
    """Of their own and their part of what they share."""
    return float(sum(p.memory_full_info().pss for p in processes)) / 2**20


async def main() -> None:
    parser = arguments(__doc__)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    given = parser.parse_args()
    still = Table(
        ["services × routings", "start to all HEALTHY", "idle, of a core", "daemon, PSS", "HAProxy, PSS", "a look"]
    )
    moved = Table(
        [
            *("services × routings", "hot change, served", "one more, first 200", "a reload", "one rollout"),
            *("one in ten roll out", "each of them", "daemon, of a core", "HAProxy, of a core", "a look"),
        ]
    )
    with tempfile.TemporaryDirectory() as place, proxies.backends(Path(place) / "nginx", count=1) as ports:
        for services in given.sizes:
            first, second = await measure(services, ports[0])
            still.add(f"{services:,} × {ROUTINGS}", *first)
            moved.add(f"{services:,} × {ROUTINGS}", *second)
    report("many", still)
    report("many-changes", moved)


if __name__ == "__main__":
    if SERVE in sys.argv:
        told = argparse.ArgumentParser()
        told.add_argument(SERVE, type=int)
        told.add_argument("--config", type=Path)
        given = told.parse_args()
        sys.exit(serve_at(given.serve_at, given.config))
    asyncio.run(main())
