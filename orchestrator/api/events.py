"""What happened, as an array or as it comes."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from orchestrator.api.control import Control
from orchestrator.api.routes import EVENTS, JSON, OfService, Route, answer_many, parameters
from orchestrator.api.streams import server_sent
from orchestrator.core.views import EventView

_LAST = 2**63 - 1
"""The store can count no further."""


class EventsQuery(OfService):
    after: int = Field(0, ge=0, le=_LAST)
    """Only events whose `seq` is above it. A stream also takes `Last-Event-ID`."""
    limit: int = Field(100, ge=0, le=10_000)
    """Only the latest of them."""
    follow: bool = False
    """Go on, as server-sent events, with what comes."""


async def events(request: web.Request, control: Control) -> web.StreamResponse:
    asked = parameters(request, EventsQuery)
    after, resumed = asked.after, request.headers.get("Last-Event-ID", "")
    if asked.follow and len(resumed) < 19 and resumed.isdecimal():
        after = max(after, int(resumed))
    found = control.events(after=after, service=asked.service, limit=asked.limit, follow=asked.follow)
    if asked.follow:
        return await server_sent(request, found, ident=lambda event: str(event.seq))
    return answer_many([event async for event in found])


_WHAT = "List or follow events"
_MEDIA = (JSON, EVENTS)

ROUTES = (Route("GET", "/v1/events", "read", events, _WHAT, None, EventView, True, query=EventsQuery, media=_MEDIA),)
