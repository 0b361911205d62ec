"""Clients that never retry: a steady load on keep-alive connections in which every failure is seen."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import Counter
from types import TracebackType
from urllib.parse import urlsplit

from harness import until


class Load:
    """`rate` requests a second over `connections`, each open as long as the server lets it.

    A connection that the server closed between two requests, or said it would close, is opened anew; anything that
    goes wrong with a request that was sent is a failure, and so is another status than 200.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        rate: float = 200.0,
        connections: int = 20,
        body: bytes = b"",
        timeout: float = 10.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        lines = [f"{'POST' if body else 'GET'} {parts.path or '/'} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Content-Length: {len(body)}"] if body else []
        self._request = "\r\n".join([*lines, "", ""]).encode() + body
        self._tls = tls
        self._gap, self._count, self._timeout = connections / rate, connections, timeout
        self._tasks: list[asyncio.Task[None]] = []
        self._ending = False
        self.answered = 0
        self.opened = 0
        self.failures: list[tuple[float, str]] = []
        self.slowest = 0.0
        self.routings: Counter[str] = Counter()
        """Routing id to answers, where the echo server answers."""

    async def __aenter__(self) -> Load:
        self._began = time.monotonic()
        self._tasks = [asyncio.create_task(self._client(i), name=f"load:{i}") for i in range(self._count)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Requests that are under way are awaited: they count."""
        self._ending = True
        await asyncio.gather(*self._tasks)

    def __str__(self) -> str:
        first = "; ".join(f"{at:.3f} s: {text}" for at, text in self.failures[:5])
        return f"{self.answered} answered, {len(self.failures)} failed, slowest {self.slowest:.3f} s; {first}"

    async def reaches(self, count: int) -> None:
        """Go on until `count` requests were answered, or one failed: a faster machine asks no fewer."""
        await until(lambda: self.answered >= count or self.failures, 30)

    async def _client(self, number: int) -> None:
        due = self._began + self._gap * number / self._count
        stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        while not self._ending:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            due = max(due + self._gap, time.monotonic() - 1.0)
            if stream is not None and stream[0].at_eof():
                stream[1].close()
                stream = None
            sent = time.monotonic()
            try:
                async with asyncio.timeout(self._timeout):
                    if stream is None:
                        self.opened += 1
                        stream = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
                    goes_on = await self._ask(*stream)
            except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
                self.failures.append((sent - self._began, f"{type(error).__name__}: {error}"))
                goes_on = False
            self.slowest = max(self.slowest, time.monotonic() - sent)
            if not goes_on and stream is not None:
                stream[1].close()
                stream = None
        if stream is not None:
            stream[1].close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection may be used again."""
        writer.write(self._request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        status = head.split(" ", 2)[1]
        if status != "200":
            raise ValueError(f"status {status}: {body[:300].decode('utf-8', 'replace')}")
        self.answered += 1
        if body.startswith(b"{"):
            self.routings[json.loads(body).get("routing", "")] += 1
        return fields.get("connection", "") != "close"
