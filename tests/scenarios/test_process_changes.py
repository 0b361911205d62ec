"""Changes of what runs: by the file, by hand, under load. Nobody who is served notices; what was told is kept."""

from __future__ import annotations

import asyncio
import json

import pytest
from harness import Daemon, echo, free_port, until
from traffic import Load

from orchestrator.core.errors import Conflict, InvalidInput, NotFound
from orchestrator.core.state import ServiceStatus
from orchestrator.core.token_views import TokenRequest
from orchestrator.core.views import LaunchRequest


async def test_a_change_rolls_over_and_a_scale_down_drains_without_a_failed_request(daemon: Daemon) -> None:
    daemon.drop("echo", echo(deployment={"desired_routing_count": 5}))
    old = {r.id for r in (await daemon.settled("echo", 5)).routings}
    slow = asyncio.create_task(a_slow_request(daemon))
    async with Load(daemon.endpoint("echo"), await daemon.header("echo"), rate=200) as load:
        await asyncio.sleep(0.3)
        daemon.edit("echo", echo(deployment={"desired_routing_count": 2, "environ": {"NEW": "1"}}))
        await until(lambda: settled_anew(daemon, old, 2))
        await daemon.client.scale("echo", 5)
        await daemon.settled("echo", 5)
        await daemon.client.scale("echo", 1)
        await daemon.settled("echo", 1)
        await asyncio.sleep(0.3)
    assert not load.failures, str(load)
    assert load.routings.keys() - old, str(load.routings)
    assert await slow == 200, "a request that was under way when its routing began to drain"


async def a_slow_request(daemon: Daemon) -> int:
    return (await daemon.ask("echo", "/slow?seconds=2", header=await daemon.header("echo")))[0]


async def settled_anew(daemon: Daemon, old: set[str], count: int) -> bool:
    seen = await daemon.settled("echo", count, deadline=0)
    return not {r.id for r in seen.routings} & old


async def test_hot_keys_take_effect_at_once_on_what_runs(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    before = {r.id for r in (await daemon.settled("echo", 1)).routings}
    assert (await daemon.ask("echo"))[0] == 401
    daemon.edit("echo", echo(deployment={"open_to_public": True}))
    await until(lambda: answer(daemon, 200), 3)
    daemon.edit("echo", echo(deployment={"open_to_public": True, "desired_routing_count": 2}))
    assert {r.id for r in (await daemon.settled("echo", 2)).routings} > before
    daemon.edit("echo", echo(deployment={"open_to_public": True, "desired_routing_count": 0}))
    await until(lambda: answer(daemon, 503), 5)
    shown = await daemon.service("echo")
    assert (shown.status, shown.revision) == (ServiceStatus.STOPPED, "1"), "no new revision for hot changes"


async def answer(daemon: Daemon, status: int) -> bool:
    return (await daemon.ask("echo"))[0] == status


async def test_an_override_is_shown_kept_and_ended_by_reset_or_by_the_file(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo", 1)
    code, out, err = await daemon.cli("scale", "echo", "3")
    assert code == 0, err
    assert "file says 1" in out
    await daemon.settled("echo", 3)
    await daemon.restart()
    await daemon.settled("echo", 3)
    for verb in ("ls", "describe echo", "ps echo"):
        code, out, err = await daemon.cli(*verb.split())
        assert code == 0, err
        if verb != "ps echo":
            assert "file says 1" in out, (verb, out)
    daemon.edit("echo", echo(deployment={"environ": {"A": "1"}}))  # a change of something else leaves it
    await until(lambda: revision(daemon, "2"))
    await daemon.settled("echo", 3)
    code, out, err = await daemon.cli("scale", "echo", "--reset")
    assert code == 0, err
    assert (await daemon.settled("echo", 1)).override_desired is None
    await daemon.client.scale("echo", 0)
    await until(lambda: stopped(daemon))
    daemon.edit("echo", echo(deployment={"desired_routing_count": 2, "environ": {"A": "1"}}))
    assert (await daemon.settled("echo", 2)).override_desired is None


async def revision(daemon: Daemon, wanted: str) -> bool:
    return (await daemon.service("echo")).revision == wanted


async def stopped(daemon: Daemon) -> bool:
    return (await daemon.service("echo")).status is ServiceStatus.STOPPED


async def test_a_fixed_port_is_stop_then_start_and_never_two(daemon: Daemon) -> None:
    port = free_port()
    fixed = {"start_command": ["python", "/models/server.py", "--port", str(port)], "port": port}
    daemon.drop("echo", echo(**fixed))
    (first,) = (await daemon.settled("echo", 1)).routings
    assert first.address.endswith(f":{port}")
    with pytest.raises(InvalidInput, match="one port") as refused:
        await daemon.client.scale("echo", 2)
    assert "{port}" in refused.value.hint
    daemon.edit("echo", echo(deployment={"environ": {"A": "1"}}, **fixed))
    await until(lambda: other_than(daemon, first.id))
    daemon.edit("echo", echo(deployment={"desired_routing_count": 2}, **fixed))
    told = await until(lambda: problems(daemon, "each of the 2 routings"))
    assert "{port}" in told
    await daemon.settled("echo", 1, deadline=5)


async def other_than(daemon: Daemon, routing: str) -> bool:
    (seen,) = (await daemon.settled("echo", 1, deadline=0)).routings
    return seen.id != routing


async def problems(daemon: Daemon, word: str) -> str:
    found = [f"{p.path}: {p.message} {p.hint}" for p in (await daemon.service("echo")).problems]
    return " ".join(found) if word in " ".join(found) else ""


async def test_a_removed_service_stays_removed_until_started_or_changed(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    daemon.drop("other", echo("other"))
    await daemon.settled("echo")
    await daemon.settled("other")
    header = await daemon.header("echo")
    code, out, _ = await daemon.cli("rm", "echo", stdin=b"n\n")
    assert code != 0, out
    await daemon.settled("echo", 1, deadline=1)
    code, _, err = await daemon.cli("rm", "echo", "--yes")
    assert code == 0, err
    await until(lambda: only(daemon, {"other"}))
    await until(lambda: answer(daemon, 404), 2)
    (daemon.models / "echo" / "weights.bin").write_bytes(b"not a change of the definition")
    await daemon.restart()
    await asyncio.sleep(0.5)
    assert await only(daemon, {"other"})
    await daemon.client.start(LaunchRequest(folder="echo"))
    await daemon.settled("echo", 1)
    assert (await daemon.ask("echo", header=header))[0] == 401, "its tokens were revoked"
    assert (await daemon.ask("echo", header=await daemon.header("echo")))[0] == 200
    await daemon.client.remove("echo")
    with pytest.raises((Conflict, NotFound)):  # it would be good for the next service of that name
        await daemon.client.token_create(TokenRequest(service="echo"))
    await until(lambda: only(daemon, {"other"}))
    daemon.edit("echo", echo(deployment={"environ": {"A": "1"}}))
    await daemon.settled("echo", 1)


async def only(daemon: Daemon, names: set[str]) -> bool:
    return {s.name for s in await daemon.client.services()} == names


async def test_start_lays_its_options_over_the_folders_definition(daemon: Daemon) -> None:
    outside = daemon.drop("m", echo("model")).rename(daemon.folder / "outside")
    code, out, err = await daemon.cli(
        *("start", str(outside), "--name", "mine", "--count", "2", "--public", "--env", "A=1", "-o", "json")
    )
    assert code == 0, err
    assert json.loads(out)["source"] == "api"
    seen = await daemon.settled("mine", 2)
    assert (await daemon.ask("mine"))[0] == 200
    assert seen.spec["routing"]["environ"] == {"A": "1"}
    code, _, err = await daemon.cli("start", str(outside), "--name", "Mine")
    assert code == 1
    assert "taken" in err
    await daemon.kill()
    await daemon.start()
    assert {r.id for r in (await daemon.settled("mine", 2)).routings} == {r.id for r in seen.routings}
    (outside / "model-definition.yml").write_text(json.dumps(echo("model", deployment={"environ": {"B": "2"}})))
    await until(lambda: environ(daemon, {"A": "1", "B": "2"}), 20)
    await daemon.client.remove("mine")
    await until(lambda: only(daemon, set()))
    await daemon.restart()
    with pytest.raises(NotFound):
        await daemon.service("mine")


async def environ(daemon: Daemon, wanted: dict[str, str]) -> bool:
    return (await daemon.service("mine")).spec["routing"]["environ"] == wanted
