"""Revisions of a service and its rollout: history, rollback, promote, abort."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body
from orchestrator.core.errors import NotFound
from orchestrator.core.revision_views import RevisionDetail, RevisionView, RollbackRequest
from orchestrator.core.views import ServiceView


async def history(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.revisions(request.match_info["ref"]))


async def detail(request: web.Request, control: Control) -> web.Response:
    ref, number = request.match_info["ref"], request.match_info["number"]
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise NotFound(f"{ref} has no revision {number[:40]!r}", hint="revisions are numbers, from 1")
    return answer(await control.revision(ref, int(number)))


async def rollback(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, RollbackRequest)
    return answer(await control.rollback(request.match_info["ref"], wanted.revision))


async def promote(request: web.Request, control: Control) -> web.Response:
    return answer(await control.promote(request.match_info["ref"]))


async def abort(request: web.Request, control: Control) -> web.Response:
    return answer(await control.abort(request.match_info["ref"]))


_ONE = "/v1/services/{ref}"
_BACK = "Go back to a revision, or to the one before that was good"
_ON, _UP = "Go on with a rollout that waits", "Give up the rollout under way"
_NOT = (409,)

ROUTES = (
    Route("GET", _ONE + "/revisions", "read", history, "List revisions", response=RevisionView, many=True),
    Route("GET", _ONE + "/revisions/{number}", "read", detail, "Show one revision", response=RevisionDetail),
    Route("POST", _ONE + "/rollback", "admin", rollback, _BACK, RollbackRequest, ServiceView, refuses=_NOT),
    Route("POST", _ONE + "/promote", "admin", promote, _ON, response=ServiceView, refuses=_NOT),
    Route("POST", _ONE + "/abort", "admin", abort, _UP, response=ServiceView, refuses=_NOT),
)
