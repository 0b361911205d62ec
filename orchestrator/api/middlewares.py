"""What every request passes, outermost first: request log, errors, Host check, access."""

from __future__ import annotations

import hmac
import ipaddress
import time
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.api.errors import problem, problem_answer
from orchestrator.api.routes import Access
from orchestrator.core.errors import NotAuthorised

log = structlog.get_logger()

Authenticate = Callable[[str], Awaitable[Access]]
"""A bearer token's text to the access it gives (`public`: none). Must take the same time for every wrong text."""

_RANK: dict[Access, int] = {"public": 0, "read": 1, "admin": 2}


def admin_token(expected: str) -> Authenticate:
    """The one token that was made at the daemon's first start. An empty one opens nothing."""

    async def authenticate(text: str) -> Access:
        same = hmac.compare_digest(text.encode("utf-8", "surrogateescape"), expected.encode())
        return "admin" if same and expected else "public"

    return authenticate


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        own = {r.method for r in request.app.router.routes() if r.resource and r.resource.canonical == request.path}
        return problem_answer(problem(error, request), own or error.allowed_methods)
    except Exception as error:
        return problem_answer(problem(error, request))


@web.middleware
async def request_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    began = time.monotonic()
    response = await handler(request)
    seconds = round(time.monotonic() - began, 4)
    log.debug("answered", method=request.method, path=request.path, status=response.status, seconds=seconds)
    return response


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


def access(authenticate: Authenticate, levels: dict[tuple[str, str], Access]) -> Middleware:
    """`levels`: method and path of each route to the access that it needs; what is not listed needs `admin`."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        needed = levels.get((request.method, resource.canonical if resource else ""), "admin")
        if needed != "public":
            await _require(needed, request, authenticate)
        return await handler(request)

    return check


async def _require(needed: Access, request: web.Request, authenticate: Authenticate) -> None:
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    hint = "give the text of state_dir/admin.token as --token or ORCHESTRATOR_TOKEN"
    if scheme.lower() != "bearer" or not text.strip():
        raise NotAuthorised("cannot use the API: no bearer token was sent", hint=hint)
    given = await authenticate(text.strip())
    if given == "public":
        raise NotAuthorised("cannot use the API: the token is not valid here", hint=hint)
    if _RANK[given] < _RANK[needed]:
        raise NotAuthorised(f"cannot do this: it needs {needed} access, the token has {given}", code="forbidden")


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
