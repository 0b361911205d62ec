"""Headers of every answer: its id, what browsers may do with it, and which other sites' pages may read it."""

from __future__ import annotations

import re
from collections.abc import Collection
from uuid import uuid4

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from orchestrator.api.routes import REQUEST_ID

SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Unless a route says otherwise."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_READ = "X-Request-ID, Retry-After, Content-Disposition, X-Upstream-Status, X-Upstream-Headers"
"""Headers of answers that a page of another site may read."""
_SENT = "Authorization, Content-Type, Last-Event-ID, Range, X-Request-ID"


def request_id(request: web.Request) -> str:
    """The client's own where it sent one that is fit for a log, else a new one."""
    given = request.headers.getall("X-Request-ID", [])
    return given[0] if len(given) == 1 and _ID.fullmatch(given[0]) else uuid4().hex


def on_answer(origins: Collection[str]) -> web.Application.on_response_prepare:  # type: ignore[valid-type]
    """To be called as an answer begins, also one that goes on."""

    async def prepare(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in SAFE.items():
            response.headers.setdefault(name, value)
        response.headers["Server"] = "orchestrator"  # its version is nobody's affair who has no token
        response.headers["X-Request-ID"] = request.get(REQUEST_ID) or request_id(request)
        if origins:
            response.headers.add("Vary", "Origin")
        if allowed := _allowed(request, origins):
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _READ
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"

    return prepare


def _allowed(request: web.Request, origins: Collection[str]) -> str:
    """What Access-Control-Allow-Origin says; empty: nothing. Cookies are never asked for: tokens come in a header."""
    origin = request.headers.get("Origin", "")
    if origin and "*" in origins:
        return "*"
    return origin if origin.lower() in origins else ""


def preflight(origins: Collection[str]) -> Middleware:
    """Answers the question of a browser whether a page of another site may ask. Closed: there is no such method."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        method = request.headers.get("Access-Control-Request-Method", "")
        if request.method != "OPTIONS" or not method or not _allowed(request, origins):
            return await handler(request)
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": _SENT,
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    return check
