"""Every path of the API, with what its own description says may be sent and with what it says may not, on a daemon."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from harness import Daemon, echo

DATA = Path(__file__).with_name("data")
LIMIT = 200.0
"""Seconds."""


@pytest.mark.timeout(LIMIT + 40)
async def test_nothing_that_can_be_sent_breaks_what_is_promised(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    daemon.drop("echo", echo(deployment={"stop_grace": 1}))
    await daemon.settled("echo")
    command = ("run", f"{daemon.url}/openapi.json", "-H", f"Authorization: Bearer {daemon.admin_token}")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(DATA / "schemathesis.toml"), *command),
        cwd=daemon.folder,
        env=daemon.environ | {"PYTHONPATH": str(DATA)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), LIMIT)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    told = "\n".join(line[:400] for line in out.decode("utf-8", "replace").splitlines())
    assert process.returncode == 0, told[-20_000:]
    assert not [line for line in daemon.logged() if line.get("event") == "request failed"], "no unexpected error"
    assert (await daemon.client.status()).observed_ok
