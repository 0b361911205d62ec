"""Routings and their logs."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from orchestrator.api.control import Control
from orchestrator.api.routes import LINES, OfService, Route, answer, answer_many, body, parameters
from orchestrator.api.streams import lines
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.views import LogEntry, Request, RoutingView, ServiceView


async def ps(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.routings(parameters(request, OfService).service))


async def change(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, RatioRequest)
    return answer(await control.set_ratio(request.match_info["id"], wanted.traffic_ratio))


class RemoveQuery(Request):
    replace: bool = False
    """Another one takes its place; otherwise the desired count is one less from then on."""


async def remove(request: web.Request, control: Control) -> web.Response:
    """It gets no new requests, finishes those that are open, and ends."""
    replaced = parameters(request, RemoveQuery).replace
    return answer(await control.remove_routing(request.match_info["id"], replaced=replaced))


class LogsQuery(Request):
    follow: bool = False
    """Go on with what comes."""
    tail: int | None = Field(None, ge=0)
    """Only the last lines of each routing, this many."""
    since: float | None = Field(None, allow_inf_nan=False)
    """Only lines from then on, in seconds since the epoch."""


async def logs(request: web.Request, control: Control) -> web.StreamResponse:
    asked = parameters(request, LogsQuery)
    ref = request.match_info["ref"]
    return await lines(request, control.logs(ref, follow=asked.follow, tail=asked.tail, since=asked.since))


_LIST, _RATIO, _LOGS = "List routings", "Set its share of the requests", "Logs of a service or a routing"
_NOT = (404,)

ROUTES = (
    Route("GET", "/v1/routings", "read", ps, _LIST, None, RoutingView, True, query=OfService, refuses=_NOT),
    Route("PUT", "/v1/routings/{id}", "admin", change, _RATIO, RatioRequest, RoutingView),
    Route(
        "DELETE",
        "/v1/routings/{id}",
        "admin",
        remove,
        "Remove one routing",
        response=ServiceView,
        query=RemoveQuery,
        refuses=(404, 409),
    ),
    Route("GET", "/v1/logs/{ref}", "read", logs, _LOGS, None, LogEntry, True, query=LogsQuery, media=(LINES,)),
)
