"""What happened, as an array or as it comes."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import EVENTS, JSON, LatestOfService, Route, answer_many, parameters
from orchestrator.api.streams import last_event_id, server_sent
from orchestrator.core.views import EventView


class EventsQuery(LatestOfService):
    follow: bool = False
    """Go on, as server-sent events, with what comes."""


async def events(request: web.Request, control: Control) -> web.StreamResponse:
    """A stream goes on after `Last-Event-ID`, too."""
    asked = parameters(request, EventsQuery)
    after = max(asked.after, int(last_event_id(request, r"\d{1,18}") or 0) if asked.follow else 0)
    found = control.events(after=after, service=asked.service, limit=asked.limit, follow=asked.follow)
    if asked.follow:
        return await server_sent(request, found, ident=lambda event: str(event.seq))
    return answer_many([event async for event in found])


_WHAT = "List or follow events"
_MEDIA = (JSON, EVENTS)

ROUTES = (Route("GET", "/v1/events", "read", events, _WHAT, None, EventView, True, query=EventsQuery, media=_MEDIA),)
