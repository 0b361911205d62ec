"""Try it: a request to a service's endpoint, and its answer as it comes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import OCTETS, Route, body
from orchestrator.api.streams import octets
from orchestrator.core.ask_views import AskRequest

STATUS, HEADERS = "X-Upstream-Status", "X-Upstream-Headers"
_MOST = 8000
"""Bytes of headers that are passed on."""


async def ask(request: web.Request, control: Control) -> web.StreamResponse:
    """The endpoint's own status is the header `X-Upstream-Status`, its headers are `X-Upstream-Headers` (a JSON object,
    names in lower case); the body comes as it comes, as bytes, so that no browser runs what a model wrote."""
    wanted = await body(request, AskRequest)
    async with control.ask_endpoint(request.match_info["ref"], wanted) as asked:
        headers = {STATUS: str(asked.status), HEADERS: _told(dict(asked.headers))}
        return await octets(request, _bytes(asked.body), headers=headers | {"X-Content-Type-Options": "nosniff"})


async def _bytes(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for some in body:
        yield some


def _told(headers: dict[str, str]) -> str:
    while len(text := json.dumps(headers)) > _MOST:
        del headers[max(headers, key=lambda name: len(headers[name]))]
    return text


_ASK = "Ask a service's endpoint"

ROUTES = (
    Route(
        "POST",
        "/v1/services/{ref}/ask",
        "admin",
        ask,
        _ASK,
        AskRequest,
        media=(OCTETS,),
        changes=False,
        refuses=(404,),
    ),
)
