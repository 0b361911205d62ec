"""HAProxy's own metrics, asked of the worker that takes connections. A worker that was replaced took its to the grave,
so its counters begin anew with each reload, as Prometheus expects of a restarted process."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from orchestrator.core.errors import Unavailable

LIMIT = aiohttp.ClientTimeout(total=3.0)
ADDRESS = "http://gateway/metrics?scope=global&scope=frontend&scope=backend"
"""Not those of servers: they come and go with routings, which are counted by the daemon."""


async def exported(path: Path) -> bytes:
    """Prometheus text; empty where this HAProxy has no exporter. Raises `Unavailable`."""
    if not path.exists():
        return b""
    try:
        connector = aiohttp.UnixConnector(str(path))
        async with aiohttp.ClientSession(connector=connector, timeout=LIMIT) as session, session.get(ADDRESS) as answer:
            return await answer.read() if answer.status == 200 else b""
    except (aiohttp.ClientError, OSError) as error:  # a time limit is an OSError too
        raise Unavailable(f"cannot read the gateway's metrics: {error or 'no answer in time'}") from error
