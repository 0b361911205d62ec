"""What the daemon costs while nothing happens: CPU and memory over 30 s with 50 routings and their probes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.lib import Daemon, Table, arguments, daemon, report, until
from benchmarks.servers import KINDS, Kind, define, fill
from orchestrator.core.state import ServiceStatus

PROCESS, BUSYBOX = KINDS[0], KINDS[2]
OVER = 30.0
CASES = ((PROCESS, 50, 1), (PROCESS, 1, 50), (BUSYBOX, 50, 1), (PROCESS, 0, 0))
"""Services, and routings of each, at the health check's default interval of 10 s."""
MIB = 2**20


async def settled(one: Daemon, services: int) -> None:
    """All HEALTHY, and ten seconds after that."""

    async def healthy() -> bool:
        return sum(s.status is ServiceStatus.HEALTHY for s in await one.client.services()) == services

    await until(healthy, limit=180, every=0.5)
    await asyncio.sleep(10)


def gateways(one: Daemon) -> Iterator[psutil.Process]:
    """The HAProxy processes of this daemon; the master is in a session of its own."""
    state = str(one.models.parent)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name() == "haproxy" and state in " ".join([*process.cmdline(), process.cwd()]):
                yield process


def spent(processes: list[psutil.Process]) -> float:
    """Seconds of CPU so far."""
    return sum(p.cpu_times().user + p.cpu_times().system for p in processes)


async def measure(kind: Kind, services: int, count: int) -> tuple[str, ...]:
    def prepare(models: Path) -> None:
        for folder in (models / f"m{number:02d}" for number in range(services)):
            fill(folder)
            define(folder, kind, routings=count)

    async with daemon(kind.runtime, image=kind.image, prepare=prepare) as one:
        await settled(one, services)
        own, proxy = [psutil.Process(one.process.pid)], list(gateways(one))
        began, before, before_proxy = time.monotonic(), spent(own), spent(proxy)
        await asyncio.sleep(OVER)
        took = time.monotonic() - began
        cpu, proxy_cpu = (spent(own) - before) / took, (spent(proxy) - before_proxy) / took
        memory = own[0].memory_info().rss / MIB
        proxy_memory = sum(p.memory_full_info().pss for p in proxy) / MIB
    return f"{cpu:.1%}", f"{memory:.0f} MiB", f"{proxy_cpu:.1%}", f"{proxy_memory:.0f} MiB"


async def main() -> None:
    arguments(__doc__).parse_args()
    table = Table(["services × routings", "daemon, of a core", "daemon, RSS", "HAProxy, of a core", "HAProxy, PSS"])
    for kind, services, count in CASES:
        table.add(f"{services} × {count}, {kind.runtime}", *await measure(kind, services, count))
    report("idle", table)


if __name__ == "__main__":
    asyncio.run(main())
