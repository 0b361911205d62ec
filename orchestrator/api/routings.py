"""Routings and their logs."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import EVENTS, JSON, LINES, OfService, Route, answer, answer_many, body, parameters
from orchestrator.api.streams import last_event_id, lines, server_sent
from orchestrator.core.revision_views import RatioRequest
from orchestrator.core.views import CURSOR, LogEntry, LogsAsked, Request, RoutingView, ServiceView


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


async def logs(request: web.Request, control: Control) -> web.StreamResponse:
    """Lines of JSON; an array or server-sent events where `Accept` asks for them. The id of such an event is where the
    stream is in each log: sent back as `Last-Event-ID` it goes on there."""
    asked = parameters(request, LogsAsked)
    wanted = request.headers.get("Accept", "")
    if EVENTS in wanted and (resumed := last_event_id(request, rf"{CURSOR}(,{CURSOR})*")):
        asked = asked.model_copy(update={"after": resumed})
    found = control.logs(request.match_info["ref"], asked)
    if EVENTS in wanted:
        return await server_sent(request, found, ident=_places(asked.after))
    if JSON in wanted and not asked.follow:
        return answer_many([entry async for entry in found])
    return await lines(request, found)


def _places(after: str) -> Callable[[LogEntry], str]:
    """Where a stream is once it has told a line: the last cursor of each log."""
    known = {one.partition("@")[0]: one for one in after.split(",") if one}

    def place(entry: LogEntry) -> str:
        known[entry.routing] = entry.cursor
        return ",".join(known.values())

    return place


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
    Route(
        "GET", "/v1/logs/{ref}", "read", logs, _LOGS, None, LogEntry, True, query=LogsAsked, media=(LINES, JSON, EVENTS)
    ),
)
