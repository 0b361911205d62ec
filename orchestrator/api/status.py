"""The daemon itself: alive, ready, how it is, what it counts."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many
from orchestrator.core.daemon_views import AliveView, CheckView, StatusView


async def healthz(_: web.Request, __: Control) -> web.Response:
    return answer(AliveView(status="ok"))


async def readyz(_: web.Request, control: Control) -> web.Response:
    await control.ready()
    return answer(AliveView(status="ready"))


async def metrics(_: web.Request, control: Control) -> web.Response:
    return web.Response(body=await control.metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})


async def status(_: web.Request, control: Control) -> web.Response:
    return answer(await control.status())


async def doctor(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.doctor())


_READY = "It has observed the runtime, and its store can be written"

ROUTES = (
    Route("GET", "/healthz", "public", healthz, "The process is up", response=AliveView),
    Route("GET", "/readyz", "public", readyz, _READY, response=AliveView),
    Route("GET", "/metrics", "read", metrics, "Prometheus metrics", media=("text/plain",)),
    Route("GET", "/v1/status", "read", status, "How the daemon is", response=StatusView),
    Route("GET", "/v1/doctor", "read", doctor, "Check what the daemon depends on", response=CheckView, many=True),
)
