"""Two clients of one service: one as fast as it goes (wrk), one at a fixed pace that counts each request from the
moment at which it was due, so that a wait is seen by all who had to wait. Neither retries."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from benchmarks.lib import quantile

CONNECTIONS = 16
"""Of the one that is as fast as it goes."""
LIMIT = 30.0
"""Seconds for an answer."""
Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Answers:
    """What a run saw. `took`: seconds of each request that was answered with 200; `failed`: why the others were not."""

    took: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.took) + len(self.failed)

    def quantile(self, share: float) -> float:
        return quantile(self.took, share)


class Paced:
    """`rate` requests a second on kept connections, as many of them as it takes."""

    def __init__(self, url: str, authorization: str, rate: float) -> None:
        parts = urlsplit(url)
        self._at = (parts.hostname, parts.port)
        lines = [f"GET {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Authorization: {authorization}", "", ""]
        self._request = "\r\n".join(lines).encode()
        self._gap = 1 / rate
        self._idle: list[Stream] = []

    async def run(self, seconds: float) -> Answers:
        """All requests that are due within `seconds`, to their answers."""
        seen, began = Answers(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(seconds / self._gap)):
                due = began + number * self._gap
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._once(due, seen))
        while self._idle:
            self._idle.pop()[1].close()
        return seen

    async def _once(self, due: float, seen: Answers) -> None:
        stream = self._kept()
        try:
            async with asyncio.timeout(LIMIT):
                stream = stream or await asyncio.open_connection(*self._at)
                goes_on = await self._ask(*stream)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            seen.failed.append(f"{type(error).__name__}: {error}")
            goes_on = False
        else:
            seen.took.append(time.perf_counter() - due)
        if goes_on and stream:
            self._idle.append(stream)
        elif stream:
            stream[1].close()

    def _kept(self) -> Stream | None:
        """A connection that the server has not closed meanwhile."""
        while self._idle:
            stream = self._idle.pop()
            if not stream[0].at_eof():
                return stream
            stream[1].close()
        return None

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection may be used again. Raises `ValueError` for another status than 200."""
        writer.write(self._request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        if head.split(" ", 2)[1] != "200":
            raise ValueError(f"status {head.split(' ', 2)[1]}: {body[:200].decode('utf-8', 'replace')}")
        return fields.get("connection", "") != "close"


async def flat_out(url: str, authorization: str, seconds: int) -> tuple[float, int]:
    """Answers with 200 a second, and requests that failed."""
    options = ["-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", f"{LIMIT:.0f}s"]
    argv: Sequence[str] = ["wrk", *options, "-H", f"Authorization: {authorization}", url]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    out = (await process.communicate())[0].decode()
    asked = re.search(r"(\d+) requests in ([0-9.]+)s", out)
    assert asked, out
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    bad = int(refused[1]) if refused else 0
    return (int(asked[1]) - bad) / float(asked[2]), bad + sum(map(int, broken.groups() if broken else ()))
