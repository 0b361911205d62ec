"""What happened, as an array or as it comes."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer_many, query
from orchestrator.api.streams import server_sent
from orchestrator.core.errors import InvalidInput
from orchestrator.core.views import EventView

_MOST = 10_000
_LAST = 2**63 - 1
"""The store can count no further."""


async def events(request: web.Request, control: Control) -> web.StreamResponse:
    """Query: `after` (seq; a stream also takes Last-Event-ID), `service`, `limit`, `follow`."""
    after, follow = query(request, "after", int, 0), query(request, "follow", bool, False)
    resumed = request.headers.get("Last-Event-ID", "")
    if follow and len(resumed) < 19 and resumed.isdecimal():
        after = max(after, int(resumed))
    if abs(after) > _LAST:
        raise InvalidInput(f"cannot list events after {after}: there is no such event")
    limit = query(request, "limit", int, 100)
    if not 0 <= limit <= _MOST:
        raise InvalidInput(f"cannot list {limit} events: limit is 0 to {_MOST}")
    found = control.events(after=after, service=request.query.get("service"), limit=limit, follow=follow)
    if follow:
        return await server_sent(request, found)
    return answer_many([event async for event in found])


ROUTES = (Route("GET", "/v1/events", "read", events, "List or follow events", response=EventView, many=True),)
