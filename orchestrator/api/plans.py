"""Plans: what waits or would change, taking it over, and how far that is."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body, parameters
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest, PlanView, ProgressView
from orchestrator.core.views import Request


async def pending(_: web.Request, control: Control) -> web.Response:
    return answer(await control.plan(PlanRequest()))


async def plan(request: web.Request, control: Control) -> web.Response:
    return answer(await control.plan(await body(request, PlanRequest)))


async def apply(request: web.Request, control: Control) -> web.Response:
    return answer(await control.apply(await body(request, ApplyRequest)))


class AppliedQuery(Request):
    target: tuple[str, ...] = ()
    """A service's id, `@`, the hash of the revision that is to run; without it: the end of the service."""


async def applied(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.applied(parameters(request, AppliedQuery).target))


_PLAN = "Plan what waits, or what a path asks for"
_DO, _DONE = "Take over what was planned", "How far it is"

ROUTES = (
    Route("GET", "/v1/plans", "read", pending, "Plan what waits", response=PlanView),
    Route("POST", "/v1/plans", "admin", plan, _PLAN, PlanRequest, PlanView, refuses=(404,), changes=False),
    Route("POST", "/v1/applies", "admin", apply, _DO, ApplyRequest, ApplyView, refuses=(404, 409)),
    Route("GET", "/v1/applies", "read", applied, _DONE, response=ProgressView, many=True, query=AppliedQuery),
)
