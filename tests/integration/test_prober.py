"""A probe that is refused says where the routing listens instead, asked of the runtime seldom and never needed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from orchestrator.core.definition import HealthCheck
from orchestrator.core.errors import Unavailable
from orchestrator.core.listening import Listener
from orchestrator.runtimes.memory import MemoryRuntime
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
