"""Services: list, look, start, modify, remove, explain, and their endpoints."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import get_args

import aiohttp
from pydantic import ValidationError

from orchestrator.client.connection import Connection, flag, path_of, read
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.errors import InvalidInput
from orchestrator.core.views import (
    ConfirmedView,
    ConfirmRequest,
    ExplainView,
    FailureView,
    HotField,
    LaunchRequest,
    LogEntry,
    ModifyRequest,
    ResetRequest,
    ScaleRequest,
    ServiceDetail,
    ServiceView,
)

_ENDPOINT = aiohttp.ClientTimeout(total=None, connect=5)
"""A model may think for as long as it likes."""


@dataclass(frozen=True, slots=True)
class EndpointAnswer:
    """What a service's endpoint answered; `headers` by their names in lower case, `body` as it comes."""

    status: int
    headers: Mapping[str, str]
    body: AsyncIterator[bytes]


class ServiceCalls(Connection):
    async def services(self) -> tuple[ServiceView, ...]:
        return await self._many("GET", "/v1/services", ServiceView)

    async def service(self, ref: str) -> ServiceDetail:
        return await self._one("GET", path_of("/v1/services", ref), ServiceDetail)

    async def start(self, request: LaunchRequest) -> ServiceView:
        return await self._one("POST", "/v1/services", ServiceView, body=request)

    async def remove(self, ref: str) -> None:
        await self.ask("DELETE", path_of("/v1/services", ref))

    async def scale(self, ref: str, count: int | None) -> ServiceView:
        """`count` None: back to what the file says."""
        path = path_of("/v1/services", ref) + "/scale"
        return await self._one("PUT", path, ServiceView, body=ScaleRequest(count=count))

    async def modify(self, ref: str, request: ModifyRequest) -> ServiceView:
        """Only what was given to `request` changes."""
        return await self._one("PATCH", path_of("/v1/services", ref), ServiceView, body=request)

    async def reset(self, ref: str, fields: Sequence[str] | None = None) -> ServiceView:
        """End overrides of these fields; None: of all."""
        try:
            body = ResetRequest.model_validate({"fields": fields})
        except ValidationError:
            hint = f"what can be overridden: {', '.join(get_args(HotField))}"
            raise InvalidInput(
                f"cannot reset {', '.join(fields or ())}: no such field is overridden", hint=hint
            ) from None
        return await self._one("POST", path_of("/v1/services", ref) + "/reset", ServiceView, body=body)

    async def sync(self, ref: str) -> ServiceView:
        """Its folder is read again, and the gateway told anew what serves."""
        return await self._one("POST", path_of("/v1/services", ref) + "/sync", ServiceView)

    async def retry(self, ref: str) -> ServiceView:
        return await self._one("POST", path_of("/v1/services", ref) + "/retry", ServiceView)

    async def confirm_removal(self, ref: str | None = None) -> tuple[str, ...]:
        body = ConfirmRequest(service=ref)
        return (await self._one("POST", "/v1/removals/confirm", ConfirmedView, body=body)).removed

    async def explain(self, ref: str) -> ExplainView:
        return await self._one("GET", path_of("/v1/services", ref) + "/explain", ExplainView)

    async def errors(self, ref: str) -> tuple[FailureView, ...]:
        """What failed since it was last cleared (`retry`), newest first."""
        return await self._many("GET", path_of("/v1/services", ref) + "/errors", FailureView)

    async def logs(
        self,
        ref: str,
        *,
        follow: bool = False,
        tail: int | None = None,
        since: float | None = None,
        limit: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> AsyncGenerator[LogEntry, None]:
        """Of a service or a routing; `since` in wall seconds. `limit` lines in all, the first `after` a line's cursor,
        else the last ones (`before` a line's cursor)."""
        place = {"limit": limit, "after": after, "before": before}
        query = {"follow": flag(follow), "tail": tail, "since": since, **place}
        async for line in self._lines("GET", path_of("/v1/logs", ref), query=query):
            yield read(LogEntry, line)

    @asynccontextmanager
    async def ask_endpoint(self, ref: str, request: AskRequest) -> AsyncIterator[EndpointAnswer]:
        """Ask a service's endpoint through the daemon. Its body is read inside the `with`."""
        path = path_of("/v1/services", ref) + "/ask"
        async with self._answer("POST", path, body=request, timeout=_ENDPOINT) as response:
            headers = json.loads(response.headers["X-Upstream-Headers"])
            status = int(response.headers["X-Upstream-Status"])
            yield EndpointAnswer(status, headers, response.content.iter_any())
