"""What is asked of the endpoints: rates, usage, access."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from orchestrator.client.connection import Connection, flag, path_of, read
from orchestrator.core.traffic_views import AccessEntry, SeriesView, TopView, UsageView


class TrafficCalls(Connection):
    async def top(self) -> tuple[TopView, ...]:
        """Every service, by name."""
        return await self._many("GET", "/v1/top", TopView)

    async def series(self, service: str | None = None, *, window: float = 3600) -> SeriesView:
        """`service` None: all together; `window`: seconds back from now."""
        return await self._one("GET", "/v1/series", SeriesView, query={"service": service, "window": window})

    async def usage(
        self, *, service: str | None = None, token: str | None = None, days: int = 30
    ) -> tuple[UsageView, ...]:
        """`token`: an id or a name; `days` back from now, today included."""
        query = {"service": service, "token": token, "days": days}
        return await self._many("GET", "/v1/usage", UsageView, query=query)

    async def access(self, ref: str, *, tail: int = 100, follow: bool = False) -> AsyncGenerator[AccessEntry, None]:
        """The last `tail` requests of a service, then with `follow` those that end."""
        path, query = path_of("/v1/access", ref), {"tail": tail, "follow": flag(follow)}
        if not follow:
            for entry in await self._many("GET", path, AccessEntry, query=query):
                yield entry
            return
        async for line in self._lines("GET", path, query=query):
            yield read(AccessEntry, line)
