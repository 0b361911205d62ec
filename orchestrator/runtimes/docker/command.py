"""One command inside a running container (exec): separate streams, bounded memory, a time limit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence

import docker

from orchestrator.core.errors import RuntimeFailure, Unavailable
from orchestrator.core.ports import CommandResult, CommandTimeout
from orchestrator.runtimes.docker.client import Body, Engine, frames, opened
from orchestrator.runtimes.docker.errors import explained, plain
from orchestrator.runtimes.docker.stream import Pump

OUTPUT_LIMIT = 64 * 1024
"""Bytes of each stream that are kept: the last ones."""
LEFTOVER_OUTPUT = 0.5
"""Seconds between looks whether a silent command has ended: what it left in the background may hold its output open."""
CANNOT = (126, 127)
LAST_STEP = re.compile(r"exec /\S+: (argument list too long|exec format error|permission denied)\n")
Chunk = tuple[int, bytes]
"""Stream number (1 out, 2 err) and bytes."""


class Tails:
    """The last `OUTPUT_LIMIT` bytes of out and err."""

    def __init__(self) -> None:
        self._out, self._err = bytearray(), bytearray()

    def add(self, chunk: Chunk) -> None:
        number, data = chunk
        kept = self._err if number == 2 else self._out
        kept += data
        del kept[:-OUTPUT_LIMIT]

    def texts(self) -> tuple[str, str]:
        return self._out.decode("utf-8", "replace"), self._err.decode("utf-8", "replace")


async def execute(
    engine: Engine, container: str, argv: Sequence[str], *, timeout: float, folder: str, user: str = ""
) -> CommandResult:
    """Raises `RuntimeFailure` where it cannot be executed, and CommandTimeout after `timeout` seconds: then it still
    runs, and is the caller's to end."""
    doing = f"execute {argv[0]}"
    made = await engine.call(doing, lambda api: api.exec_create(container, list(argv), workdir=folder, user=user))
    tails = Tails()
    pump = engine.pump(doing, lambda api: _output(api, made["Id"]))
    try:
        async with asyncio.timeout(timeout):
            await _collect(engine, made["Id"], pump, tails)
            code = await exit_code(engine, made["Id"], doing)
    except TimeoutError:
        raise CommandTimeout(*tails.texts()) from None
    finally:
        await engine.release(pump)
    out, err = tails.texts()
    if reason := _not_executed(out, err, code):
        raise explained(reason, doing) or RuntimeFailure(f"cannot {doing}: {reason}", code="start_failed")
    return CommandResult(out, err, code)


def _not_executed(out: str, err: str, code: int) -> str:
    """Why there never was a command; empty: there was. The engine says it in the command's own output."""
    if code in CANNOT and out.startswith("OCI runtime exec failed"):
        return plain(out)
    return err.strip() if code == 1 and not out and LAST_STEP.fullmatch(err) else ""


def _output(api: docker.APIClient, exec_id: str) -> Body[Chunk]:
    body = {"Detach": False, "Tty": False}
    return Body(opened(api, "POST", f"/exec/{exec_id}/start", json=body), frames)


async def _collect(engine: Engine, exec_id: str, pump: Pump[Chunk], tails: Tails) -> None:
    """Until the output ends, or the command has while something else holds its output open."""
    began = time.monotonic()
    batch = asyncio.ensure_future(pump.batch())
    try:
        while True:
            await asyncio.wait({batch}, timeout=LEFTOVER_OUTPUT)
            if not batch.done():
                if time.monotonic() - began > LEFTOVER_OUTPUT and not await running(engine, exec_id):
                    return
                continue
            chunks = batch.result()
            if not chunks:
                return
            for chunk in chunks:
                tails.add(chunk)
            batch = asyncio.ensure_future(pump.batch())
    finally:
        batch.cancel()


async def running(engine: Engine, exec_id: str) -> bool:
    facts = await engine.call("look at a command", lambda api: api.exec_inspect(exec_id))
    return bool(facts["Running"])


async def exit_code(engine: Engine, exec_id: str, doing: str) -> int:
    """The output may end a moment before the engine knows the code."""
    for _ in range(200):
        facts = await engine.call(doing, lambda api: api.exec_inspect(exec_id))
        if not facts["Running"] and facts["ExitCode"] is not None:
            return int(facts["ExitCode"])
        await asyncio.sleep(0.01)
    raise Unavailable(f"cannot {doing}: the engine does not tell how it ended", code="engine_unavailable")
