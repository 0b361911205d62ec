"""Inside a routing of a whole daemon: who may go in, what is kept of it, and what ends what."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from harness import Daemon, echo, until

from orchestrator.core.token_views import TokenRequest

SECRET = "hunter22-is-secret"


def running(word: str) -> list[int]:
    """Processes of this machine that have it among their words."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in line.read_bytes().split(b"\0"):
                found.append(int(line.parent.name))
        except OSError:
            continue
    return found


async def test_a_shell_and_files_of_a_routing(tmp_path: Path, artifacts: Path) -> None:
    async with Daemon(tmp_path, artifacts) as daemon:
        daemon.drop("echo", echo("echo"))
        routing = (await daemon.settled("echo")).routings[0].id
        code, out, err = await daemon.cli(
            *("exec", "-i", "-e", f"TOKEN={SECRET}", "echo", "--", "sh", "-c", "cat; echo $TOKEN >&2; exit 9"),
            stdin=b"typed",
        )
        assert (code, out, err.strip()) == (9, "typed", SECRET)
        big = tmp_path / "big"
        big.write_bytes(os.urandom(3 << 20))
        assert (await daemon.cli("cp", str(big), f"{routing}:/home/work/"))[0] == 0
        assert (await daemon.cli("cp", "echo:big", str(tmp_path / "back")))[0] == 0
        assert (tmp_path / "back").read_bytes() == big.read_bytes()
        assert (await daemon.cli("cp", "echo:/etc/hostname", str(tmp_path / "x")))[0] == 1, "not in its view"
        reader = await daemon.client.token_create(TokenRequest(service="*", scope="read", name="reader"))
        for args in (("exec", "echo", "true"), ("cp", "echo:big", str(tmp_path / "no"))):
            assert (await daemon.cli("--token", str(reader.token), *args))[0] == 7
        audited = json.loads((await daemon.cli("audit", "-o", "json"))[1])
        assert SECRET not in json.dumps(audited)
        kept = [(one["who"], one["status"]) for one in audited if "/exec?" in one["path"]]
        assert ("admin.token", 101) in kept
        assert ("reader", 403) in kept
        causes = [event.cause for event in await daemon.events("routing.exec")]
        assert causes[0] == "sh was run by hand, without a terminal"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_command_ends_with_its_client_and_with_the_daemon(
    number: signal.Signals, tmp_path: Path, artifacts: Path
) -> None:
    async with Daemon(tmp_path, artifacts) as daemon:
        daemon.drop("echo", echo("echo"))
        await daemon.settled("echo")
        for ended, word in (("client", f"{os.getpid()}1"), ("daemon", f"{os.getpid()}2")):
            command = (sys.executable, "-m", "orchestrator", "exec", "echo", "sleep", word)
            client = await asyncio.create_subprocess_exec(
                *command, env=daemon.environ, stderr=asyncio.subprocess.DEVNULL, cwd=daemon.folder
            )
            await until(lambda word=word: len(running(word)) == 2, what="it runs, beside its client")  # type: ignore[misc]
            if ended == "client":
                client.send_signal(number)
            else:
                await (daemon.kill() if number == signal.SIGKILL else daemon.stop())
            code = await asyncio.wait_for(client.wait(), 20)
            assert code in ((-signal.SIGKILL, 130) if ended == "client" else (1,))
            await until(lambda word=word: not running(word), what="nothing of it is left")  # type: ignore[misc]
        await daemon.start()
        await daemon.settled("echo")
