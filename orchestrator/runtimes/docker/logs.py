"""A container's log, line by line, in bounded memory however much it writes."""

from __future__ import annotations

import calendar
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import docker

from orchestrator.core.ports import LogLine
from orchestrator.runtimes.docker.client import Body, Engine, frames, opened

LINE_LIMIT = 16 * 1024


async def lines(
    engine: Engine, container: str, *, follow: bool, tail: int | None, since: float | None
) -> AsyncGenerator[LogLine]:
    def source(api: docker.APIClient) -> Body[tuple[int, bytes]]:
        params = {
            "stdout": 1,
            "stderr": 1,
            "timestamps": 1,
            "follow": int(follow),
            "tail": "all" if tail is None else max(tail, 0),
            "since": f"{since:.9f}" if since is not None else 0,
        }
        return Body(opened(api, "GET", f"/containers/{container}/logs", params=params), frames)

    async with aclosing(engine.stream("read the log", source)) as batches:
        async for batch in batches:
            for number, payload in batch:
                yield parse(number, payload)


def parse(number: int, payload: bytes) -> LogLine:
    """One frame is one line, or a part of one that is longer than 16 KiB."""
    stamp, _, text = payload.partition(b" ")
    text = text.removesuffix(b"\n").removesuffix(b"\r")[:LINE_LIMIT]
    return LogLine(
        seconds(stamp.decode("ascii", "replace")), "err" if number == 2 else "out", text.decode("utf-8", "replace")
    )


def seconds(stamp: str) -> float:
    """Wall seconds of the engine's RFC 3339 time in UTC, nanoseconds included."""
    whole, _, rest = stamp.partition(".")
    try:
        base = calendar.timegm(time.strptime(whole.rstrip("Z"), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0
    digits = rest.rstrip("Z")
    return base + (float(f"0.{digits}") if digits.isdigit() else 0.0)
