"""The daemon itself: how it is, who asks, what happened, its log."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from orchestrator.client.connection import Connection
from orchestrator.core.access_views import AuditView, ConfigView, WhoamiView
from orchestrator.core.daemon_views import CheckView, DocumentView, StatusView
from orchestrator.core.traffic_views import LogLevel, LogLevelRequest, LogLevelView
from orchestrator.core.views import EventView


class DaemonCalls(Connection):
    async def status(self) -> StatusView:
        return await self._one("GET", "/v1/status", StatusView)

    async def alive(self) -> None:
        """The daemon's process is up; see `ready`."""
        await self.ask("GET", "/healthz")

    async def document(self) -> DocumentView:
        """The API as the daemon describes it."""
        return await self._one("GET", "/openapi.json", DocumentView)

    async def ready(self) -> None:
        """Raises `Unavailable` while the daemon is not."""
        await self.ask("GET", "/readyz")

    async def metrics(self) -> bytes:
        return await self.ask("GET", "/metrics")

    async def doctor(self) -> tuple[CheckView, ...]:
        return await self._many("GET", "/v1/doctor", CheckView)

    async def whoami(self) -> WhoamiView:
        return await self._one("GET", "/v1/whoami", WhoamiView)

    async def config(self) -> ConfigView:
        return await self._one("GET", "/v1/config", ConfigView)

    async def audit(self, *, after: int = 0, service: str | None = None, limit: int = 100) -> tuple[AuditView, ...]:
        """Who changed what through the API; the newest last."""
        query = {"after": after, "service": service, "limit": limit}
        return await self._many("GET", "/v1/audit", AuditView, query=query)

    async def events(self, *, after: int = 0, service: str | None = None, limit: int = 100) -> tuple[EventView, ...]:
        query = {"after": after, "service": service, "limit": limit}
        return await self._many("GET", "/v1/events", EventView, query=query)

    async def follow_events(
        self, *, after: int = 0, service: str | None = None, limit: int = 100
    ) -> AsyncGenerator[EventView, None]:
        query = {"after": after, "service": service, "limit": limit, "follow": "true"}
        async for event in self._server_sent("/v1/events", EventView, query=query):
            yield event

    async def log_level(self) -> LogLevelView:
        return await self._one("GET", "/v1/log", LogLevelView)

    async def set_log_level(self, level: LogLevel) -> LogLevelView:
        return await self._one("PUT", "/v1/log", LogLevelView, body=LogLevelRequest(level=level))
