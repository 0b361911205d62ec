"""The connection of a command in a container (exec): one thread reads what it writes, another writes what it reads."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Chunk
from orchestrator.runtimes.docker.client import opened

PIECE = 64 * 1024
UPGRADE = {"Connection": "Upgrade", "Upgrade": "tcp"}


class Hijacked:
    """A source (see `Pump`) of (stream, bytes). Opened by `start`; closed by another thread."""

    def __init__(self, response: Any, tty: bool) -> None:
        self._response = response
        self._tty = tty
        self._file = response.raw._fp.fp
        self.socket: socket.socket = self._file.raw._sock
        self.socket.settimeout(None)

    def __iter__(self) -> Iterator[Chunk]:
        with self._response:
            if self._tty:
                while data := self._file.read1(PIECE):
                    yield "out", data
                return
            while len(header := self._file.read(8)) == 8:
                number, left = struct.unpack(">BxxxL", header)
                while left and (data := self._file.read1(min(left, PIECE))):
                    left -= len(data)
                    yield ("err" if number == 2 else "out"), data

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)


def start(api: docker.APIClient, exec_id: str, *, tty: bool) -> Hijacked:
    """Begin the command. Raises docker's errors."""
    body = {"Detach": False, "Tty": tty}
    response = opened(api, "POST", f"/exec/{exec_id}/start", json=body, headers=UPGRADE)
    try:
        return Hijacked(response, tty)
    except AttributeError:
        response.close()
        hint = "reach the engine by its socket, or by tcp"
        text = "cannot run a command: this kind of connection to the engine carries no input"
        raise RuntimeFailure(text, hint=hint, code="unsupported") from None


class Sender:
    """Writes to a socket without ever holding up the event loop; a command that reads nothing holds up its caller."""

    def __init__(self, to: socket.socket, name: str) -> None:
        self._socket = to
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._orders: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=name, daemon=True).start()

    async def send(self, data: bytes) -> None:
        """Empty: the end of the input. Raises nothing: whoever does not read any more has ended."""
        if self._closed:
            return
        done: asyncio.Future[None] = self._loop.create_future()
        self._orders.put((data, done))
        await done

    def close(self) -> None:
        """A send that is under way ends once the socket is shut down."""
        self._closed = True
        self._orders.put(None)

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            data, done = order
            with contextlib.suppress(OSError):
                if data:
                    self._socket.sendall(data)
                else:
                    self._socket.shutdown(socket.SHUT_WR)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(_settle, done)


def _settle(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
