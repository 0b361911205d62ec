"""A model's whole life from far away: its folder is made, filled, served, edited and removed by commands alone."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from harness import EXAMPLES, Daemon, echo, until

from orchestrator.core.errors import Conflict, InvalidDefinition, OrchestratorError
from orchestrator.core.model_views import DefinitionRequest


async def test_a_model_is_made_filled_served_edited_and_removed_from_far_away(daemon: Daemon, tmp_path: Path) -> None:
    server, definition = tmp_path / "server.py", tmp_path / "model-definition.yml"
    server.write_bytes((EXAMPLES / "echo" / "server.py").read_bytes())
    definition.write_text(json.dumps(echo(), indent=1))
    assert (await daemon.cli("models", "create", "echo"))[0] == 0
    code, out, err = await daemon.cli("models", "upload", "echo", str(definition), str(server))
    assert (code, err) == (0, ""), out
    first = await daemon.settled("echo", 1)
    assert (await daemon.ask("echo", header=await daemon.header("echo")))[0] == 200
    model = await daemon.client.model("echo")
    assert (model.services, model.status, model.valid) == (("echo",), "HEALTHY", True)

    before = await daemon.client.definition("echo")
    wrong = before.text.replace('"interval": 0.5', '"interval": "often"')
    with pytest.raises(InvalidDefinition) as caught:
        await daemon.client.write_definition("echo", DefinitionRequest(text=wrong, digest=before.digest))
    assert [p.path for p in caught.value.problems] == ["models[0].service.health_check.interval"]
    assert (await daemon.client.definition("echo")).text == before.text
    edited = json.dumps(echo(deployment={"environ": {"EDITED": "yes"}}), indent=1)
    await daemon.client.write_definition("echo", DefinitionRequest(text=edited, digest=before.digest))
    second = await until(lambda: another(daemon, first.revision))
    assert second != first.revision

    code, _, err = await daemon.cli("models", "rm", "echo", "-y")
    assert (code, "runs from it" in err) == (1, True)
    with pytest.raises(Conflict):
        await daemon.client.remove_model("echo")
    assert (await daemon.cli("models", "rm", "echo", "-y", "--force"))[0] == 0
    await until(lambda: gone(daemon), 10)
    assert not list(daemon.models.iterdir())

    await daemon.client.create_model("echo")
    for file in (server, definition):
        await daemon.client.upload_part("echo", file.name, file.read_bytes())
    assert (await daemon.settled("echo", 1)).id != first.id, "a service of its own again, with the same definition"


async def another(daemon: Daemon, revision: str) -> str:
    seen = await daemon.settled("echo", 1, deadline=0)
    return seen.revision if seen.revision != revision else ""


async def gone(daemon: Daemon) -> bool:
    try:
        await daemon.service("echo")
    except OrchestratorError:
        return not [line for line in daemon.processes().values() if "server.py" in line]
    return False


async def test_an_upload_goes_on_after_the_daemon_was_killed_in_the_middle_of_it(daemon: Daemon) -> None:
    data = os.urandom(64 << 20)
    file = daemon.folder / "w.bin"
    file.write_bytes(data)
    await daemon.client.create_model("m")
    sent = daemon.models / "m" / "w.bin"
    upload = asyncio.create_task(daemon.cli("models", "upload", "m", str(file)))
    await until(lambda: any(p.stat().st_size for p in (daemon.models / "m").iterdir()), every=0.002)
    await daemon.kill()
    assert not sent.exists()
    await daemon.start()
    code, out, err = await upload
    assert (code, err) == (0, ""), out
    assert sent.read_bytes() == data
    assert [p.name for p in (daemon.models / "m").iterdir()] == ["w.bin"]
