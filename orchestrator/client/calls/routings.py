"""Routings, and what goes into and out of one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable

import aiohttp

from orchestrator.client.connection import STREAM, Connection, flag, path_of, read
from orchestrator.client.inside import RemoteExecution
from orchestrator.core.inside_views import CopiedView
from orchestrator.core.ports import Invocation
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.views import RoutingView, ServiceView

_ARCHIVE = aiohttp.ClientTimeout(total=None, connect=5)
"""An answer comes once all was sent."""
_TAR = {"Content-Type": "application/x-tar"}


class RoutingCalls(Connection):
    async def routings(self, service: str | None = None) -> tuple[RoutingView, ...]:
        return await self._many("GET", "/v1/routings", RoutingView, query={"service": service})

    async def remove_routing(self, routing_id: str, *, replaced: bool = False) -> ServiceView:
        """`replaced` False: the desired count is one less from then on."""
        path, query = path_of("/v1/routings", routing_id), {"replace": flag(replaced)}
        return await self._one("DELETE", path, ServiceView, query=query)

    async def set_ratio(self, routing_id: str, ratio: float) -> RoutingView:
        body = RatioRequest(traffic_ratio=ratio)
        return await self._one("PUT", path_of("/v1/routings", routing_id), RoutingView, body=body)

    async def execute(self, routing_id: str, asked: Invocation) -> RemoteExecution:
        """A command in a routing; whoever got it closes it."""
        query: list[tuple[str, str]] = [("cmd", word) for word in asked.argv]
        query += [("env", f"{key}={value}") for key, value in asked.environ.items()]
        query += [("columns", str(asked.size[0])), ("rows", str(asked.size[1]))]
        given = {"tty": flag(asked.tty), "stdin": flag(asked.stdin), "user": asked.user, "folder": asked.folder}
        query += [(name, value) for name, value in given.items() if value]
        return RemoteExecution(await self._socket(path_of("/v1/routings", routing_id) + "/exec", query))

    async def archive(self, routing_id: str, path: str = ".") -> AsyncGenerator[bytes, None]:
        """A tar of the file or folder at `path`, as the routing sees it. Raises `Unavailable` where it is cut off."""
        where = path_of("/v1/routings", routing_id) + "/files"
        async with self._answer("GET", where, query={"path": path}, timeout=STREAM) as response:
            async for data in response.content.iter_any():
                yield data

    async def unpack(
        self, routing_id: str, archive: AsyncIterable[bytes], path: str = ".", *, into: bool = False
    ) -> CopiedView:
        """A tar into the folder `path`; where `path` is none (and not `into`), its one root becomes `path`."""
        where, query = path_of("/v1/routings", routing_id) + "/files", {"path": path, "into": flag(into)}
        async with self._answer("PUT", where, query=query, timeout=_ARCHIVE, headers=_TAR, data=archive) as response:
            return read(CopiedView, await response.read())
