"""Open streams and WebSockets, renewed as they end, and how each of them ended: by itself, or cut."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp

PIECE = 0.2
"""Seconds between two pieces of a stream, and two messages of a WebSocket."""
ENDLESS = 100_000


@dataclass(frozen=True, slots=True)
class Cut:
    """A stream that did not come to its own end. Wall seconds; `routing` is empty where it had not begun."""

    kind: str
    routing: str
    began: float
    ended: float
    why: str


class Streams:
    """`count` at a time, of which every fifth is a WebSocket, and every fifth has no end of its own.

    The model says which routing it is by the header X-Routing. Each has a connection of its own and is not repeated.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, count: int = 50, pieces: int = 4) -> None:
        self._url, self._headers, self._count, self._pieces = url, headers, count, pieces
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = asyncio.Event()
        self.ended = 0
        """By themselves, with all that they had to say."""
        self.open = 0
        self.cuts: list[Cut] = []

    async def __aenter__(self) -> Streams:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        self._session = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=aiohttp.ClientTimeout()
        )
        self._tasks = [asyncio.create_task(self._client(i), name=f"stream:{i}") for i in range(self._count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Those that have an end are awaited: they count."""
        self._ending.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    async def _client(self, number: int) -> None:
        websocket, endless = number % 5 == 0, number % 10 in (0, 1)
        pieces = ENDLESS if endless else self._pieces - number % 3
        one = self._websocket if websocket else self._stream
        while not self._ending.is_set():
            began, told = time.time(), {"routing": ""}
            try:
                self.open += 1
                await one(pieces, told)
            except (aiohttp.ClientError, OSError, EOFError, ValueError) as error:
                what = f"{'endless ' * endless}{'WebSocket' if websocket else 'stream'}"
                self.cuts.append(Cut(what, told["routing"], began, time.time(), f"{type(error).__name__}: {error}"))
            else:
                self.ended += 1
            finally:
                self.open -= 1

    async def _stream(self, pieces: int, told: dict[str, str]) -> None:
        async with self._session.get(f"{self._url}stream?n={pieces}&delay={PIECE}") as answer:
            told["routing"] = answer.headers.get("X-Routing", "")
            if answer.status != 200:
                raise ValueError(f"status {answer.status}: {await answer.text()}")
            count = 0
            while line := await answer.content.readline():
                count += line.startswith(b"data")
                if pieces == ENDLESS and self._ending.is_set():
                    return
            if count != pieces:
                raise EOFError(f"{count} of {pieces} pieces")

    async def _websocket(self, pieces: int, told: dict[str, str]) -> None:
        async with self._session.ws_connect(f"{self._url}ws") as socket:
            told["routing"] = socket._response.headers.get("X-Routing", "")
            for number in range(pieces):
                await socket.send_str(str(number))
                back = await socket.receive()
                if back.data != str(number):
                    raise EOFError(f"cut after {number} of {pieces} messages: {back.type.name}")
                if pieces == ENDLESS and self._ending.is_set():
                    return
                await asyncio.sleep(PIECE)
