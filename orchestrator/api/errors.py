"""Whatever goes wrong in a handler becomes a problem answer here, and only here."""

from __future__ import annotations

import math
from collections.abc import Iterable

import structlog
from aiohttp import web

from orchestrator.core.error_views import ErrorView
from orchestrator.core.errors import OrchestratorError

log = structlog.get_logger()

_CODES = {404: "no_such_route", 405: "method_not_allowed", 408: "request_timeout", 413: "too_large"}


def problem(error: Exception, request: web.Request) -> ErrorView:
    """Unexpected errors are logged with their traceback and say nothing of themselves to the client."""
    match error:
        case OrchestratorError():
            return ErrorView.of(error)
        case web.HTTPException():
            code = _CODES.get(error.status, "http_error")
            text = f"cannot {request.method} {request.path}: {error.reason}"
            return ErrorView(title=error.reason, status=error.status, detail=text, code=code)
        case _:
            log.error("request failed", method=request.method, path=request.path, exc_info=error)
            text = f"cannot {request.method} {request.path}: unexpected {type(error).__name__}"
            hint = "the daemon's log has the details"
            return ErrorView(title="Internal error", status=500, detail=text, code="internal", hint=hint)


def problem_answer(view: ErrorView, allowed: Iterable[str] = (), *, retry_after: float = 0.0) -> web.Response:
    """`allowed`: the methods that the path has, of an answer that there is no such method."""
    headers = {"WWW-Authenticate": "Bearer"} if view.status == 401 else {}
    if retry_after:
        headers["Retry-After"] = str(math.ceil(retry_after))
    if allowed:
        headers["Allow"] = ", ".join(sorted(allowed))
    body = view.model_dump_json().encode()
    return web.Response(body=body, status=view.status, content_type="application/problem+json", headers=headers)
