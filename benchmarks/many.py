"""The whole daemon with up to 1,000 services of 3 routings: start, idle, one changed file. Memory runtime, real probes.

Routings are records of the memory runtime, all at the address of one nginx; store, folders, probes and gateway are
the real ones.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import yaml

from benchmarks import proxies
from benchmarks.lib import Daemon, Table, arguments, daemon, milliseconds, report, until
from orchestrator.core.errors import OrchestratorError

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


def define(models: Path, number: int, *, check: str = "/") -> None:
    """At the health check's default interval of 10 s."""
    folder = models / f"m{number:04d}"
    folder.mkdir(exist_ok=True)
    service = {"start_command": ["serve", "{port}"], "port": 8000, "health_check": {"path": check}}
    deployment = {"desired_routing_count": ROUTINGS, "image": "i", "stop_grace": 1}
    model = {"name": folder.name, "model_path": "/models", "service": service, "deployment": deployment}
    (folder / "draft").write_text(yaml.safe_dump({"models": [model]}))
    (folder / "draft").rename(folder / "model-definition.yml")


async def all_healthy(one: Daemon, count: int) -> bool:
    with suppress(OrchestratorError):
        return (await one.client.status()).routings.get("HEALTHY", 0) == count
    return False


async def looks(one: Daemon) -> tuple[float, float]:
    """Seconds spent in looks so far, and how many there were."""
    lines = (await one.client.metrics()).decode().splitlines()
    told = dict(line.rsplit(" ", 1) for line in lines if line.startswith("orchestrator_reconcile_seconds_"))
    return float(told["orchestrator_reconcile_seconds_sum"]), float(told["orchestrator_reconcile_seconds_count"])


async def changed(one: Daemon, services: int) -> float:
    """Seconds from one more definition to its being HEALTHY, which is after it was published."""
    began = time.perf_counter()
    define(one.models, services)
    await until(lambda: all_healthy(one, (services + 1) * ROUTINGS), limit=60, every=0.02)
    return time.perf_counter() - began


async def measure(services: int, port: int) -> tuple[str, ...]:
    def prepare(models: Path) -> None:
        for number in range(services):
            define(models, number)

    began = time.perf_counter()
    async with daemon("memory", prepare=prepare, program=("benchmarks.many", SERVE, str(port))) as one:
        await until(lambda: all_healthy(one, services * ROUTINGS), limit=300, every=0.25)
        up = time.perf_counter() - began
        await asyncio.sleep(15)
        process = psutil.Process(one.process.pid)
        cpu, before = sum(process.cpu_times()[:2]), await looks(one)
        await asyncio.sleep(OVER)
        cpu, after = sum(process.cpu_times()[:2]) - cpu, await looks(one)
        memory = process.memory_info().rss / 2**20
        took = await changed(one, services)
    look = (after[0] - before[0]) / max(1.0, after[1] - before[1])
    return f"{up:.1f} s", f"{cpu / OVER:.1%}", f"{memory:.0f} MiB", milliseconds(look), milliseconds(took)


async def main() -> None:
    arguments(__doc__).parse_args()
    table = Table(
        ["services × routings", "start to all HEALTHY", "idle, of a core", "RSS", "a look", "one more, HEALTHY"]
    )
    with tempfile.TemporaryDirectory() as place, proxies.backends(Path(place) / "nginx", count=1) as ports:
        for services in SIZES:
            table.add(f"{services:,} × {ROUTINGS}", *await measure(services, ports[0]))
    report("many", table)


if __name__ == "__main__":
    if SERVE in sys.argv:
        told = argparse.ArgumentParser()
        told.add_argument(SERVE, type=int)
        told.add_argument("--config", type=Path)
        given = told.parse_args()
        sys.exit(serve_at(given.serve_at, given.config))
    asyncio.run(main())
