"""The system's clock jumps under a running daemon, and between two: no decision is taken from the jump."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from worlds import routing, service

from orchestrator.core import backoff
from orchestrator.core.state import Attempts
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.facts import Facts
from orchestrator.store import Store


class System:
    """A machine's two clocks: `at` can be set, `up` only goes on."""

    def __init__(self) -> None:
        self.at, self.up = 1_000_000.0, 500.0

    def clock(self) -> SteadyClock:
        return SteadyClock(lambda: self.at, lambda: self.up)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 1e9])
def test_a_jump_of_the_system_clock_moves_nothing(jump: float) -> None:
    system = System()
    clock = system.clock()
    before = clock.now()
    system.at += jump
    system.up += 2.0
    assert clock.now() == before + 2.0
    assert clock.wall() == 1_000_000.0 + jump


async def test_a_clock_that_was_set_back_between_two_daemons_delays_nothing(tmp_path: Path) -> None:
    system = System()
    then = system.clock().now()
    store = await Store.open("", tmp_path)
    try:
        told = service("echo")
        told = replace(told, attempts=Attempts(told.revision, 3, then), vanished_since=then, cleared_at=then)
        await store.put_service(told)
        await store.put_routing(routing(told, "r", "unhealthy", then, stopping_since=then))
        system.at -= 3600.0
        clock = system.clock()
        facts = Facts(store, clock, {}, shared_ports=False, needs_image=False)
        await facts.load()
    finally:
        await store.close()
    (one,), (seen,) = facts.services.values(), facts.routings.values()
    now = clock.now()
    assert backoff.next_try_at(one.attempts, one.revision, one.id) <= now + 4.0
    assert (one.vanished_since, one.cleared_at) == (now, now)
    assert [seen.created_at, seen.started_at, seen.stopping_since, seen.probe.unhealthy_since] == [now] * 4
