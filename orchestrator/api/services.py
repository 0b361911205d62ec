"""Services: list, look, start, remove, scale, retry, explain; held removals."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body
from orchestrator.core.views import (
    ConfirmedView,
    ConfirmRequest,
    ExplainView,
    FailureView,
    LaunchRequest,
    ModifyRequest,
    ResetRequest,
    ScaleRequest,
    ServiceDetail,
    ServiceView,
)


async def ls(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.services())


async def detail(request: web.Request, control: Control) -> web.Response:
    return answer(await control.service(request.match_info["ref"]))


async def start(request: web.Request, control: Control) -> web.Response:
    return answer(await control.start(await body(request, LaunchRequest)), status=201)


async def modify(request: web.Request, control: Control) -> web.Response:
    """Of what a folder declares only what takes effect in place (count, public, start_timeout, unhealthy_timeout,
    stop_grace, retry) is set over it; the rest is refused (declared_in_file), or with `edit` written into the file."""
    return answer(await control.modify(request.match_info["ref"], await body(request, ModifyRequest)))


async def reset(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, ResetRequest)
    return answer(await control.reset(request.match_info["ref"], wanted.fields))


async def remove(request: web.Request, control: Control) -> web.Response:
    await control.remove(request.match_info["ref"])
    return web.Response(status=204)


async def scale(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, ScaleRequest)
    return answer(await control.scale(request.match_info["ref"], wanted.count))


async def sync(request: web.Request, control: Control) -> web.Response:
    return answer(await control.sync(request.match_info["ref"]))


async def retry(request: web.Request, control: Control) -> web.Response:
    return answer(await control.retry(request.match_info["ref"]))


async def explain(request: web.Request, control: Control) -> web.Response:
    return answer(await control.explain(request.match_info["ref"]))


async def errors(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.errors(request.match_info["ref"]))


async def confirm(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, ConfirmRequest)
    return answer(ConfirmedView(removed=tuple(await control.confirm_removal(wanted.service))))


_ALL, _ONE, _CONFIRM = "/v1/services", "/v1/services/{ref}", "/v1/removals/confirm"
_START, _SCALE = "Start a model folder", "Set or reset the desired routing count"
_NOT = (404, 409)

ROUTES = (
    Route("GET", _ALL, "read", ls, "List services", response=ServiceView, many=True),
    Route("POST", _ALL, "admin", start, _START, LaunchRequest, ServiceView, status=201, refuses=_NOT),
    Route("GET", _ONE, "read", detail, "Show one service", response=ServiceDetail),
    Route("PATCH", _ONE, "admin", modify, "Modify a service", ModifyRequest, ServiceView, refuses=_NOT),
    Route("POST", _ONE + "/reset", "admin", reset, "End overrides", ResetRequest, ServiceView, refuses=_NOT),
    Route("DELETE", _ONE, "admin", remove, "Remove a service and revoke its tokens", status=204, refuses=_NOT),
    Route("PUT", _ONE + "/scale", "admin", scale, _SCALE, ScaleRequest, ServiceView, refuses=_NOT),
    Route("POST", _ONE + "/sync", "admin", sync, "Read and publish it anew", response=ServiceView),
    Route("POST", _ONE + "/retry", "admin", retry, "Clear error and retry", response=ServiceView, refuses=_NOT),
    Route("GET", _ONE + "/explain", "read", explain, "Say why it is not healthy", response=ExplainView),
    Route("GET", _ONE + "/errors", "read", errors, "List what failed", response=FailureView, many=True),
    Route("POST", _CONFIRM, "admin", confirm, "Let held removals go on", ConfirmRequest, ConfirmedView, refuses=_NOT),
)
