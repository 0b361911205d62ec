"""Probes against real sockets: many at once hold up nothing and leave nothing open. One that is refused says where the
routing listens instead, asked of the runtime seldom and never needed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.core.definition import HealthCheck
from orchestrator.core.errors import Unavailable
from orchestrator.core.health import ProbeResult
from orchestrator.core.listening import Listener
from orchestrator.core.state import ProbeState
from orchestrator.runtimes.memory import MemoryRuntime
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.prober import LONGEST_LOOK, LOOK_AFTER, Prober, Target

CLOSED = 1
"""A port of loopback that nobody listens on."""
LOOPBACK = "failed: Connection refused; it listens on [::1]:1 only"


class Seen(MemoryRuntime):
    """Its routing listens on what `says` gives."""

    def __init__(self) -> None:
        super().__init__("one")
        self.asked = 0
        self.says: Sequence[Listener] | Unavailable | None = [Listener("::1", CLOSED)]

    async def listeners(self, unit_id: str) -> Sequence[Listener] | None:  # noqa: ARG002
        self.asked += 1
        if isinstance(self.says, Unavailable):
            raise self.says
        return self.says


class At:
    """A clock that stands where it is set."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    wall = now


@asynccontextmanager
async def probing(runtime: Seen) -> AsyncIterator[Callable[[float], Awaitable[str]]]:
    """A function that probes at a moment after the start; what the probe says."""
    clock = At()
    prober = Prober(runtime, clock, lambda _routing, _result: None)

    async def probe(at: float) -> str:
        clock.at = at
        return (await prober.probe(Target("r1", "127.0.0.1", CLOSED, HealthCheck(path="/"), 0.0), owned=True)).message

    yield probe
    await prober.close()


async def test_a_refusal_is_looked_into_after_a_while_and_seldom() -> None:
    runtime = Seen()
    async with probing(runtime) as probe:
        assert (await probe(LOOK_AFTER - 0.1)).endswith("failed: Connection refused")
        assert runtime.asked == 0
        assert (await probe(LOOK_AFTER)).endswith(LOOPBACK)
        for at in range(int(LOOK_AFTER), 600):
            assert (await probe(float(at))).endswith(LOOPBACK)
        assert 600 / LONGEST_LOOK <= runtime.asked < 600 / LONGEST_LOOK + 8
        runtime.says = [Listener("127.0.0.1", CLOSED)]
        assert (await probe(700.0)).endswith("refused"), "it listens by now: the next probe will pass"


@pytest.mark.parametrize("says", [None, Unavailable("the engine is down")], ids=["unseen", "engine down"])
async def test_what_cannot_be_seen_leaves_the_refusal_as_it_was(says: Unavailable | None) -> None:
    runtime = Seen()
    runtime.says = says
    async with probing(runtime) as probe:
        assert (await probe(LOOK_AFTER)).endswith("failed: Connection refused")


SERVER = """
import asyncio

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""
ROUTINGS, ROUNDS, LAG = 500, 4, 0.25
"""`LAG`: seconds that the loop may be late by in the middle of all that; far below what would hold up a look."""


async def test_five_hundred_routings_each_second_starve_nothing_and_leak_nothing() -> None:
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    port = int(await server.stdout.readline())
    counts, done = Counter[str](), asyncio.Event()

    def report(routing: str, result: ProbeResult) -> None:
        assert result.ok, result
        counts[routing] += 1
        if len(counts) == ROUTINGS and min(counts.values()) >= ROUNDS:
            done.set()

    clock = SteadyClock()
    check = HealthCheck(path="/", interval=1.0, expected_status_code=((204, 204),))
    healthy = ProbeState(last_at=clock.now(), passed_once=True, healthy=True)
    prober = Prober(MemoryRuntime("one"), clock, report)
    files = opened()
    began, late = time.monotonic(), asyncio.create_task(lateness(done))
    prober.sync({f"r{n}": (Target(f"r{n}", "127.0.0.1", port, check, clock.now()), healthy) for n in range(ROUTINGS)})
    try:
        async with asyncio.timeout(4 * ROUNDS):
            await done.wait()
        took = time.monotonic() - began
        assert took < 1.5 * ROUNDS, "each has its turn every second"
        assert max(counts.values()) <= took / 0.9 + 1, "and no more than that"
        late_by = sorted(await late)
        assert late_by[int(len(late_by) * 0.95)] < LAG, "others have theirs in between"
        while opened() > files + ROUTINGS / 10:  # connections end with their probe, while probes go on
            assert time.monotonic() < began + 6 * ROUNDS
            await asyncio.sleep(0.01)
    finally:
        await prober.close()
        server.kill()
        await server.communicate()
    assert opened() <= files


def opened() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def lateness(done: asyncio.Event) -> list[float]:
    """By how many seconds whoever else waits in this loop was called too late."""
    found: list[float] = []
    while not done.is_set():
        at = time.monotonic() + 0.02
        await asyncio.sleep(0.02)
        found.append(time.monotonic() - at)
    return found
