"""Containers change without a failed request: under load and open streams, with room and without, killed anywhere."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import pytest
from changing import SLOTS, WAYS, Changing
from docker_host import DockerDaemon
from harness import echo, until
from traffic import Load

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("name", WAYS)
async def test_nobody_notices_a_change(docker_daemons: Callable[..., Awaitable[DockerDaemon]], name: str) -> None:
    way, seed = WAYS[name], random.randrange(1 << 30)
    daemon = await docker_daemons(resource_groups=SLOTS)
    async with Changing(daemon, count=way.count, update=way.update, **way.took) as service:
        killed = await service.killed(service.edit, 20, random.Random(seed))
        await service.serves(1)
        await service.change("rollout.rolled_back", FAULT="exit")
        await service.went_back(1, "it ended with exit code 1")
    await service.check(f"seed {seed}, killed after {killed}")


@pytest.mark.parametrize("name", ["recreate", "the only one without room"])
async def test_nothing_is_given_up_for_an_image_that_does_not_come(
    docker_daemons: Callable[..., Awaitable[DockerDaemon]], name: str
) -> None:
    way = WAYS[name]
    daemon = await docker_daemons(resource_groups=SLOTS)
    asked = {"desired_routing_count": 1, "stop_grace": 1, "update": way.update, **way.took}
    daemon.drop("echo", echo(deployment=asked))
    before = (await daemon.settled("echo", 1)).routings[0]
    async with Load(daemon.endpoint("echo"), await daemon.header("echo"), rate=100) as load:
        daemon.edit("echo", echo(deployment=asked | {"image": "orchestrator/there-is-no-such:image"}))
        await until(lambda: is_back(daemon), 20)
        after = await daemon.settled("echo", 1)
        await load.reaches(load.answered + 20)
    assert not load.failures, load
    assert [r.id for r in after.routings if r.status == "HEALTHY"] == [before.id]
    assert "orchestrator/there-is-no-such:image" in after.cause
    assert load.slowest < 0.5, "no request was held for it"


async def is_back(daemon: DockerDaemon) -> bool:
    """The rollout failed, and its way back is over."""
    seen = await daemon.service("echo")
    return bool(seen.rejected) and seen.rollout is None
