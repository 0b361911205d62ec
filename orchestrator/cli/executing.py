"""`exec`: a command in a routing, with this terminal as its own, and its exit code as ours."""

from __future__ import annotations

import asyncio
import os
import queue
import shutil
import signal
import sys
import termios
import threading
import tty as terminal_modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from orchestrator.cli.common import CANNOT_EXECUTE, INTERRUPTED, NO_COMMAND, Common, connect, pairs
from orchestrator.cli.completion import targets
from orchestrator.cli.output import print_error
from orchestrator.cli.targets import Passing, routing_of
from orchestrator.core.errors import InvalidInput, RuntimeFailure

if TYPE_CHECKING:
    from orchestrator.client.inside import RemoteExecution
    from orchestrator.core.ports import Invocation

_PIECE = 64 * 1024
AHEAD = 32 << 20
"""Bytes that are kept for whoever reads us."""
CODES = {"command_not_found": NO_COMMAND, "permission": CANNOT_EXECUTE, "exec_format": CANNOT_EXECUTE}


def execute(
    common: Common,
    ref: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE|ROUTING", help="Name or id of a service, or id of a routing.", autocompletion=targets
        ),
    ],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[--] CMD [ARG]…", help="Default: /bin/sh, on a terminal.")
    ] = None,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Pass the standard input on.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="On a terminal: this one.")] = False,
    user: Annotated[str, typer.Option("--user", "-u", metavar="USER[:GROUP]", help="Default: the routing's own.")] = "",
    workdir: Annotated[
        str, typer.Option("--workdir", "-w", metavar="DIR", help="Where it runs; default: the routing's own.")
    ] = "",
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE", help="Repeatable.")] = None,
) -> None:
    """Run a command inside a routing, beside what it runs: in its environment and its folder.

    Of a service, the routing that has served longest. Without a command: a shell. Standard output and error stay
    apart, but on a terminal (-t), where Ctrl-C and the window's size go to the command. It ends with this.

    Exit codes: the command's own; 126 it cannot be executed, 127 it is not there, 130 interrupted; of orchestrator
    itself 1, 2 and 7.

    Examples:
      orchestrator exec my-model
      orchestrator exec my-model -- nvidia-smi
      orchestrator exec -it -u root 3f9c2a41be07 -- bash
      tar c data | orchestrator exec -i my-model -- tar x -C /home/work
    """
    from orchestrator.core.inside_views import SHELL
    from orchestrator.core.ports import Invocation

    if not command and sys.stdin.isatty() and sys.stdout.isatty():
        interactive = tty = True
    if tty and not (sys.stdin.isatty() and sys.stdout.isatty()):
        text = "cannot run it on a terminal: input or output is none"
        raise InvalidInput(text, hint="leave -t out; -i alone passes the input on")
    argv, environ = tuple(command or SHELL), pairs(env or (), "--env")
    asked = Invocation(argv, tty, interactive, user, workdir, environ, _size())
    try:
        code = asyncio.run(_run(common, ref, asked))
    except RuntimeFailure as error:
        if error.code not in CODES:
            raise
        print_error(error)
        code = CODES[error.code]
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = INTERRUPTED
    raise typer.Exit(code)


execute.command_class = Passing  # type: ignore[attr-defined]


async def _run(common: Common, ref: str, asked: Invocation) -> int:
    async with connect(common) as client:
        execution = await client.execute(await routing_of(client, ref), asked)
        async with execution:
            with _ended_by_signals(), raw(asked.tty), _sized(execution, asked.tty):
                if asked.stdin:
                    _feed(execution)
                return await _show(execution)


async def _show(execution: RemoteExecution) -> int:
    written = Written()
    try:
        async for stream, data in execution.output():
            await written.put(sys.stderr if stream == "err" else sys.stdout, data)
    finally:
        await written.done()
    return await execution.wait()


class Written:
    """Writes in a thread of its own: whoever reads us may pause (a pager), while the daemon is answered that we are
    still there."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[TextIO, bytes] | None] = queue.SimpleQueue()
        self._kept = 0
        self._room, self._over = asyncio.Event(), asyncio.Event()
        self._error: OSError | None = None
        threading.Thread(target=self._work, name="exec output", daemon=True).start()

    async def put(self, stream: TextIO, data: bytes) -> None:
        """Raises OSError where nobody reads any more."""
        while self._kept > AHEAD and not self._over.is_set():
            self._room.clear()
            await self._room.wait()
        if self._error is not None:
            raise self._error
        self._kept += len(data)
        self._queue.put((stream, data))

    async def done(self) -> None:
        """Once all is written. Raises as `put` does."""
        self._queue.put(None)
        await self._over.wait()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        error: OSError | None = None
        try:
            while (item := self._queue.get()) is not None:
                write(*item)
                self._loop.call_soon_threadsafe(self._written, len(item[1]))
        except OSError as found:
            error = found
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._ended, error)

    def _written(self, count: int) -> None:
        self._kept -= count
        self._room.set()

    def _ended(self, error: OSError | None) -> None:
        self._error = error
        self._over.set()
        self._room.set()


def write(stream: TextIO, data: bytes) -> None:
    """As it is: it is the command's, and need be no text."""
    stream.buffer.write(data)
    stream.buffer.flush()


def _feed(execution: RemoteExecution) -> None:
    """A thread of its own, that dies with us: a read of a terminal cannot be taken back."""
    loop = asyncio.get_running_loop()

    def work() -> None:
        with suppress(OSError, RuntimeError):  # the input is none, or all is over
            while data := os.read(sys.stdin.fileno(), _PIECE):
                asyncio.run_coroutine_threadsafe(execution.write(data), loop).result()
            asyncio.run_coroutine_threadsafe(execution.write(b""), loop).result()

    threading.Thread(target=work, name="exec input", daemon=True).start()


@contextmanager
def raw(wanted: bool) -> Iterator[None]:
    """Every key goes to the command; the terminal is as it was afterwards, however this ends."""
    if not wanted:
        yield
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        terminal_modes.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP close what is open here, as Ctrl-C does."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)


@contextmanager
def _sized(execution: RemoteExecution, wanted: bool) -> Iterator[None]:
    """The command's terminal follows ours."""
    tasks: set[asyncio.Task[None]] = set()
    loop = asyncio.get_running_loop()

    def changed() -> None:
        task = asyncio.ensure_future(execution.resize(*_size()))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        if wanted:
            loop.add_signal_handler(signal.SIGWINCH, changed)
        yield
    finally:
        if wanted:
            loop.remove_signal_handler(signal.SIGWINCH)


def _size() -> tuple[int, int]:
    found = shutil.get_terminal_size()
    return max(1, found.columns), max(1, found.lines)
