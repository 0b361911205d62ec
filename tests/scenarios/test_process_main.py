"""The main job: a definition in a model folder becomes a token-guarded endpoint, whatever is restarted around it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import pytest
from harness import EXAMPLES, Daemon, echo, free_port, until
from traffic import Load

SEED = """models:
  - name: "simple-http-server"
    model_path: "/models"
    service:
      start_command:
        - python
        - -m
        - http.server
        - --directory
        - /home/work
        - "8000"
      port: 8000
      health_check:
        path: /
        max_retries: 5
"""


async def curl(*arguments: str) -> str:
    """What it prints: status and body."""
    process = await asyncio.create_subprocess_exec(
        *("curl", "-sS", "-w", "\n%{http_code}", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return out.decode()


async def test_the_seed_byte_for_byte_is_served_by_what_token_create_prints(daemon: Daemon) -> None:
    assert (EXAMPLES / "simple-http-server" / "model-definition.yml").read_text() == SEED
    # its port is fixed at 8000, which tests side by side would fight for
    daemon.drop("simple-http-server", SEED.replace("8000", port := str(free_port())))
    seen = await daemon.settled("simple-http-server")
    assert seen.routings[0].address.endswith(port)
    url = f"{seen.endpoint}/"
    assert (await curl(url)).endswith("\n401")
    code, out, err = await daemon.cli("token", "create", "simple-http-server", "--name", "mine", "--expires", "15m")
    assert code == 0, err
    header = f"Authorization: BackendAI {out.strip()}"
    assert "Directory listing" in await curl("-H", header, url)
    assert (await curl("-H", header.replace("BackendAI", "Bearer"), url)).endswith("\n200")
    assert (await curl("-H", header, seen.endpoint)).endswith("\n200"), "without a trailing slash"
    assert (await curl("-H", header[:-3] + "xyz", url)).endswith("\n401")
    assert (await curl("-H", header, f"{daemon.gateway_url}/inference/other/")).endswith("\n404")


async def test_a_revoked_token_is_refused_at_once_and_for_good(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    token, other = await daemon.token("echo"), await daemon.header("echo")
    header = {"Authorization": f"BackendAI {token.token}"}
    connector = aiohttp.TCPConnector(limit=1)
    async with aiohttp.ClientSession(connector=connector, headers=header) as session:  # one connection, kept open
        for reload in range(2):
            async with session.get(daemon.endpoint("echo")) as answer:
                assert answer.status == 200
            daemon.drop(f"more{reload}", echo(f"more{reload}"))  # reloads: the connection is an old worker's now
            await daemon.settled(f"more{reload}")
        began = time.monotonic()
        await daemon.client.token_revoke(token.id)
        async with session.get(daemon.endpoint("echo")) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (401, "token_revoked")
        assert time.monotonic() - began < 1.0
    await daemon.kill()
    assert (await daemon.ask("echo", header=header))[0] == 401, "while the daemon is away"
    assert (await daemon.ask("echo", header=other))[0] == 200
    await daemon.start()
    await kill_gateway(daemon)
    await until(lambda: answers(daemon, other), 5)
    assert (await daemon.ask("echo", header=header))[0] == 401, "after a restart of HAProxy"
    await daemon.kill()
    for pid in daemon.gateway_processes():
        os.kill(pid, signal.SIGKILL)
    await daemon.start()
    await until(lambda: answers(daemon, other), 5)
    assert (await daemon.ask("echo", header=header))[0] == 401, "after a restart of both"


async def kill_gateway(daemon: Daemon) -> None:
    old = set(daemon.gateway_processes())
    assert old
    for pid in old:
        os.kill(pid, signal.SIGKILL)


async def answers(daemon: Daemon, header: dict[str, str]) -> bool:
    return (await daemon.ask("echo", header=header))[0] == 200


@pytest.mark.serial
async def test_haproxy_that_dies_is_back_within_two_seconds(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    before = {r.id for r in (await daemon.settled("echo")).routings}
    header = await daemon.header("echo")
    for kill in range(2):
        await kill_gateway(daemon)
        began = time.monotonic()
        await until(lambda: answers(daemon, header), 5, every=0.02)
        assert time.monotonic() - began < 2.0
        await until(lambda kill=kill: started(daemon) == kill + 2, 5)  # type: ignore[misc]
    assert {r.id for r in (await daemon.settled("echo")).routings} == before
    assert len(await daemon.events("gateway.lost")) == 2
    await until(lambda: len(daemon.gateway_processes()) == 2, what="a master and a worker")


def started(daemon: Daemon) -> int:
    return len([line for line in daemon.logged() if line.get("event") == "gateway.started"])


async def test_nobody_notices_that_the_daemon_is_killed_upgraded_or_ended(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 2}))
    before = {r.id for r in (await daemon.settled("echo")).routings}
    async with Load(daemon.endpoint("echo"), await daemon.header("echo"), rate=200) as load:
        for end in (daemon.kill, daemon.stop, daemon.kill):
            await asyncio.sleep(0.5)
            await end()
            await asyncio.sleep(0.3)
            await daemon.start()
            await daemon.settled("echo")
        await load.reaches(401)
    assert not load.failures, str(load)
    assert {r.id for r in (await daemon.settled("echo")).routings} == before, "no routing was restarted"
    assert not [e for e in await daemon.events() if e.kind in ("routing.died", "routing.failed", "routing.unhealthy")]


async def test_a_second_daemon_on_the_same_state_is_refused_by_name(daemon: Daemon) -> None:
    code, _, err = await daemon.cli("serve", deadline=10)
    assert code == 1
    assert f"process {daemon.process.pid} is a daemon on the state directory {daemon.state_dir}" in err
    assert "Traceback" not in err
    await daemon.client.status()


async def test_a_thousand_tokens(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    made = [await daemon.token("echo", name=f"n{i}") for i in range(1000)]
    began = time.monotonic()
    for token in made[:20]:
        await daemon.client.token_revoke(token.id)
    assert (time.monotonic() - began) / 20 < 0.5, "seconds for one revocation"
    assert len(await daemon.client.tokens("echo")) == 1000
    for token, wanted in ((made[0], 401), (made[19], 401), (made[20], 200), (made[-1], 200)):
        assert (await daemon.ask("echo", header={"Authorization": f"BackendAI {token.token}"}))[0] == wanted
