"""A service is modified while it runs: by its launch, over what its file says, or in the file itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import pytest
from harness import Daemon, echo, until

from orchestrator.core.daemon_views import TryRequest
from orchestrator.core.errors import Conflict, InvalidInput, NotFound
from orchestrator.core.views import LaunchRequest, ModifyRequest, OverrideView

FILE = """\
# who owns this: team models
models:
  - name: kept   # the model's name
    model_path: /models
    service:
      start_command: ["python", "/models/server.py", "--port", "{port}"]
      port: 8000
      health_check: {path: /health, interval: 0.5}
    deployment:
      replicas: 1   # one is enough
      environ:
        GREETING: "hello"  # said to everybody
        OTHER: 'yes'
      stop_grace: 5
"""
"""Of two lines' worth of comments, quotes of both kinds, and an alias of a key."""


async def test_what_was_started_by_hand_gets_a_new_launch(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    folder = daemon.drop("base", echo("base", deployment={"desired_routing_count": 0, "environ": {"A": "file"}}))
    asked = LaunchRequest(folder=str(folder), name="mine", count=1, environ={"B": "mine"}, resources={"cpu": "0.1"})
    await daemon.client.start(asked)
    launch = (await daemon.settled("mine")).launch
    assert launch is not None
    assert (launch.count, launch.environ, launch.cpu, launch.public) == (1, {"A": "file", "B": "mine"}, 0.1, False)
    await daemon.client.modify("mine", ModifyRequest(**{k: v for k, v in launch if k != "folder"}))
    assert (await daemon.service("mine")).revision == "1", "a dialog that sends back what it was filled in with"
    changed = ModifyRequest(environ={"A": "file", "C": "new"}, count=2, public=True, cpu=0.2)
    assert (await daemon.client.modify("mine", changed)).open_to_public
    now = await daemon.settled("mine", 2)
    assert (now.revision, now.overrides) == ("2", {})
    assert now.launch is not None
    assert (now.launch.environ, now.launch.cpu) == ({"A": "file", "C": "new"}, 0.2)
    assert (await daemon.client.revisions("mine"))[0].cause.startswith("modified by hand: ")
    with pytest.raises(Conflict, match=r"environ\.A is declared in .*model-definition\.yml") as caught:
        await daemon.client.modify("mine", ModifyRequest(environ={"C": "new"}))
    assert caught.value.code == "declared_in_file"
    with pytest.raises(InvalidInput, match="cannot rename mine"):
        await daemon.client.modify("mine", ModifyRequest(name="yours"))
    with pytest.raises(InvalidInput, match=r"resources\.mem: 3 is 3 bytes"):
        await daemon.client.modify("mine", ModifyRequest(mem="3"))
    routing = now.routings[0].id
    await daemon.client.remove_routing(routing, replaced=True)
    after = await daemon.settled("mine", 2)
    assert routing not in {r.id for r in after.routings}
    left = await daemon.client.remove_routing(after.routings[0].id)
    assert left.desired_routing_count == 1
    assert (await daemon.settled("mine", 1)).routings[0].id == after.routings[1].id, "of two, the one that was meant"
    await daemon.restart()
    again = await daemon.settled("mine", 1)
    assert again.launch is not None
    assert again.launch.environ == {"A": "file", "C": "new"}
    with pytest.raises(NotFound):
        await daemon.client.remove_routing("nothing")
    await daemon.client.modify("mine", ModifyRequest(environ=None, cpu=None, count=None))
    assert (await until(lambda: stopped(daemon, "mine"))).launch.environ == {"A": "file"}


async def stopped(daemon: Daemon, name: str) -> object:
    found = await daemon.service(name)
    return found if found.status == "STOPPED" and found.launch else None


async def test_what_a_folder_declares_is_overridden_or_edited(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    file = daemon.drop("kept", FILE) / "model-definition.yml"
    await daemon.settled("kept")
    code, out, err = await daemon.cli("modify", "kept", "--public", "--count", "2", "--stop-grace", "4")
    assert (code, err) == (0, ""), err
    assert "2 (file says 1)" in out
    now = await daemon.settled("kept", 2)
    assert (now.revision, now.open_to_public) == ("1", True)
    assert now.overrides == {
        "count": OverrideView(value=2, in_file=1),
        "public": OverrideView(value=True, in_file=False),
        "stop_grace": OverrideView(value=4.0, in_file=5.0),
    }
    assert (await daemon.ask("kept", "/health"))[0] == 200, "public: no token"
    _, out, _ = await daemon.cli("describe", "kept")
    assert "count 2 (file says 1)" in out
    assert "public true (file says false)" in out
    await daemon.restart()
    assert (await daemon.settled("kept", 2)).overrides == now.overrides
    await daemon.client.reset("kept", ["stop_grace", "count"])
    assert set((await daemon.settled("kept", 1)).overrides) == {"public"}
    assert (await daemon.cli("reset", "kept"))[0] == 0
    assert not (await daemon.service("kept")).open_to_public
    code, out, err = await daemon.cli("modify", "kept", "--env", "GREETING=hi", "--mem", "1g")
    assert code == 1
    assert "deployment.environ.GREETING, deployment.resources.mem can only be declared in" in err
    assert "--edit" in err
    arguments = ["--env", "GREETING=on", "--unset", "environ.OTHER", "--count", "2", "--mount", "data:/data"]
    assert (await daemon.cli("modify", "kept", *arguments, "--edit"))[0] == 2, "there is no such data folder"
    assert file.read_text() == FILE
    assert (await daemon.cli("modify", "kept", *arguments[:-2], "--edit"))[0] == 0
    assert file.read_text() == FILE.replace('"hello"  #', '"on"     #').replace("        OTHER: 'yes'\n", "").replace(
        "replicas: 1", "replicas: 2"
    )
    edited = await daemon.settled("kept", 2)
    assert (edited.revision, edited.overrides) == ("2", {})
    assert (await daemon.cli("modify", "kept", "--cpu", "0.5", "--mem", "1g", "--edit"))[0] == 0
    assert file.read_text().endswith("      stop_grace: 5\n      resources:\n        cpu: 0.5\n        mem: 1g\n")
    for environ in ({"odd.key'\"": "1"}, {}):
        await daemon.client.modify("kept", ModifyRequest(environ=environ, edit=True))
        assert (await daemon.service("kept")).launch.environ == environ
    shared = (
        FILE.replace("    deployment:\n", "    deployment: &all\n")
        + FILE.partition("models:\n")[2].replace("name: kept", "name: other").partition("    deployment:")[0]
        + "    deployment: *all\n"
    )
    file.write_text(shared)
    await until(lambda: daemon.service("other"))
    with pytest.raises(Conflict, match="other services would change") as caught:
        await daemon.client.modify("kept", ModifyRequest(cpu=0.25, edit=True))
    assert caught.value.code == "not_editable"
    assert file.read_text() == shared


async def test_a_try_goes_on_without_who_began_it(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    folder = daemon.drop("base", echo("base", deployment={"desired_routing_count": 0}))
    begun = await daemon.client.try_begin(TryRequest(folder="base"))
    assert (begun.state, begun.finished) == ("running", False)
    seen = [event async for event in daemon.client.try_events(begun.id)]
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[-1].step, seen[-1].state) == ("result", "passed")
    assert {"definition", "create", "start", "probe", "cleanup"} <= {event.step for event in seen}
    assert [e.seq async for e in daemon.client.try_events(begun.id, after=seen[-2].seq)] == [seen[-1].seq]
    done = await daemon.client.try_view(begun.id)
    assert (done.state, done.finished, list(done.events)) == ("passed", True, seen)
    sleeps = "print('not yet', flush=True); import time; time.sleep(60)"
    silent = echo("silent", start_command=["python", "-c", sleeps, "{port}"])
    (folder / "slow.yml").write_text(json.dumps(silent))
    slow = await daemon.client.try_begin(TryRequest(folder=str(folder), definition="slow.yml"))
    async with aclosing(daemon.client.try_events(slow.id)) as events:
        async with asyncio.timeout(20):
            async for event in events:
                if event.step == "log":
                    break
    assert event.message == "not yet"
    ended = await daemon.client.try_cancel(slow.id)
    assert (ended.state, [e.step for e in ended.events[-2:]]) == ("cancelled", ["cleanup", "result"])
    assert [(one.id, one.state) for one in await daemon.client.tries()] == [
        (slow.id, "cancelled"),
        (begun.id, "passed"),
    ]
    assert not [line for line in daemon.processes().values() if "time.sleep(60)" in line]
    with pytest.raises(NotFound):
        await daemon.client.try_view("nothing")
    failing = echo("failing", start_command=["python", "-c", "print('boom'); raise SystemExit(3)", "{port}"])
    (folder / "slow.yml").write_text(json.dumps(failing))
    failed = await daemon.client.try_begin(TryRequest(folder=str(folder), definition="slow.yml"))
    seen = [event async for event in daemon.client.try_events(failed.id)]
    assert (seen[-1].state, [e.message for e in seen if e.step == "log"]) == ("failed", ["boom"])
    waiting = echo("waiting", start_command=["python", "-c", "import time; time.sleep(60)", "{port}"])
    (folder / "slow.yml").write_text(json.dumps(waiting))
    wanted = TryRequest(folder=str(folder), definition="slow.yml")
    more = [await daemon.client.try_begin(wanted) for _ in range(8)]
    for refused in (daemon.client.try_begin(wanted), anext(daemon.client.try_run(wanted))):
        with pytest.raises(Conflict, match="8 tries are under way"):
            await refused
    await asyncio.gather(*(daemon.client.try_cancel(one.id) for one in more))
    assert [event async for event in daemon.client.try_run(TryRequest(folder=str(folder)))][-1].state == "passed"
