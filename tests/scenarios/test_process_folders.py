"""Model folders come, change, break and go under a running daemon: what is served follows, and nothing else happens."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable

import pytest
from harness import Daemon, echo, until

from orchestrator.core.daemon_views import TryRequest
from orchestrator.core.errors import NotFound, OrchestratorError
from orchestrator.core.naming import slug
from orchestrator.core.state import ServiceStatus
from orchestrator.core.views import LaunchRequest, ServiceView

INVALID = b"models:\n  - name: echo\n    service: {port: none}\n"


async def named(daemon: Daemon, name: str) -> ServiceView:
    return {s.name: s for s in await daemon.client.services()}[name]


async def kinds(daemon: Daemon, service: str) -> list[str]:
    return [e.kind for e in await daemon.events(service=service)]


async def one_routing(daemon: Daemon, name: str) -> str:
    """The id of its only routing, which shows whether anything was restarted."""
    (routing,) = (await daemon.settled(name, 1)).routings
    return routing.id


async def test_a_half_written_file_does_no_harm_and_an_editors_rename_dance_is_a_change(daemon: Daemon) -> None:
    text = json.dumps(echo(), indent=1).encode()
    folder = daemon.drop("echo", INVALID)
    await until(lambda: invalid(daemon, "echo"))
    file = folder / "model-definition.yml"
    with file.open("wb") as half:  # a slow writer: nothing of it may be taken for the whole
        half.write(text[: len(text) // 2])
        half.flush()
        await asyncio.sleep(0.4)
        assert (await named(daemon, "echo")).status is ServiceStatus.INVALID
        half.write(text[len(text) // 2 :])
    before = await one_routing(daemon, "echo")
    changed = json.dumps(echo(deployment={"environ": {"A": "1"}})).encode()
    (folder / ".model-definition.yml.swp").write_bytes(b"editor's own")
    file.rename(folder / "model-definition.yml~")
    (folder / "4913").touch()
    (folder / "4913").unlink()
    file.write_bytes(changed)
    (folder / ".model-definition.yml.swp").unlink()
    await until(lambda: one_other(daemon, "echo", before))
    assert "service.vanished" not in await kinds(daemon, "echo")


async def invalid(daemon: Daemon, name: str) -> bool:
    return (await named(daemon, name)).status is ServiceStatus.INVALID


async def one_other(daemon: Daemon, name: str, before: str) -> bool:
    seen = await daemon.settled(name, 1, deadline=0)
    return seen.routings[0].id != before


async def test_an_invalid_edit_leaves_the_running_revision_alone_and_is_shown(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    before = await one_routing(daemon, "echo")
    daemon.edit("echo", INVALID)
    shown = await until(lambda: problem(daemon, "echo"))
    assert (shown.status, shown.healthy) == (ServiceStatus.HEALTHY, 1)
    assert "port" in shown.problems[0].path
    assert (shown.problems[0].line, shown.problems[0].severity) == (3, "error")
    told = await daemon.client.explain("echo")
    assert [c.code for c in told.causes] == ["definition_invalid"]
    assert "keeps running" in told.causes[0].message
    await daemon.restart()
    assert (await daemon.service("echo")).problems
    daemon.edit("echo", echo())
    await until(lambda: no_problem(daemon, "echo"))
    assert await one_routing(daemon, "echo") == before


async def problem(daemon: Daemon, name: str) -> ServiceView | None:
    found = await named(daemon, name)
    return found if found.problems else None


async def no_problem(daemon: Daemon, name: str) -> bool:
    return not (await named(daemon, name)).problems


async def test_a_vanished_folder_ends_after_5_s_and_one_that_returns_in_time_does_not(daemon: Daemon) -> None:
    for name in ("stays", "comes-back", "goes"):
        daemon.drop(name, echo(name))
    kept = {name: await one_routing(daemon, name) for name in ("stays", "comes-back", "goes")}
    gone, back = daemon.remove("goes"), daemon.remove("comes-back")
    began = time.monotonic()
    await until(lambda: told(daemon, "comes-back", "service.vanished"))
    back.rename(daemon.models / "comes-back")
    await until(lambda: told(daemon, "comes-back", "service.returned"))
    seen = next((s.status for s in await daemon.client.services() if s.name == "goes"), None)
    assert seen is ServiceStatus.HEALTHY or time.monotonic() - began > 4.5, "it ended too early"
    await until(lambda: absent(daemon, "goes"))
    assert 4.5 < time.monotonic() - began < 9
    for name in ("stays", "comes-back"):
        assert await one_routing(daemon, name) == kept[name], name
    assert not [line for line in daemon.processes().values() if kept["goes"] in line]
    gone.rename(daemon.models / "goes")
    assert await one_routing(daemon, "goes") != kept["goes"], "a service of its own again"


async def told(daemon: Daemon, service: str, kind: str) -> bool:
    return kind in await kinds(daemon, service)


async def absent(daemon: Daemon, name: str) -> bool:
    try:
        await daemon.service(name)
    except NotFound:
        return True
    return False


async def test_names_that_two_folders_claim_stay_with_who_has_them(daemon: Daemon) -> None:
    daemon.drop("b", echo("twice"))
    before = await one_routing(daemon, "twice")
    daemon.drop("a", echo("Twice"))
    daemon.drop("c", echo("other"))
    await daemon.settled("other")
    loser = await until(lambda: claims(daemon, "Twice"))
    assert loser.status is ServiceStatus.INVALID
    assert str(daemon.models / "b") in loser.problems[-1].message
    assert await one_routing(daemon, "twice") == before
    await daemon.restart()
    assert await one_routing(daemon, "twice") == before
    daemon.edit("b", echo("thrice"))
    await until(lambda: comes_from(daemon, "Twice", "a"))
    await one_routing(daemon, "Twice")
    await one_routing(daemon, "thrice")


async def comes_from(daemon: Daemon, name: str, folder: str) -> bool:
    return (await daemon.service(name)).folder == str(daemon.models / folder)


async def claims(daemon: Daemon, name: str) -> ServiceView:
    (found,) = [s for s in await daemon.client.services() if s.name == name]
    assert found.status is ServiceStatus.INVALID
    return found


async def test_a_models_dir_that_goes_away_is_held_and_asked_about(daemon: Daemon) -> None:
    for name in ("a", "b", "c", "d"):
        daemon.drop(name, echo(name))
    kept = {name: await one_routing(daemon, name) for name in ("a", "b", "c", "d")}
    away = daemon.models.with_name("away")
    daemon.models.rename(away)
    await until(lambda: held(daemon, {"a", "b", "c", "d"}))
    await asyncio.sleep(5.5)  # longer than a removed definition has
    assert {s.name: s.status for s in await daemon.client.services()} == dict.fromkeys(kept, ServiceStatus.HEALTHY)
    code, out, _ = await daemon.cli("status")
    assert code == 0
    assert "confirm-removal" in out
    assert all(name in out for name in kept)
    told = await daemon.client.explain("a")
    assert told.causes[0].code == "removal_held"
    assert str(daemon.models) in told.causes[0].message
    away.rename(daemon.models)
    await until(lambda: held(daemon, set()))
    assert {name: await one_routing(daemon, name) for name in kept} == kept, "nothing has happened"
    for name in ("a", "b", "c"):  # three of four at once: an unmounted disk looks like this too
        daemon.remove(name)
    await until(lambda: held(daemon, {"a", "b", "c"}))
    await daemon.restart()
    assert await held(daemon, {"a", "b", "c"}), "a restart does not let them go"
    code, out, err = await daemon.cli("confirm-removal", "a", "--yes")
    assert code == 0, err
    await until(lambda: absent(daemon, "a"))
    assert await held(daemon, {"b", "c"})
    await daemon.client.confirm_removal()
    await until(lambda: absent(daemon, "b"))
    await until(lambda: absent(daemon, "c"))
    assert await one_routing(daemon, "d") == kept["d"]


async def held(daemon: Daemon, wanted: set[str]) -> bool:
    return set((await daemon.client.status()).held) == wanted


async def test_a_thousand_folders_at_once(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons(runtime="memory")
    stage = daemon.folder / "stage"
    stage.mkdir()
    for number in range(1000):
        folder = stage / f"m{number:04}"
        folder.mkdir()
        (folder / "model-definition.yml").write_text(json.dumps(echo(f"m{number:04}", health_check={"enable": False})))
    (stage / "loop").symlink_to("loop")
    (stage / "self").mkdir()
    (stage / "self" / "model-definition.yml").symlink_to("model-definition.yml")
    for folder in stage.iterdir():
        folder.rename(daemon.models / folder.name)
    assert await until(lambda: started(daemon, 1000), 90, every=1.0)  # each look is an answer of half a megabyte
    invalid = [s.name for s in await daemon.client.services() if s.status is ServiceStatus.INVALID]
    assert invalid == ["loop", "self"]
    assert (await daemon.client.status()).pid == daemon.process.pid


async def started(daemon: Daemon, wanted: int) -> bool:
    return len([r for r in await daemon.client.routings() if r.address]) == wanted


async def test_a_symlink_loop_and_hostile_names_break_nothing(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    (daemon.models / "loop").symlink_to(daemon.models / "loop")
    (daemon.models / "again").symlink_to(daemon.models)
    (daemon.models / "model-definition.yml").write_text("models: []")
    os.mkfifo(daemon.models / "echo" / "pipe")
    daemon.drop("pipe", echo("pipe"))
    (daemon.models / "pipe" / "model-definition.yml").unlink()
    os.mkfifo(daemon.models / "pipe" / "model-definition.yml")
    daemon.drop("späce name", echo("odd"))
    daemon.drop("line\nbreak", echo("line-break"))
    daemon.drop("no\udcfftext", echo("no-text"))
    (daemon.models / "linked").symlink_to(daemon.models / "no\udcfftext")
    (daemon.state_dir / "routings" / "no\udcfftext").mkdir(parents=True, exist_ok=True)
    await one_routing(daemon, "echo")
    await one_routing(daemon, "odd")

    async def invalid_ones_are_known() -> bool:
        shown = {s.name: s.cause for s in await daemon.client.services() if s.status is ServiceStatus.INVALID}
        assert shown.keys() == {"loop", "again", "pipe", "line-break", slug("no\udcfftext"), "linked"}, shown
        return True

    await until(invalid_ones_are_known)
    assert await until(lambda: kinds(daemon, "linked"), 10), "events can be read"
    for folder in ("x" * 5000, "a\0b", "x" * 300):
        with pytest.raises(OrchestratorError, match=r"no model folder|cannot"):
            await daemon.client.start(LaunchRequest(folder=folder))
        tried = [event async for event in daemon.client.try_run(TryRequest(folder=folder))]
        assert tried[-1].state == "failed"
    (daemon.folder / "secret").write_text("root:hash:1: x")
    (daemon.folder / "link.yml").symlink_to(daemon.folder / "secret")
    (daemon.models / "echo" / "out.yml").symlink_to("/proc/self/cmdline")
    for asked in (
        TryRequest(folder=str(daemon.folder / "secret")),
        TryRequest(folder=str(daemon.folder / "link.yml")),
        TryRequest(folder=str(daemon.models / "echo" / "out.yml")),
        TryRequest(folder=str(daemon.folder), definition="secret"),
        TryRequest(folder="/", definition=str(daemon.models / "echo" / "model-definition.yml")[1:]),
    ):
        told = [event.message async for event in daemon.client.try_run(asked)]
        assert len(told) == 1, told
        assert "cannot try" in told[0]
        assert "hash" not in told[0]
    assert daemon.process.pid == (await daemon.client.status()).pid
    assert not [line for line in daemon.logged() if "text" in line], daemon.log_tail()
