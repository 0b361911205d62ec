"""Who asks, who changed what, and the settings that the daemon runs with."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from orchestrator.api.control import Control
from orchestrator.api.routes import CALLER, OfService, Route, answer, answer_many, parameters
from orchestrator.core.access_views import AuditView, ConfigView, WhoamiView
from orchestrator.core.views import instant

_LAST = 2**63 - 1
"""The store can count no further."""


class AuditQuery(OfService):
    after: int = Field(0, ge=0, le=_LAST)
    """Only entries whose `seq` is above it."""
    limit: int = Field(100, ge=0, le=10_000)
    """Only the latest of them."""


async def whoami(request: web.Request, _: Control) -> web.Response:
    caller = request[CALLER]
    expires = None if caller.expires_at is None else instant(caller.expires_at)
    return answer(WhoamiView(access=caller.access, name=caller.name, token_id=caller.token_id, expires_at=expires))


async def audit(request: web.Request, control: Control) -> web.Response:
    asked = parameters(request, AuditQuery)
    return answer_many(await control.audit(after=asked.after, service=asked.service, limit=asked.limit))


async def config(_: web.Request, control: Control) -> web.Response:
    return answer(await control.config())


_WHO, _AUDIT, _CONFIG = "Whose token this is", "List changes that were asked for", "Show the settings, secrets hidden"

ROUTES = (
    Route("GET", "/v1/whoami", "read", whoami, _WHO, response=WhoamiView),
    Route("GET", "/v1/audit", "admin", audit, _AUDIT, response=AuditView, many=True, query=AuditQuery),
    Route("GET", "/v1/config", "admin", config, _CONFIG, response=ConfigView),
)
