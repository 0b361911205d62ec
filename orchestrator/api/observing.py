"""What is asked of services and how they answer: now, over the last hour, by token and day, request by request."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from orchestrator.api.control import Control
from orchestrator.api.routes import JSON, LINES, OfService, Route, answer, answer_many, body, parameters
from orchestrator.api.streams import lines
from orchestrator.core.traffic_views import (
    AccessEntry,
    LogLevelRequest,
    LogLevelView,
    SeriesView,
    TopView,
    UsageView,
)
from orchestrator.core.views import Request


class SeriesQuery(OfService):
    window: float = Field(3600, gt=0, le=3600)
    """Seconds back from now."""


class UsageQuery(OfService):
    token: str | None = None
    """Only what this one used: a token's id, or its name."""
    days: int = Field(30, ge=1, le=400)
    """Days (UTC) back from now, today included."""


class AccessQuery(Request):
    tail: int = Field(100, ge=0, le=10_000)
    """The latest of what is written down."""
    follow: bool = False
    """Go on, as lines, with requests as they end."""


async def top(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.top())


async def series(request: web.Request, control: Control) -> web.Response:
    asked = parameters(request, SeriesQuery)
    return answer(await control.series(asked.service, asked.window))


async def usage(request: web.Request, control: Control) -> web.Response:
    asked = parameters(request, UsageQuery)
    return answer_many(await control.usage(asked.service, asked.token, asked.days))


async def access(request: web.Request, control: Control) -> web.StreamResponse:
    asked = parameters(request, AccessQuery)
    found = control.access(request.match_info["ref"], tail=asked.tail, follow=asked.follow)
    return await lines(request, found) if asked.follow else answer_many([one async for one in found])


async def log_level(_: web.Request, control: Control) -> web.Response:
    return answer(await control.log_level())


async def set_log_level(request: web.Request, control: Control) -> web.Response:
    return answer(await control.set_log_level((await body(request, LogLevelRequest)).level))


_TOP = "Requests, latency, load and use of every service now"
_SERIES = "The same over the last hour, of one service or of all together"
_USAGE = "Requests, bytes and time by day, service and token"
_ACCESS = "Requests of a service that have ended"

ROUTES = (
    Route("GET", "/v1/top", "read", top, _TOP, response=TopView, many=True),
    Route("GET", "/v1/series", "read", series, _SERIES, response=SeriesView, query=SeriesQuery, refuses=(404,)),
    Route("GET", "/v1/usage", "read", usage, _USAGE, response=UsageView, many=True, query=UsageQuery),
    Route(
        "GET",
        "/v1/access/{ref}",
        "read",
        access,
        _ACCESS,
        response=AccessEntry,
        many=True,
        query=AccessQuery,
        media=(JSON, LINES),
    ),
    Route("GET", "/v1/log", "read", log_level, "The least level that the daemon logs", response=LogLevelView),
    Route("PUT", "/v1/log", "admin", set_log_level, "Change how much the daemon logs", LogLevelRequest, LogLevelView),
)
