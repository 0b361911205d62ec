"""The master process's command socket: the one way to it and to all its workers. Every call has a time limit."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import Unavailable

LIMIT = 5.0
"""Seconds for an answer; a reload may take longer."""
SOON = 0.5
"""Seconds after which it is asked whether that worker still lives."""
RELOAD_LIMIT = 30.0
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)
BATCH = 500
"""Commands on one connection."""


class Down(Unavailable):
    """Nobody listens on the socket: the process is gone, and with it all its workers."""


class Unasked(Unavailable):
    """It could not be asked, for want of something here: that says nothing of it."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Ids of processes; `old` workers only finish what they have. `reloads` of this master so far."""

    master: int
    worker: int | None
    old: tuple[int, ...]
    reloads: int
    version: str

    @property
    def workers(self) -> tuple[int, ...]:
        return (*((self.worker,) if self.worker is not None else ()), *self.old)


class Master:
    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def processes(self) -> Processes:
        """Raises `Down` or `Unavailable`."""
        found = _processes(await self._ask("show proc", LIMIT))
        if found is None:
            raise Unavailable("cannot read what the gateway says of its processes")
        return found

    async def reload(self) -> str:
        """Empty when it succeeded, else why not; the old worker goes on then."""
        answer = await self._ask("reload", RELOAD_LIMIT)
        if answer.startswith("Success=1"):
            return ""
        alerts = [line.partition(" : ")[2] for line in answer.splitlines() if line.startswith("[ALERT]")]
        return "; ".join(alerts[:3]) or "it gave no reason"

    async def tell(self, worker: int, commands: Sequence[str]) -> None:
        """Give commands to a worker, in order. What came of them is seen by asking what it has now."""
        for start in range(0, len(commands), BATCH):
            batch = commands[start : start + BATCH]
            await self._ask("\n".join(f"@!{worker} {command}" for command in batch), LIMIT)

    async def ask(self, worker: int, command: str) -> str:
        """A worker's whole answer to a question."""
        return await self._ask(f"@!{worker} {command}", LIMIT)

    async def ask_all(self, command: str) -> dict[int, str]:
        """Every worker's answer. One that ends meanwhile would leave the question open for ever: it has none."""
        answers: dict[int, str] = {}
        for worker in (await self.processes()).workers:
            try:
                answers[worker] = await self._ask(f"@!{worker} {command}", SOON)
            except Unavailable:
                if worker in (await self.processes()).workers:
                    answers[worker] = await self.ask(worker, command)
        return answers

    async def _ask(self, text: str, limit: float) -> str:
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(text)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise Down("cannot reach the gateway: HAProxy does not run") from error
        except TimeoutError as error:
            raise Unavailable(f"cannot reach the gateway: HAProxy did not answer within {limit:g} s") from error
        except OSError as error:
            kind = Unasked if error.errno in _OURS else Unavailable
            raise kind(f"cannot reach the gateway: {error.strerror or error}") from error

    async def _exchange(self, text: str) -> str:
        reader, writer = await asyncio.open_unix_connection(self._socket)
        try:
            writer.write(text.encode() + b"\n")
            writer.write_eof()
            answer = await reader.read()  # while it is read, the rest of a long text is written
            return answer.decode(errors="replace")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _processes(answer: str) -> Processes | None:
    master: list[str] = []
    workers: dict[str, list[int]] = {"# workers": [], "# old workers": []}
    heading = ""
    for line in answer.splitlines():
        row = line.split()
        if line.startswith("#"):
            heading = line.strip()
        elif len(row) > 3 and row[1] == "master":
            master = row
        elif len(row) > 3 and row[1] == "worker" and heading in workers:
            workers[heading].append(int(row[0]))
    if not master:
        return None
    current = workers["# workers"][-1] if workers["# workers"] else None
    return Processes(int(master[0]), current, tuple(workers["# old workers"]), int(master[2]), master[-1])
