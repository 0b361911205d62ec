"""What routings have answered, as HAProxy counted it. A worker takes its counters to the grave: while somebody counts,
one that is replaced is kept, by an idle connection, until its last answers were read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.routes import Traffic
from orchestrator.gateway.master import LIMIT, Master
from orchestrator.gateway.runtime import STATISTICS, of_routings, open_on

COUNTING = 60.0
"""Seconds since the last reading for which somebody is taken to count."""
SETTLED = 1.0
"""Seconds after which a replaced worker surely gives no more requests to routings."""
_ANSWERS = ("hrsp_1xx", "hrsp_5xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_other")
_COLUMNS = ("lbtot", "econ", "wredis", "eresp", "srv_abrt", "rtime", *_ANSWERS)


@dataclass(frozen=True, slots=True)
class _Kept:
    since: float
    connection: asyncio.StreamWriter


class Counting:
    def __init__(self, master: Master, onward: Path) -> None:
        self._master = master
        self._onward = onward
        self._read = -COUNTING
        self._kept: dict[int, _Kept] = {}

    async def read(self) -> dict[str, Mapping[str, Traffic]]:
        """By process id of a worker, and by routing."""
        self._read = time.monotonic()
        answers = await self._master.ask_all(STATISTICS)
        for worker, kept in list(self._kept.items()):
            done = kept.since < self._read - SETTLED and not open_on(answers.get(worker, "")).total()
            if done or worker not in answers:
                self.release(worker)
        return {str(worker): traffic(answer) for worker, answer in answers.items()}

    async def keep(self, worker: int) -> None:
        """This worker, which takes connections now, is about to be replaced. It ends the connection within a minute,
        whether or not it was read."""
        if self._read < time.monotonic() - COUNTING:
            return
        with suppress(OSError):  # a time limit is one too
            async with asyncio.timeout(LIMIT):
                _, connection = await asyncio.open_unix_connection(self._onward)
            connection.write(b"PROXY UNKNOWN\r\n")
            self._kept[worker] = _Kept(time.monotonic(), connection)

    def release(self, worker: int) -> None:
        if kept := self._kept.pop(worker, None):
            kept.connection.close()

    def close(self) -> None:
        for worker in list(self._kept):
            self.release(worker)


def traffic(answer: str) -> dict[str, Traffic]:
    """From `STATISTICS`, by routing."""
    return {routing: _traffic(*numbers) for routing, numbers in of_routings(answer, _COLUMNS)}


def _traffic(given: int, refused: int, elsewhere: int, lost: int, broken: int, mean: int, *answers: int) -> Traffic:
    """`given`: requests. One that got no answer is in `refused` (no connection) or `elsewhere` (another routing got it
    then), else in `lost`: twice where the connection broke before the first byte, and beside its answer where that was
    broken off. Hence the bounds. 1xx are counted for WebSockets; interim ones come with another answer, hence the
    bound again. `requests` only grows, `errors` may shrink by those that were running."""
    upgraded, failed, *good = answers
    bad = failed + refused + max(lost - broken, elsewhere)
    requests = min(upgraded + sum(good) + bad + broken, given)
    errors = min(bad, max(given - sum(good), 0)) + broken
    return Traffic(requests, min(errors, requests), mean / 1000)
