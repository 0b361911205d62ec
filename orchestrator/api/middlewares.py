"""What every request passes, outermost first: its id and log line, CORS, audit, errors, Host check, access."""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections.abc import Mapping

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.api import auditing
from orchestrator.api.connections import CONNECTIONS
from orchestrator.api.door import HINT, Door, admin_token
from orchestrator.api.errors import problem, problem_answer
from orchestrator.api.headers import request_id
from orchestrator.api.routes import CALLER, REQUEST_ID, Route
from orchestrator.core.access import RANK, Access
from orchestrator.core.errors import NotAuthorised, OrchestratorError, Throttled
from orchestrator.core.hiding import hidden_text

__all__ = ["AGAIN", "access", "admin_token", "audit", "errors", "known_host", "request_log"]

log = structlog.get_logger()

Table = Mapping[tuple[str, str], Route]
"""Method and path of each route to the route."""

AGAIN = 5.0
"""Seconds after which the token of a request that goes on is looked at again: one that was revoked ends it."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        own = {r.method for r in request.app.router.routes() if r.resource and r.resource.canonical == request.path}
        return problem_answer(problem(error, request), own or error.allowed_methods)
    except Throttled as error:
        return problem_answer(problem(error, request), retry_after=error.retry_after)
    except Exception as error:
        return problem_answer(problem(error, request))


def request_log(table: Table) -> Middleware:
    """One line a request, with its id, as each line that is logged meanwhile has it; a change is told also where reads
    are not."""

    @web.middleware
    async def tell(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.monotonic()
        request[REQUEST_ID] = request_id(request)
        route = _route(request, table)
        with (
            structlog.contextvars.bound_contextvars(request_id=request[REQUEST_ID]),
            request.app[CONNECTIONS].serving(request),
        ):
            response = await handler(request)
            caller = request.get(CALLER)
            log.log(
                20 if route is not None and route.changing and caller is not None else 10,
                "api.answered",
                method=request.method,
                path=hidden_text(request.path[:2048], ()),
                status=response.status,
                seconds=round(time.monotonic() - began, 4),
                who=caller.who if caller is not None else "",
            )
        return response

    return tell


def audit(table: Table) -> Middleware:
    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        response = await handler(request)
        await auditing.end(request, response, _route(request, table))
        return response

    return record


def _route(request: web.Request, table: Table) -> Route | None:
    resource = request.match_info.route.resource
    return table.get((request.method, resource.canonical if resource else ""))


def known_host(listen: str) -> Middleware:
    """On a loopback bind only a loopback Host is answered: a page on the internet whose name was rebound to 127.0.0.1
    is not. On other binds any name may be ours."""
    bound = _host(listen)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _host(request.headers.get("Host", ""))
        if _is_loopback(bound) and host and host != bound and not _is_loopback(host):
            raise NotAuthorised(
                f"cannot answer requests for host {host!r}: the API listens on {bound} only",
                hint="use the address in [api] listen",
                code="forbidden",
            )
        return await handler(request)

    return check


def access(door: Door, table: Table) -> Middleware:
    """A request that no route of the table takes needs `admin`."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = _route(request, table)
        needed: Access = route.access if route is not None else "admin"
        if needed == "public":
            return await handler(request)
        text = _bearer(request)
        caller = request[CALLER] = await door.enter(text, request.remote or "")
        request.app[CONNECTIONS].knows(request)
        if RANK[caller.access] < RANK[needed]:
            text = f"cannot do this: it needs {needed} access, the token has {caller.access}"
            raise NotAuthorised(text, hint="use a token with that scope", code="forbidden")
        again = _Again(request, text, needed, door)
        try:
            return await handler(request)
        finally:
            again.stop()

    return check


def _bearer(request: web.Request) -> str:
    given = request.headers.getall("Authorization", [])
    scheme, _, text = (given[0] if len(given) == 1 else "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise NotAuthorised("cannot use the API: no bearer token was sent", hint=HINT)
    return text.strip()


class _Again:
    """Looks at the token of a request that goes on, and hangs up once it opens nothing any more."""

    def __init__(self, request: web.Request, text: str, needed: Access, door: Door) -> None:
        self._request, self._text, self._needed, self._door = request, text, needed, door
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(AGAIN, self._look)

    def _look(self) -> None:
        self._task = self._loop.create_task(self._ask(), name="api token again")

    async def _ask(self) -> None:
        try:
            valid = RANK[(await self._door.still(self._text)).access] >= RANK[self._needed]
        except NotAuthorised:
            valid = False
        except OrchestratorError:  # it cannot be asked now: what was allowed goes on
            valid = True
        if valid:
            self._timer = self._loop.call_later(AGAIN, self._look)
        elif self._request.transport is not None:
            log.info("api.hung_up", cause="the token is not valid any more", path=self._request.path)
            self._request.transport.abort()

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()


def _host(address: str) -> str:
    """`host:port`, `[v6]:port` or `host` without its port and brackets, in lower case."""
    if address.startswith("["):
        return address[1:].partition("]")[0].lower()
    return address.rpartition(":")[0].lower() if address.count(":") == 1 else address.lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
