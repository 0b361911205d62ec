"""From a dropped definition to the first 200 through the gateway, beside what the engine itself needs."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.lib import Daemon, Table, arguments, daemon, milliseconds, report, until
from benchmarks.servers import KINDS, Kind, answers, define, fill, floor, own_network
from orchestrator.core.token_views import TokenRequest

ROUNDS = 7
STEPS = ("routing.starting", "routing.started", "routing.healthy")


async def drop(one: Daemon, kind: Kind, folder: Path, headers: Mapping[str, str]) -> dict[str, float]:
    """Seconds from the drop to each step and to the first 200."""
    wall, began = datetime.now(UTC), time.perf_counter()
    define(folder, kind)
    await until(lambda: answers(f"{one.gateway}/inference/{folder.name}/", headers), limit=60)
    took = time.perf_counter() - began

    async def told() -> dict[str, float] | None:
        events = await one.client.events(service=folder.name)
        steps = {e.kind: (e.time - wall).total_seconds() for e in events}
        return steps if STEPS[-1] in steps else None

    return await until(told, every=0.1) | {"first 200": took}


async def rounds(kind: Kind) -> tuple[list[float], list[dict[str, float]]]:
    """Floors and drops, taking turns."""
    floors, drops = [], []
    with tempfile.TemporaryDirectory(prefix="ob-") as plain:
        fill(Path(plain) / "m")
        async with daemon(kind.runtime, image=kind.image, prepare=_fill_all) as one:
            token = (await one.client.token_create(TokenRequest(service="*"))).token
            headers = {"Authorization": f"Bearer {token}"}
            await asyncio.sleep(2)
            for number in range(ROUNDS + 1):
                floors.append(await floor(kind, Path(plain) / "m"))
                drops.append(await drop(one, kind, one.models / f"m{number}", headers))
                await asyncio.sleep(1)
    return floors[1:], drops[1:]  # the first warms up


def _fill_all(models: Path) -> None:
    for number in range(ROUNDS + 1):
        fill(models / f"m{number}")


async def main() -> None:
    arguments(__doc__).parse_args()
    columns = [
        "server",
        "engine's floor",
        "start begun",
        "command runs",
        "HEALTHY",
        "first 200",
        "slowest",
        "above floor",
    ]
    table = Table(columns)
    for kind in KINDS:
        with own_network() if kind.runtime == "docker" else nullcontext():
            floors, drops = await rounds(kind)
        steps = [milliseconds(statistics.median(one[step] for one in drops)) for step in STEPS]
        total = [one["first 200"] for one in drops]
        above = statistics.median(a - b for a, b in zip(total, floors, strict=True))
        low, middle = statistics.median(floors), statistics.median(total)
        table.add(kind.label, *map(milliseconds, (low,)), *steps, *map(milliseconds, (middle, max(total), above)))
    report("starts", table)


if __name__ == "__main__":
    asyncio.run(main())
