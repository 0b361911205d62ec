"""HAProxy's own metrics, asked of the worker that takes connections. A worker that was replaced took its to the grave,
so its counters begin anew with each reload, as Prometheus expects of a restarted process."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from orchestrator.core.errors import Unavailable

LIMIT = 3.0
MOST = 8 << 20
"""Bytes of an answer."""
_REQUEST = b"GET /metrics?scope=global&scope=frontend&scope=backend HTTP/1.0\r\n\r\n"
"""Not those of servers: they come and go with routings, which are counted by the daemon."""


async def exported(path: Path) -> bytes:
    """Prometheus text; empty where this HAProxy has no exporter. Raises `Unavailable`."""
    try:
        async with asyncio.timeout(LIMIT):
            return await _ask(path)
    except FileNotFoundError:
        return b""
    except OSError as error:  # a time limit is one too
        raise Unavailable(f"cannot read the gateway's metrics: {error.strerror or 'no answer in time'}") from error


async def _ask(path: Path) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path, limit=MOST)
    try:
        writer.write(_REQUEST)
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return body if b" 200 " in head.partition(b"\r\n")[0] else b""
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
