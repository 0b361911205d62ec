"""Containers die, are paused, replaced and scaled under a steady load of clients that never retry."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import pytest
from docker_host import BUSYBOX, DockerDaemon
from harness import echo, until
from traffic import Load

pytestmark = pytest.mark.docker


def two(environ: str = "1", **deployment: Any) -> dict[str, Any]:
    return echo("echo", deployment={"desired_routing_count": 2, "environ": {"REVISION": environ}, **deployment})


async def out_of_rotation(daemon: DockerDaemon, routing: str) -> float:
    """Seconds until it is not HEALTHY any more."""
    began = time.monotonic()
    await until(lambda: unwell(daemon, routing), every=0.01)
    return time.monotonic() - began


async def unwell(daemon: DockerDaemon, routing: str) -> bool:
    found = [r.status for r in (await daemon.service("echo")).routings if r.id == routing]
    return found != ["HEALTHY"]


async def all_served(load: Load) -> None:
    """What is asked now is answered at the rate at which it is asked: nobody waits for one that is gone."""
    count = load.answered
    await asyncio.sleep(0.5)
    assert load.answered - count > 60, load


async def test_containers_die_under_load_and_nobody_notices(docker_daemon: DockerDaemon) -> None:
    docker_daemon.drop("echo", two())
    routings = (await docker_daemon.settled("echo", 2)).routings
    engine = docker_daemon.engine
    async with Load(docker_daemon.endpoint("echo"), await docker_daemon.header("echo")) as load:
        await until(lambda: all(load.routings[r.id] for r in routings))
        for end in (engine.kill, lambda c: engine.remove_container(c, force=True)):
            before = (await docker_daemon.settled("echo", 2)).routings
            container = docker_daemon.containers()[before[0].id]["Id"]
            await docker_daemon.on_engine(end, container)
            assert await out_of_rotation(docker_daemon, before[0].id) < 1
            await all_served(load)
            await until(lambda gone=before[0].id: gone not in docker_daemon.containers())
        after = (await docker_daemon.settled("echo", 2)).routings
        paused = docker_daemon.containers()[after[0].id]["Id"]
        await docker_daemon.on_engine(engine.pause, paused)
        assert await out_of_rotation(docker_daemon, after[0].id) < 1
        seen = await docker_daemon.service("echo")
        assert [(r.status, r.cause) for r in seen.routings if r.id == after[0].id] == [
            ("UNHEALTHY", "its container is paused")
        ]
        await all_served(load)
        count = load.routings[after[0].id]
        await docker_daemon.on_engine(engine.unpause, paused)
        await until(lambda: load.routings[after[0].id] > count + 20)
        await load.reaches(201)
    assert not load.failures, load


async def test_a_changed_definition_rolls_while_a_stream_runs_on(docker_daemon: DockerDaemon) -> None:
    docker_daemon.drop("echo", two(stop_grace=20))
    before = {r.id for r in (await docker_daemon.settled("echo", 2)).routings}
    header = await docker_daemon.header("echo")
    async with Load(docker_daemon.endpoint("echo"), header) as load:
        async with (
            aiohttp.ClientSession() as session,
            session.get(docker_daemon.endpoint("echo", "/stream?n=30&delay=0.1"), headers=header) as stream,
        ):
            docker_daemon.edit("echo", two("2", stop_grace=20))
            text = await stream.text()
        assert text.count("data:") == 30, "it ended with what it had to say"
        after = {r.id for r in (await docker_daemon.settled("echo", 2)).routings}
        assert not before & after
        await until(lambda: all(load.routings[r] for r in after))
        await docker_daemon.client.scale("echo", 3)
        await docker_daemon.settled("echo", 3)
        await docker_daemon.client.scale("echo", 1)
        await docker_daemon.settled("echo", 1)
        await until(lambda: len(docker_daemon.containers()) == 1)
    assert not load.failures, load


async def test_a_stream_that_does_not_end_is_cut_at_its_grace(docker_daemon: DockerDaemon) -> None:
    docker_daemon.drop("echo", echo("echo", deployment={"stop_grace": 1}))
    await docker_daemon.settled("echo", 1)
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            docker_daemon.endpoint("echo", "/stream?n=300&delay=0.1"), headers=await docker_daemon.header("echo")
        ) as stream,
    ):
        await stream.content.readany()
        began = time.monotonic()
        await docker_daemon.client.scale("echo", 0)
        with pytest.raises(aiohttp.ClientError):
            await stream.read()
        assert 0.7 < time.monotonic() - began < 3
    await until(lambda: not docker_daemon.containers())


async def test_the_daemon_is_killed_under_load_and_nothing_else_happens(docker_daemon: DockerDaemon) -> None:
    docker_daemon.drop("echo", two())
    await docker_daemon.settled("echo", 2)
    started = {r: c["Id"] for r, c in docker_daemon.containers().items()}
    async with Load(docker_daemon.endpoint("echo"), await docker_daemon.header("echo")) as load:
        for _ in range(3):
            await docker_daemon.kill()
            await asyncio.sleep(0.2)
            await docker_daemon.start()
        await docker_daemon.settled("echo", 2)
        docker_daemon.drop("late", echo("late"))
        await until(lambda: len(docker_daemon.containers()) == 3, every=0.005)
        await docker_daemon.kill()  # in the middle of a start
        await docker_daemon.start()
        await docker_daemon.settled("late", 1)
        await until(lambda: len(docker_daemon.containers()) == 3)
    assert not load.failures, load
    assert {r: c["Id"] for r, c in docker_daemon.containers().items()}.items() >= started.items()


async def test_recreations_keep_the_address_and_leak_nothing(docker_daemon: DockerDaemon) -> None:
    """Each of the eight revisions has a container, an endpoint of the network and a server at the gateway."""
    command = ["busybox", "httpd", "-f", "-p", "{port}", "-h", "/models"]

    def page(revision: int) -> dict[str, Any]:
        told = {"environ": {"N": str(revision)}, "image": BUSYBOX, "stop_grace": 1}
        return echo("page", start_command=command, check={"path": "/page"}, deployment=told)

    docker_daemon.drop("page", page(0), {"page": "here"})
    first = await docker_daemon.settled("page", 1)
    header = await docker_daemon.header("page")
    async with Load(docker_daemon.endpoint("page", "/page"), header, rate=50, connections=5) as load:
        for revision in range(1, 8):
            docker_daemon.edit("page", page(revision))
            await until(lambda number=revision: at_revision(docker_daemon, number + 1))
    last = await docker_daemon.settled("page", 1)
    assert (last.endpoint, last.id) == (first.endpoint, first.id)
    assert not load.failures, load
    await until(lambda: len(docker_daemon.containers()) == 1)
    (network,) = docker_daemon.networks()
    assert len(docker_daemon.engine.inspect_network(network)["Containers"]) == 1
    assert len(docker_daemon.gateway_processes()) <= 2


async def at_revision(daemon: DockerDaemon, number: int) -> bool:
    seen = await daemon.settled("page", 1, deadline=0)
    return seen.revision == str(number) and seen.healthy == 1
