"""Routings and their logs."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body, query
from orchestrator.api.streams import lines
from orchestrator.core.errors import InvalidInput
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.views import LogEntry, RoutingView


async def ps(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.routings(request.query.get("service")))


async def change(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, RatioRequest)
    return answer(await control.set_ratio(request.match_info["id"], wanted.traffic_ratio))


async def logs(request: web.Request, control: Control) -> web.StreamResponse:
    """Query: `follow`, `tail` (lines a routing), `since` (wall seconds)."""
    tail = query(request, "tail", int, 0) if "tail" in request.query else None
    if tail is not None and tail < 0:
        raise InvalidInput(f"cannot show {tail} lines: tail is 0 or more")
    entries = control.logs(
        request.match_info["ref"],
        follow=query(request, "follow", bool, False),
        tail=tail,
        since=query(request, "since", float, 0.0) if "since" in request.query else None,
    )
    return await lines(request, entries)


ROUTES = (
    Route("GET", "/v1/routings", "read", ps, "List routings", response=RoutingView, many=True),
    Route("PUT", "/v1/routings/{id}", "admin", change, "Set its share of the requests", RatioRequest, RoutingView),
    Route("GET", "/v1/logs/{ref}", "read", logs, "Logs of a service or routing", response=LogEntry, many=True),
)
