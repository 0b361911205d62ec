"""A try: one scratch routing, step by step; gone when it ends or its client does."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import LINES, Route, body
from orchestrator.api.streams import lines
from orchestrator.core.daemon_views import TryEvent, TryRequest


async def try_run(request: web.Request, control: Control) -> web.StreamResponse:
    wanted = await body(request, TryRequest)
    return await lines(request, control.try_run(wanted))


_WHAT = "Run a definition once, for real"

ROUTES = (Route("POST", "/v1/try", "admin", try_run, _WHAT, TryRequest, TryEvent, True, media=(LINES,)),)
