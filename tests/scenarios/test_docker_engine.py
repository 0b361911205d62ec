"""The container engine restarts and is killed under load: an engine of the test's own, which disturbs no other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_host import BUSYBOX, DockerDaemon, OwnEngine
from harness import echo, until
from traffic import Load

pytestmark = [pytest.mark.docker, pytest.mark.serial]

Start = Callable[..., Awaitable[tuple[OwnEngine, DockerDaemon]]]

FLOORS = 20
"""Of the engine's own starts: what 3 s are on a machine with nothing else to do, on one that has."""


def page(count: int) -> dict[str, Any]:
    """A service that needs nothing but the busybox image."""
    command = ["busybox", "httpd", "-f", "-p", "{port}", "-h", "/models"]
    return echo(
        "page",
        start_command=command,
        check={"path": "/page"},
        deployment={"desired_routing_count": count, "stop_grace": 2},
    )


@pytest.fixture
async def on_own_engine(engine: docker.DockerClient, tmp_path: Path, artifacts: Path) -> AsyncIterator[Start]:  # noqa: ARG001
    """A function that starts an engine and a daemon on it."""
    async with AsyncExitStack() as stack:

        async def start(*, live_restore: bool) -> tuple[OwnEngine, DockerDaemon]:
            own = await stack.enter_async_context(OwnEngine(live_restore=live_restore))
            daemon = DockerDaemon(tmp_path, artifacts, host=own.host, defaults={"image": BUSYBOX})
            await stack.enter_async_context(daemon)
            return own, daemon

        yield start


async def lost(daemon: DockerDaemon, times: int) -> bool:
    return len(await daemon.events("engine.lost")) == times


async def observed(daemon: DockerDaemon) -> bool:
    return (await daemon.client.status()).observed_ok


async def test_with_live_restore_not_one_request_fails(on_own_engine: Start) -> None:
    engine, daemon = await on_own_engine(live_restore=True)
    daemon.drop("page", page(2), {"page": "here\n"})
    before = {r.id: r.runtime_id for r in (await daemon.settled("page", 2)).routings}
    async with Load(daemon.endpoint("page", "/page"), await daemon.header("page"), rate=200) as load:
        for number, end in enumerate((engine.stop, engine.kill), 1):
            await end()
            await until(lambda times=number: lost(daemon, times))
            assert (await daemon.service("page")).healthy == 2, "what is not observed stays as it was"
            down = await daemon.client.explain("page")
            assert [c.code for c in down.causes] == ["engine_down"], "also of a service that is HEALTHY"
            assert "start the container engine" in down.causes[0].hint
            await engine.start()
            await until(lambda: observed(daemon))
            await load.reaches(150 * number)
    assert load.answered > 200
    assert not load.failures, load
    assert {r.id: r.runtime_id for r in (await daemon.settled("page", 2)).routings} == before
    assert not [e for e in await daemon.events("routing.") if e.kind in ("routing.died", "routing.failed")]


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_without_live_restore_it_is_back_in_time(on_own_engine: Start, how: str) -> None:
    engine, daemon = await on_own_engine(live_restore=False)
    daemon.drop("page", page(2), {"page": "here\n"})
    before = {r.id for r in (await daemon.settled("page", 2)).routings}
    await getattr(engine, how)()
    await until(lambda: lost(daemon, 1))
    began = time.monotonic()
    took = await engine.start()
    await until(lambda: replaced(daemon, before), 30)
    back = time.monotonic() - began
    floor = await daemon.on_engine(daemon.floor, BUSYBOX, ["busybox", "sleep", "60"])
    assert back < took + max(3.0, FLOORS * floor), (back, took, floor)
    seen = await daemon.service("page")
    assert seen.attempts == 0, "the engine's loss counts as no failure"
    await until(lambda: len(daemon.containers()) == 2)


async def replaced(daemon: DockerDaemon, before: set[str]) -> bool:
    seen = await daemon.service("page")
    return seen.healthy == 2 and not before & {r.id for r in seen.routings if r.status == "HEALTHY"}
