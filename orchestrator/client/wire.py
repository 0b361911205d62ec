"""Requests to `/services…`, with what is safe to send again sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

from orchestrator.client.client import Client
from orchestrator.core.errors import NotFound, Unavailable
from orchestrator.core.state import ServiceStatus

DELAYS = (0.2, 0.8)
"""Seconds before a request is sent again."""
_DONE = (ServiceStatus.HEALTHY, ServiceStatus.STOPPED)


class Wire:
    """Requests to `/services…`. Sent again are only those that never arrived, and reads that were cut off."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def ask(
        self, method: str, path: str, *, body: BaseModel | None = None, query: Mapping[str, object] | None = None
    ) -> Any:
        for delay in (*DELAYS, None):
            try:
                data = await self.client.ask(method, path, body=body, query=query)
                return TypeAdapter(Any).validate_json(data) if data else {}
            except Unavailable as error:
                again = error.code == "no_daemon" or (method == "GET" and error.code == "unavailable")
                if delay is None or not again:
                    raise
                await asyncio.sleep(delay)
        raise AssertionError

    async def wait(self, path: str, wanted: Literal["healthy", "gone"], seconds: float) -> bool:
        """Whether it came within `seconds`; a service that is STOPPED is not waited for."""
        try:
            async with asyncio.timeout(seconds):
                while (await self._status(path)) not in (_DONE if wanted == "healthy" else ("",)):  # noqa: ASYNC110
                    await asyncio.sleep(0.2)
        except TimeoutError:
            return False
        return True

    async def _status(self, path: str) -> str:
        """Empty: it is gone."""
        try:
            return str((await self.ask("GET", path))["status"])
        except NotFound:
            return ""
