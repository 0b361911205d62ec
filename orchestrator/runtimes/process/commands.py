"""A pre-start command as a local process tree: bounded output, a time limit, and nothing left of it when cut short."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import CommandResult, CommandTimeout
from orchestrator.runtimes.process.failures import on_disk, translated
from orchestrator.runtimes.process.processes import end_all
from orchestrator.runtimes.process.units import UnitFolder

OUTPUT_LIMIT = 64 * 1024
"""Bytes of each stream that are kept: the last ones."""
_LEFTOVER_OUTPUT = 0.5
"""Seconds that output is still awaited after the command's end: what it left in the background may hold the pipe."""


async def run_command(argv: list[str], folder: UnitFolder, environ: Mapping[str, str], timeout: float) -> CommandResult:
    """Raises `RuntimeFailure` where it cannot be executed, CommandTimeout after `timeout` seconds."""
    out, err = Tail(), Tail()
    async with AsyncExitStack() as pipes:
        ends = [await _pipe(tail, pipes) for tail in (out, err)]
        process = await _spawn(argv, folder, environ, ends)
        try:
            async with asyncio.timeout(timeout):
                code = await process.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEFTOVER_OUTPUT):
                    await out.ended.wait()
                    await err.ended.wait()
        except TimeoutError:
            raise CommandTimeout(out.text(), err.text()) from None
        finally:
            if process.returncode is None:
                await on_disk(f"end {argv[0]}", lambda: end_all(folder.path, {}))
                await process.wait()
    return CommandResult(out.text(), err.text(), code if code >= 0 else 128 - code)


class Tail(asyncio.Protocol):
    """The last `OUTPUT_LIMIT` bytes of a pipe, in bounded memory."""

    def __init__(self) -> None:
        self._kept = bytearray()
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self._kept += data
        del self._kept[:-OUTPUT_LIMIT]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended.set()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


async def _pipe(tail: Tail, pipes: AsyncExitStack) -> int:
    """What is written to the returned descriptor goes to `tail`. All is closed with `pipes`, before its task ends."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    file = os.fdopen(reading, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: tail, file)
    pipes.push_async_callback(tail.ended.wait)
    pipes.callback(transport.close)
    return writing


async def _spawn(
    argv: list[str], folder: UnitFolder, environ: Mapping[str, str], ends: list[int]
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            _find(argv[0], environ),
            *argv[1:],
            cwd=folder.home,
            env=dict(environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=ends[0],
            stderr=ends[1],
            start_new_session=True,
        )
    except FileNotFoundError:
        raise _not_found(argv[0]) from None
    except OSError as error:
        raise translated(error, f"execute {argv[0]}") from error
    finally:
        for descriptor in ends:
            os.close(descriptor)


def _find(name: str, environ: Mapping[str, str]) -> str:
    """As `execvpe` does, but with the routing's PATH rather than ours."""
    if "/" in name:
        return name
    places = [Path(place or ".") / name for place in environ.get("PATH", os.defpath).split(":")]
    found = [str(place) for place in places if place.is_file()]
    if not found:
        raise _not_found(name)
    return next((place for place in found if os.access(place, os.X_OK)), found[0])


def _not_found(name: str) -> RuntimeFailure:
    hint = "install it on this machine, or use the Docker runtime with an image that has it"
    return RuntimeFailure(f"cannot execute {name}: there is no such command", hint=hint, code="command_not_found")
