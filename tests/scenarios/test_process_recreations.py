"""A service that is recreated again and again: its address stays, and nothing is left of what it was."""

from __future__ import annotations

import pytest
from harness import Daemon, echo, until
from traffic import Load

RECREATIONS = 100


@pytest.mark.timeout(300)
async def test_a_hundred_recreations_leave_the_address_the_same_and_leak_nothing(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"environ": {"N": "0"}, "stop_grace": 1}))
    first = await daemon.settled("echo")
    async with Load(daemon.endpoint("echo"), await daemon.header("echo"), rate=20, connections=4) as load:
        for number in range(1, RECREATIONS + 1):
            daemon.edit("echo", echo(deployment={"environ": {"N": str(number)}, "stop_grace": 1}))
            await until(lambda wanted=str(number + 1): at_revision(daemon, wanted), every=0.02)
    last = await daemon.settled("echo")
    assert (last.endpoint, last.id) == (first.endpoint, first.id)
    assert not load.failures, str(load)
    await until(lambda: len(daemon.processes()) - len(daemon.gateway_processes()) <= 2, what="a supervisor, its server")
    assert len(await daemon.client.routings()) == 1
    assert len(daemon.gateway_processes()) <= 2


async def at_revision(daemon: Daemon, number: str) -> bool:
    seen = await daemon.service("echo")
    return seen.revision == number and [r.revision for r in seen.routings if r.status == "HEALTHY"] == [number]
