"""What a change costs the gateway when it serves 1,000 services with 3 routings each."""

from __future__ import annotations

import asyncio
import logging
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import structlog

from benchmarks.lib import Table, arguments, free_port, milliseconds, report, timed
from orchestrator.auth import KeyRing
from orchestrator.core.routes import Route, RouteTable, Server
from orchestrator.gateway import HAProxyGateway
from orchestrator.gateway.admission import admit
from orchestrator.gateway.render import Sockets, members, render, structure
from orchestrator.settings import GatewaySettings

SIZES = ((10, 3), (100, 3), (1_000, 3))
ROUNDS = 5
Step = tuple[str, RouteTable]


def table_of(services: int, routings: int) -> RouteTable:
    """Addresses that nothing listens on: nobody asks for them."""
    return RouteTable(tuple(_route(number, range(routings)) for number in range(services)))


def _route(number: int, routings: Sequence[int]) -> Route:
    at = [f"10.{number >> 8}.{number & 255}.{index + 1}" for index in routings]
    return Route(
        f"m{number:04d}", "serving", servers=tuple(Server(f"r{number}-{i}", host, 8000) for i, host in enumerate(at))
    )


def changes(full: RouteTable, turn: int) -> list[Step]:
    """Each step from the table before it."""
    first, *others = full.routes
    replaced = replace(first, servers=(*first.servers[1:], Server(f"new{turn}", "10.200.0.1", 8000)))
    draining = replace(replaced, servers=(replace(replaced.servers[0], draining=True), *replaced.servers[1:]))
    added = Route("zz-added", "serving", servers=(Server(f"added{turn}", "10.201.0.1", 8000),))
    return [
        ("one routing replaced", RouteTable((replaced, *others))),
        ("one routing drains", RouteTable((draining, *others))),
        ("nothing changed", RouteTable((draining, *others))),
        ("a service added (reload)", RouteTable((draining, *others, added))),
        ("that service removed (reload)", RouteTable((draining, *others))),
        ("as at first", full),
    ]


async def measure(services: int, routings: int) -> dict[str, float]:
    """Median seconds by step."""
    full, found = table_of(services, routings), dict[str, list[float]]()
    with tempfile.TemporaryDirectory(prefix="ob-") as place:
        keys = KeyRing.open(Path(place))
        settings = GatewaySettings(listen=f"127.0.0.1:{free_port()}")
        gateway = HAProxyGateway(settings, Path(place), keys.signing_keys)
        await gateway.start()
        try:
            for turn in range(ROUNDS):
                steps = changes(full, turn)
                for name, table in [("all at once (reload)", full), *steps] if not turn else steps:
                    began = time.perf_counter()
                    await gateway.publish(table)
                    found.setdefault(name, []).append(time.perf_counter() - began)
            worker = psutil.Process(int((await gateway.check())["worker"]))
            memory = worker.memory_info().rss
        finally:
            await gateway.stop()
        granted, _ = admit(full, {})
        wanted = structure(granted, settings, [key.secret for key in keys.signing_keys()], Sockets("o", "r", "m"))
        rendering = timed(lambda: render(wanted, members(granted)), 3)
    shown = {"rendering alone": rendering} | {name: statistics.median(took) for name, took in found.items()}
    return shown | {"memory": float(memory)}


async def main() -> None:
    arguments(__doc__).parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    measured = [await measure(*size) for size in SIZES]
    table = Table(["change", *(f"{services:,} × {routings}" for services, routings in SIZES)])
    for name in measured[0]:
        cells = (one[name] for one in measured)
        table.add(
            *(
                ("HAProxy worker, RSS", *(f"{c / 2**20:.0f} MiB" for c in cells))
                if name == "memory"
                else (name, *map(milliseconds, cells))
            )
        )
    report("publish", table)


if __name__ == "__main__":
    asyncio.run(main())
