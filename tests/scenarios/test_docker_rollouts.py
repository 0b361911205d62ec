"""Containers change without a failed request: under load and open streams, with room and without, killed anywhere."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
from changing import SLOTS, WAYS, Changing
from docker_host import DockerDaemon

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("name", ["rolling", "the only one without room", "blue-green"])
async def test_nobody_notices_a_change(docker_daemons: Callable[..., Awaitable[DockerDaemon]], name: str) -> None:
    way, seed = WAYS[name], random.randrange(1 << 30)
    daemon = await docker_daemons(resource_groups=SLOTS)
    async with Changing(daemon, count=way.count, update=way.update, **way.took) as service:
        killed = await service.killed(service.edit, 20, random.Random(seed))
        await service.serves(1)
        await service.change("rollout.rolled_back", FAULT="exit")
        await service.went_back(1, "it ended with exit code 1")
    await service.check(f"seed {seed}, killed after {killed}")
