"""Tries: a definition run once, for real."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from orchestrator.client.connection import Connection, path_of, read
from orchestrator.core.daemon_views import TryEvent, TryRequest, TryView


class TryCalls(Connection):
    async def try_run(self, request: TryRequest) -> AsyncGenerator[TryEvent, None]:
        async for line in self._lines("POST", "/v1/try", body=request):
            yield read(TryEvent, line)

    async def try_begin(self, request: TryRequest) -> TryView:
        """In the background: it goes on without this client."""
        return await self._one("POST", "/v1/tries", TryView, body=request)

    async def tries(self) -> tuple[TryView, ...]:
        """Newest first, without their events."""
        return await self._many("GET", "/v1/tries", TryView)

    async def try_view(self, ident: str) -> TryView:
        return await self._one("GET", path_of("/v1/tries", ident), TryView)

    async def try_events(self, ident: str, *, after: int = 0) -> AsyncGenerator[TryEvent, None]:
        """Those whose seq is above `after`, to the end of the try."""
        async for event in self._server_sent(path_of("/v1/tries", ident) + "/events", TryEvent, last=str(after)):
            yield event

    async def try_cancel(self, ident: str) -> TryView:
        """Returns when nothing of it is left."""
        return await self._one("DELETE", path_of("/v1/tries", ident), TryView)
