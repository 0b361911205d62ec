"""Tries: one scratch routing each, step by step. In the background, or ended with the client that follows."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import EVENTS, LINES, Route, answer, answer_many, body
from orchestrator.api.streams import last_event_id, lines, server_sent
from orchestrator.core.daemon_views import TryEvent, TryRequest, TryView


async def try_run(request: web.Request, control: Control) -> web.StreamResponse:
    wanted = await body(request, TryRequest)
    return await lines(request, control.try_run(wanted))


async def begin(request: web.Request, control: Control) -> web.Response:
    return answer(await control.try_begin(await body(request, TryRequest)), status=202)


async def ls(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.tries())


async def view(request: web.Request, control: Control) -> web.Response:
    return answer(await control.try_view(request.match_info["try"]))


async def events(request: web.Request, control: Control) -> web.StreamResponse:
    """To its end. With `Last-Event-ID` what came after that."""
    found = control.try_events(request.match_info["try"], after=int(last_event_id(request, r"\d{1,9}") or 0))
    return await server_sent(request, found, ident=lambda event: str(event.seq))


async def cancel(request: web.Request, control: Control) -> web.Response:
    """Answers when nothing of it is left; one that has ended stays as it is."""
    return answer(await control.try_cancel(request.match_info["try"]))


_ALL, _ONE = "/v1/tries", "/v1/tries/{try}"
_BEGIN, _FOLLOW, _WHAT = "Try a definition in the background", "Follow a try", "Run a definition once, for real"

ROUTES = (
    Route("POST", _ALL, "admin", begin, _BEGIN, TryRequest, TryView, status=202, refuses=(409,)),
    Route("GET", _ALL, "read", ls, "List tries", response=TryView, many=True),
    Route("GET", _ONE, "read", view, "Show a try", response=TryView),
    Route("GET", _ONE + "/events", "read", events, _FOLLOW, None, TryEvent, True, media=(EVENTS,)),
    Route("DELETE", _ONE, "admin", cancel, "Cancel a try", response=TryView),
    Route("POST", "/v1/try", "admin", try_run, _WHAT, TryRequest, TryEvent, True, media=(LINES,), refuses=(409,)),
)
