"""Plan and apply against a whole daemon: with `apply = "manual"` nothing happens that nobody took over."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from harness import EXAMPLES, Daemon, echo, until

from orchestrator.cli.plan import code_of
from orchestrator.core.plan_views import PlanRequest

Daemons = Callable[..., Awaitable[Daemon]]
MANUAL = {"ORCHESTRATOR_APPLY": "manual"}
FAILS = {"start_command": ["python", "-c", "raise SystemExit(3)", "{port}"]}


async def planned(daemon: Daemon, path: str | None = None) -> tuple[int, dict[str, Any]]:
    """Exit code that `plan` would have, and what it says by service."""
    view = await daemon.client.plan(PlanRequest(path=path))
    return code_of(view), {one.service: one.model_dump(mode="json") for one in view.services}


def changed(**environ: str) -> dict[str, Any]:
    return echo(deployment={"environ": environ, "update": {"min_ready": 0}})


async def test_manual_a_change_waits_is_planned_and_taken_over(daemons: Daemons) -> None:
    daemon = await daemons(environ=MANUAL)
    daemon.drop("echo", echo())
    await until(lambda: waits(daemon, echo="create"))
    assert not await daemon.client.services()
    assert "waiting for `orchestrator apply`: echo (create)" in (await daemon.cli("ls"))[2]
    assert [e.service for e in await daemon.events("plan.pending")] == ["echo"]
    code, plan = await planned(daemon)
    assert (code, plan["echo"]["change"], plan["echo"]["fits"]) == (3, "create", True)
    code, out, err = await daemon.cli("apply")
    assert code == 0, out + err
    before = await daemon.settled("echo", 1)

    daemon.edit("echo", changed(A="1"))
    await until(lambda: waits(daemon, echo="rolling"))
    assert "apply" in (await daemon.service("echo")).pending
    code, plan = await planned(daemon)
    field = {"path": "deployment.environ.A", "from": None, "to": "1", "class": "rolling"}
    assert (code, plan["echo"]["fields"], plan["echo"]["downtime"]) == (3, [field], "none")
    assert plan["echo"]["operations"][-1] == "revision 2 counts as good"
    await daemon.restart()
    await until(lambda: waits(daemon, echo="rolling"), what="it is derived again after a restart")
    assert {r.id for r in (await daemon.service("echo")).routings} == {r.id for r in before.routings}

    code, out, err = await daemon.cli("apply", str(daemon.models / "echo"))
    assert code == 0, out + err
    assert (await daemon.settled("echo", 1)).revision == "2"
    assert (await planned(daemon))[0] == 0

    daemon.remove("echo")
    await until(lambda: waits(daemon, echo="remove"))
    assert (await daemon.settled("echo", 1)).revision == "2", "its folder is gone, and it serves"
    code, out, err = await daemon.cli("apply")
    assert (code, await daemon.client.services()) == (0, ()), out + err


async def waits(daemon: Daemon, **services: str) -> bool:
    return dict((await daemon.client.status()).pending) == services


async def test_a_candidate_elsewhere_is_put_in_place_only_by_apply(daemons: Daemons, tmp_path: Path) -> None:
    daemon = await daemons()
    daemon.drop("echo", echo())
    await daemon.settled("echo", 1)
    checkout = tmp_path / "checkout"
    shutil.copytree(daemon.models, checkout)
    written = (daemon.models / "echo" / "model-definition.yml").read_bytes()
    (checkout / "echo" / "model-definition.yml").write_text(json.dumps(changed(A="1")))
    code, plan = await planned(daemon, str(checkout))
    assert (code, plan["echo"]["change"], list(plan)) == (3, "rolling", ["echo"])
    assert (daemon.models / "echo" / "model-definition.yml").read_bytes() == written

    code, _, err = await daemon.cli("plan", str(checkout / "echo"), "--save", "kept.json")
    assert code == 3, err
    assert (daemon.folder / "kept.json").stat().st_mode & 0o777 == 0o600
    await daemon.client.scale("echo", 2)
    code, out, err = await daemon.cli("apply", "--plan", "kept.json")
    assert code == 1
    assert "the world has moved since the plan was saved: echo is to have 2 routings, not 1" in err, out + err
    await daemon.client.scale("echo", None)
    code, out, err = await daemon.cli("apply", "--plan", "kept.json", "--timeout", "30")
    assert code == 0, out + err
    assert "~ echo: rolling, revision 2" in out
    assert "echo: 1 routing is HEALTHY on revision 2" in out
    assert (await daemon.settled("echo", 1)).revision == "2"

    new = checkout / "other"
    new.mkdir()
    (new / "server.py").write_bytes((EXAMPLES / "echo" / "server.py").read_bytes())
    (new / "model-definition.yml").write_text(json.dumps(echo("other")))
    code, plan = await planned(daemon, str(new / "model-definition.yml"))
    assert (code, plan["other"]["change"]) == (3, "create")
    code, out, err = await daemon.cli("apply", str(new), "--no-wait")
    assert code == 0, out + err
    assert [p.name for p in (daemon.models / "other").iterdir()] == ["model-definition.yml"], "only what defines it"


async def test_a_failed_change_is_rolled_back_and_tried_again_only_on_demand(daemons: Daemons) -> None:
    daemon = await daemons(environ=MANUAL)
    daemon.drop("echo", echo())
    assert (await daemon.cli("apply"))[0] == 0
    first = {r.id for r in (await daemon.settled("echo", 1)).routings}
    daemon.edit("echo", echo(**FAILS, deployment={"update": {"progress_deadline": 3}, "start_timeout": 3}))
    code, out, err = await daemon.cli("apply", "--timeout", "40")
    assert code == 4, out + err
    assert "revision 2 was rolled back" in err
    assert {r.id for r in (await daemon.service("echo")).routings if r.status == "HEALTHY"} == first
    again = (await planned(daemon, "echo"))[1]["echo"]
    assert (again["change"], "revision 2 was rolled back" in again["notes"][0]) == ("rolling", True), again
    code, out, err = await daemon.cli("apply", "echo", "--timeout", "40", "-o", "json")
    assert code == 4, out + err
    assert json.loads(out)["services"][0]["state"] == "rolled_back"


async def test_an_interrupt_ends_the_waiting_and_not_the_rollout(daemons: Daemons) -> None:
    daemon = await daemons(environ=MANUAL)
    daemon.drop("echo", echo(deployment={"update": {"bake": 3}}))
    assert (await daemon.cli("apply", "--no-wait"))[0] == 0
    await daemon.settled("echo", 1)
    daemon.edit("echo", echo(deployment={"environ": {"A": "1"}, "update": {"bake": 3}}))
    command = (sys.executable, "-m", "orchestrator", "apply")
    process = await asyncio.create_subprocess_exec(
        *command, cwd=daemon.folder, env=daemon.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    while b"new routings are ready" not in (line := await asyncio.wait_for(process.stdout.readline(), 15)):
        assert line, "it ended before it waited"
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, b"goes on" in err) == (130, True), err
    await until(lambda: accepted(daemon, "2"))


async def accepted(daemon: Daemon, revision: str) -> bool:
    seen = await daemon.settled("echo", 1, deadline=0)
    return (seen.rollout, seen.revision) == (None, revision)


@pytest.mark.parametrize("text", ["models: 1", "models:\n  - name: [x"])
async def test_an_invalid_definition_is_shown_with_its_place(daemon: Daemon, text: str) -> None:
    daemon.drop("echo", text)
    code, out, _ = await daemon.cli("plan")
    assert code == 2
    assert "model-definition.yml:" in out
    assert (await daemon.cli("apply", str(daemon.models / "echo")))[0] == 2


async def test_what_cannot_be_planned_is_said(daemon: Daemon) -> None:
    assert (await daemon.cli("plan", "/nowhere/at/all"))[0] == 1
    assert (await daemon.cli("plan", "nobody"))[0] == 1
    assert (await daemon.cli("plan"))[:2] == (0, "nothing to do\n")
    (daemon.folder / "kept.json").write_text("{}")
    assert (await daemon.cli("apply", "--plan", "kept.json"))[0] == 2
