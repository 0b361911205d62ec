"""The audit log: every change that is asked for through the API is recorded, whatever route it takes.

It is written before it is made, so that neither a crash nor a stream that goes on hides it, and refused where it cannot
be written. What was before and after it is what the API itself shows: `reader_of` finds the route for that.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from aiohttp import web
from pydantic_core import from_json

from orchestrator.api.control import Control
from orchestrator.api.routes import CALLER, CONTROL, JSON, REQUEST_ID, Route, whole
from orchestrator.core.access import NOBODY, FailedTries
from orchestrator.core.audit import AuditEntry, difference, kept, kept_path
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.hiding import hidden_text

log = structlog.get_logger()

LOOKING = contextvars.ContextVar("looking", default=False)
"""Set while a route is asked for the audit log only."""
STRANGERS: web.AppKey[FailedTries] = web.AppKey("strangers", FailedTries)
"""Requests of those who may change nothing, by token, that are recorded: whoever sends them must not fill the log or
keep the store busy."""


def strangers() -> FailedTries:
    return FailedTries(burst=60, every=1.0)


@dataclass(frozen=True, slots=True)
class Reader:
    """The route that shows what a change is about. `item`: name of the path's last part, which is the key of one of the
    many that it shows; empty: it shows that one."""

    route: Route
    item: str = ""


def reader_of(changing: Route, table: Sequence[Route]) -> Reader | None:
    """The nearest at or above its path. None for one file: a folder of ten thousand is not listed for each of them."""
    if changing.path.endswith("{path}"):
        return None
    shown = {route.path: route for route in table if route.method == "GET" and route.media[0] == JSON}
    path = changing.path
    while "{" in path:
        parent, _, last = path.rpartition("/")
        one, many = shown.get(path), shown.get(parent)
        if one is not None and not one.many:
            return Reader(one)
        if last.startswith("{") and many is not None and many.many:
            return Reader(many, last.strip("{}").partition(":")[0])
        path = parent
    return None


class Audited:
    """One change from before it is made until it is answered."""

    def __init__(self, entry: AuditEntry, look: web.Request | None, reader: Reader | None, control: Control) -> None:
        self._entry = entry
        self._look = look
        self._reader = reader
        self._control = control
        self._before: Mapping[str, Any] | None = None

    async def begin(self) -> None:
        """Raises `Unavailable` where it cannot be recorded: then it is not made."""
        self._before = await self._shown()
        service = _service(self._before, self._reader) or self._entry.service
        self._entry = await self._control.record(replace(self._entry, service=service))

    async def end(self, response: web.StreamResponse) -> None:
        done = response.status < 400
        after = await self._after(response) if done else None
        service = self._entry.service or _service(after, None)
        old, new = difference(self._before if done else None, after)
        entry = replace(self._entry, status=response.status, before=old, after=new, service=service)
        try:
            await self._control.record(entry)
        except OrchestratorError as error:
            log.error("audit.incomplete", seq=entry.seq, cause=error.message)

    async def _after(self, response: web.StreamResponse) -> Mapping[str, Any] | None:
        if self._before is not None:
            return await self._shown()
        found = _json(response)
        return found if isinstance(found, dict) else None

    async def _shown(self) -> Mapping[str, Any] | None:
        if self._look is None or self._reader is None:
            return None
        token = LOOKING.set(True)
        try:
            found = _json(await self._reader.route.handler(self._look, self._control), many=bool(self._reader.item))
        except Exception:  # what cannot be shown is left out: the change itself says what is wrong
            return None
        finally:
            LOOKING.reset(token)
        if isinstance(found, list):
            name = self._reader.item
            wanted = self._look.match_info[name]
            keys = (name, "name")
            found = next((one for one in found if wanted in [one.get(key) for key in keys]), None)
        return found if isinstance(found, dict) else None


def _service(view: Mapping[str, Any] | None, reader: Reader | None) -> str:
    """Name of the service that a view is of."""
    if view is None:
        return ""
    own = reader is not None and "/services" in reader.route.path
    found = view.get("name") if own else view.get("service") or (view.get("name") if "endpoint" in view else "")
    return found if isinstance(found, str) else ""


def _json(response: web.StreamResponse, *, many: bool = False) -> Any:
    if not isinstance(response, web.Response) or response.content_type != JSON:
        return None
    if not isinstance(response.body, bytes) or len(response.body) > 16 << 20:
        return None
    found = from_json(response.body)
    return found if isinstance(found, list if many else dict) else None


AUDITED: web.RequestKey[Audited] = web.RequestKey("audited", Audited)


async def begin(request: web.Request, route: Route, reader: Reader | None, control: Control) -> None:
    """Before the handler of a changing route."""
    if _goes_on(request, route):
        return
    look = None
    if reader is not None:
        look = request.clone(method="GET", rel_url=request.rel_url.with_query(None))
    sent = await _sent(request, route)
    entry = replace(_entry(request, route), request=kept(sent))
    named = sent.get("service") if isinstance(sent, dict) else ""
    if isinstance(named, str) and named:
        entry = replace(entry, service=named[:128])
    request[AUDITED] = audited = Audited(entry, look, reader, control)
    await audited.begin()


def _goes_on(request: web.Request, route: Route) -> bool:
    """A part of an upload that neither begins nor ends it: a hundred gigabytes have more of them than a log should."""
    offset, total = (request.query.get(name, "") for name in ("offset", "total"))
    if (
        not route.takes
        or request.content_length is None
        or not (offset.isdecimal() and total.isdecimal() and len(offset + total) < 40)
    ):
        return False
    return 0 < int(offset) < int(total) - request.content_length


async def _sent(request: web.Request, route: Route) -> Any:
    """The JSON of a body that the route reads whole; None: it has none, or none that can be read."""
    if route.request is None:
        return None
    try:
        return from_json(await whole(request))
    except ValueError:
        return None


def _entry(request: web.Request, route: Route) -> AuditEntry:
    caller = request.get(CALLER, NOBODY)
    return AuditEntry(
        time=time.time(),
        action=route.summary,
        method=request.method,
        path=kept_path(request.path_qs),
        who=caller.who,
        token_id=caller.token_id,
        access=caller.access,
        service=hidden_text(request.match_info.get("ref", "")[:2048], ())[:128],
        client=request.remote or "",
        request_id=request[REQUEST_ID],
    )


async def end(request: web.Request, response: web.StreamResponse, route: Route | None) -> None:
    """After the answer is known. One that was refused before its handler is recorded here."""
    if (audited := request.get(AUDITED)) is not None:
        await audited.end(response)
    elif route is not None and route.changing and (response.status >= 400 or not _goes_on(request, route)):
        await _refused(request, response, route)


async def _refused(request: web.Request, response: web.StreamResponse, route: Route) -> None:
    entry = replace(_entry(request, route), status=response.status)
    now = time.monotonic()
    if entry.access != "admin":
        if response.status == 429 or request.app[STRANGERS].wait(entry.token_id, now):
            return
        request.app[STRANGERS].failed(entry.token_id, now)
    try:
        await request.app[CONTROL].record(entry)
    except OrchestratorError as error:
        log.error("audit.incomplete", cause=error.message)
