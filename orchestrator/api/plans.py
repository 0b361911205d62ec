"""Plans: what waits or would change, taking it over, and how far that is."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest, PlanView, ProgressView


async def pending(_: web.Request, control: Control) -> web.Response:
    return answer(await control.plan(PlanRequest()))


async def plan(request: web.Request, control: Control) -> web.Response:
    return answer(await control.plan(await body(request, PlanRequest)))


async def apply(request: web.Request, control: Control) -> web.Response:
    return answer(await control.apply(await body(request, ApplyRequest)))


async def applied(request: web.Request, control: Control) -> web.Response:
    """Query: `target`, again and again: a service's id, `@`, the hash of the revision that is to run."""
    return answer_many(await control.applied(request.query.getall("target", [])))


ROUTES = (
    Route("GET", "/v1/plans", "read", pending, "Plan what waits", response=PlanView),
    Route("POST", "/v1/plans", "admin", plan, "Plan what waits, or what a path asks for", PlanRequest, PlanView),
    Route("POST", "/v1/applies", "admin", apply, "Take over what was planned", ApplyRequest, ApplyView),
    Route("GET", "/v1/applies", "read", applied, "How far it is", response=ProgressView, many=True),
)
