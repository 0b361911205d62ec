"""Changes without a failed request: every strategy under load and open streams, cut off anywhere by `kill -9`.

200 requests/s on clients that never retry and 50 open streams, through changes that end well and such that are rolled
back. The moments of the kills are drawn at random; a failure names their seed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from changing import Changing
from harness import Daemon

Daemons = Callable[..., Awaitable[Daemon]]
SEATS = {"ORCHESTRATOR_RESOURCE_GROUPS": json.dumps({"default": {"slots": {"seat": 2}}})}


@dataclass(frozen=True)
class Way:
    """A strategy. `seats`: of two, what a routing takes; with both taken there is no room for another."""

    update: dict[str, Any]
    count: int = 2
    seats: int = 0


WAYS = {
    "rolling": Way({"strategy": "rolling"}, count=3),
    "rolling without room": Way({"strategy": "rolling"}, seats=1),
    "the only one without room": Way({"strategy": "rolling"}, count=1, seats=2),
    "recreate": Way({"strategy": "recreate"}),
    "blue-green": Way({"strategy": "blue_green", "promote_after": 0.2}),
    "canary": Way({"strategy": "canary", "steps": [10, 50], "pause": 1, "min_requests": 10}),
}
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "health": ({"progress_deadline": 1.5}, "no further new routing was ready within 1.5 s"),
    "sick:0.5": ({"bake": 2}, "a new routing became UNHEALTHY: GET /health"),
}
"""Fault of a revision to what is asked for besides, and the cause it is rolled back with."""


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.timeout(180)
async def test_nobody_notices_a_change(daemons: Daemons, name: str) -> None:
    way, seed = WAYS[name], random.randrange(1 << 30)
    chance, daemon = random.Random(seed), await daemons(environ=SEATS if way.seats else {})
    took = {"resources": {"seat": way.seats}} if way.seats else {}
    async with Changing(daemon, count=way.count, update=way.update, **took) as service:
        seen = await service.change()
        await service.serves(1)
        killed = [await service.killed(service.edit, len(seen.events), chance)]
        await service.serves(2)
        killed += [await service.killed(lambda: service.edit(FAULT="exit"), 6, chance, "rollout.rolled_back")]
        await service.went_back(2, "it ended with exit code 1")
        killed += [await service.killed(lambda: daemon.client.rollback("echo"), len(seen.events), chance)]
        await service.serves(1)
        for fault, (besides, cause) in BAD.items():
            service.update = way.update | besides
            await service.change("rollout.rolled_back", FAULT=fault)
            await service.went_back(1, cause)
    await service.check(f"seed {seed}, killed after {killed}")
