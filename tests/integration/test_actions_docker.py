"""The pre-start actions of one definition in a real container, up to the start command that uses their results."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from orchestrator.actions import ActionEvent, ActionFailed, run_actions
from orchestrator.core.definition import Action
from orchestrator.core.ports import Command, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.templates import render_command

pytestmark = pytest.mark.docker

ACTIONS: tuple[Action, ...] = TypeAdapter(tuple[Action, ...]).validate_python(
    [
        {"action": "mkdir", "args": {"path": "etc"}},
        {
            "action": "write_file",
            "args": {"filename": "etc/config.json", "body": '{{"port": {port}, "model": "{model_path}"}}'},
        },
        {
            "action": "write_tempfile",
            "ref": "read",
            "args": {"body": ["import json, sys", "print(json.load(open(sys.argv[1]))['port'])"]},
        },
        {"action": "run_command", "ref": "port", "args": {"command": ["python3", "{read}", "etc/config.json"]}},
        {"action": "log", "args": {"message": "the port is {port[out]}, so is {{port[out]}}"}},
    ]
)
VALUES = {"port": "8123", "model_path": "/models"}


def unit(folder: Path, image: str) -> Unit:
    spec = RoutingSpec(
        model_name="m", model_folder=str(folder), model_path="/models", model_mount="/models", image=image, port=8123
    )
    return Unit("r1", "svc", spec)


async def test_results_reach_the_start_command(docker_runtime: Callable[..., Any], tmp_path: Path) -> None:
    runtime = docker_runtime()
    await runtime.create(unit(tmp_path, "orchestrator/python:test"))
    events: list[ActionEvent] = []

    async def emit(event: ActionEvent) -> None:
        events.append(event)

    refs = await run_actions(ACTIONS, runtime.sandbox("r1"), VALUES, emit, ["/models"])
    assert refs["port[out]"] == "8123"
    assert [e.state for e in events] == ["started", "finished"] * len(ACTIONS)
    command = render_command(("python3", "-c", "print('started with', '{port[out]}')"), {**VALUES, **refs})
    assert isinstance(command, tuple)
    await runtime.start("r1", Command(argv=command))
    assert await _log(runtime, "started with") == ["the port is 8123, so is {port[out]}", "started with 8123"]


async def test_a_missing_shell_is_told_plainly(docker_runtime: Callable[..., Any], tmp_path: Path) -> None:
    runtime = docker_runtime()
    await runtime.create(unit(tmp_path, "orchestrator/noshell:test"))

    async def emit(_: ActionEvent) -> None: ...

    with pytest.raises(ActionFailed) as caught:
        await run_actions(ACTIONS, runtime.sandbox("r1"), VALUES, emit)
    assert (caught.value.index, caught.value.name) == (3, "run_command")
    assert "has no /bin/sh" in caught.value.message
    assert "write_file and mkdir" in caught.value.hint


async def _log(runtime: Any, last: str) -> list[str]:
    """The routing's log, once a line that begins with `last` is in it."""
    deadline = time.monotonic() + 10
    while True:
        lines = [line.text async for line in runtime.logs("r1")]
        if any(line.startswith(last) for line in lines):
            return lines
        assert time.monotonic() < deadline, lines
        await asyncio.sleep(0.05)
