"""Commands that bring their own daemon, or need none: `run`, and `validate --try`."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import EXAMPLES, Daemon, echo, free_port, until

SERVED = ("echo", "every-action", "voice-activity")
"""Examples that local processes can serve; the fixed port of the fourth is the machine's."""


async def test_run_serves_the_examples_says_how_to_call_them_and_leaves_nothing(
    tmp_path: Path, artifacts: Path
) -> None:
    daemon = Daemon(tmp_path, artifacts)
    for name in SERVED:
        shutil.copytree(EXAMPLES / name, daemon.models / name)
    seed = (EXAMPLES / "simple-http-server" / "model-definition.yml").read_text()
    daemon.drop("simple-http-server", seed.replace("8000", str(free_port())))
    shutil.copytree(EXAMPLES / "vllm", daemon.models / "vllm")
    options = ("--state-dir", str(daemon.state_dir), "--runtime", "process", "--timeout", "60")
    try:
        code, out, err = await daemon.cli("run", str(daemon.models), *options, "--once", deadline=90)
        (artifacts / "run.txt").write_text(out + err)
        assert code == 0, (out, err)
        for name in (*SERVED, "simple-http-server"):
            assert f"endpoint: {daemon.endpoint(name, '')}" in out, out
        assert out.count("curl -i -H 'Authorization: BackendAI ") == len(SERVED) + 1
        assert "left out: vllm: " in out
        assert not daemon.processes(), "what it started"
        running = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", "run", str(daemon.models), *options),
            cwd=daemon.folder,
            env=daemon.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert running.stdout is not None
        lines = []
        async with asyncio.timeout(60):
            while not (line := (await running.stdout.readline()).decode()).startswith("Ctrl-C"):
                assert line, lines
                lines.append(line.strip())
        for line in [text for text in lines if text.startswith("curl")]:
            shell = await asyncio.create_subprocess_shell(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            assert b" 200 " in (await shell.communicate())[0].splitlines()[0], line
        running.send_signal(2)
        rest = (await running.communicate())[0].decode()
        assert running.returncode == 130, rest
        assert "ended: routings (" in rest
        assert not daemon.processes()
    finally:
        await daemon.end_everything()


TRIES: dict[str, tuple[dict[str, Any], int, str]] = {
    "passes": ({}, 0, "the first pass of its health check"),
    "exits": ({"start_command": ["sh", "-c", "echo so it goes; exit 3 # {port}"]}, 4, "exit code 3"),
    "action": (
        {"pre_start_actions": [{"action": "run_command", "args": {"command": ["false"]}}]},
        4,
        "ended with exit status 1",
    ),
}


@pytest.mark.parametrize("up", [True, False], ids=["daemon", "no daemon"])
async def test_a_try_tells_each_step_and_cleans_up(tmp_path: Path, artifacts: Path, up: bool) -> None:
    daemon = Daemon(tmp_path, artifacts)
    folders = {name: daemon.drop(name, echo(name, **different)) for name, (different, *_) in TRIES.items()}
    outside = daemon.folder / "outside"
    outside.mkdir()
    for folder in folders.values():
        folder.rename(outside / folder.name)
    try:
        if up:
            await daemon.start()
        for name, (_, wanted, words) in TRIES.items():
            code, out, err = await daemon.cli("validate", "--try", str(outside / name))
            (artifacts / f"{name}.txt").write_text(out + err)
            assert code == wanted, (name, out, err)
            assert words in out, (name, out, err)
            assert "nothing of it is left" in out
            assert not [line for line in daemon.processes().values() if "haproxy" not in line], name
            assert not list((daemon.state_dir / "routings").glob("[!.]*"))
        assert "started  action  pre_start_actions[0] (run_command)\n" in (artifacts / "action.txt").read_text()
        assert "so it goes" in (artifacts / "exits.txt").read_text(), "its log"
        code, out, err = await daemon.cli("validate", "--try", str(outside))
        assert (code, "has no definition" in out) == (2, True), (out, err)
        await interrupted(daemon, outside / "passes")
        if up:
            assert not await daemon.client.services(), "a try is no service"
    finally:
        await daemon.client.__aexit__(None, None, None)
        await daemon.end_everything()


async def interrupted(daemon: Daemon, folder: Path) -> None:
    """Ctrl-C while it waits for a first pass that never comes."""
    (folder / "model-definition.yml").write_text(str(echo(start_command=["sleep", "600", "{port}"])))
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "orchestrator", "validate", "--try", str(folder)),
        cwd=daemon.folder,
        env=daemon.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    await until(lambda: [line for line in daemon.processes().values() if line.startswith("sleep 600")], 20)
    os.kill(running.pid, 2)
    out = (await running.communicate())[0].decode()
    assert running.returncode == 130, out
    await until(lambda: not [line for line in daemon.processes().values() if "haproxy" not in line], 10)
