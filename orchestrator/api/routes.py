"""The one table of routes, and the little that all handlers share: reading a body, a query, answering a view."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin

from aiohttp import web
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from orchestrator.api.control import Control
from orchestrator.core.access import Access, Caller
from orchestrator.core.errors import Fault, InvalidInput
from orchestrator.core.views import Request

JSON, LINES, EVENTS = "application/json", "application/x-ndjson", "text/event-stream"
"""An answer at once; lines of JSON, and server-sent events, as they come."""
OCTETS = "application/octet-stream"
"""A file's bytes."""
TAR, WEBSOCKET = "application/x-tar", "websocket"
"""An archive of files; no body at all, but messages both ways."""

Handler = Callable[[web.Request, Control], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=BaseModel)

CONTROL: web.AppKey[Control] = web.AppKey("control", Control)
CALLER: web.RequestKey[Caller] = web.RequestKey("caller", Caller)
"""Whose token was sent; set for every route that is not public."""
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)

PATIENCE = 30.0
"""Seconds that a JSON body may take to arrive."""


@dataclass(frozen=True, slots=True)
class Route:
    """One operation, and all that `api.openapi` says of it.

    `request`, `response`: models of the bodies; a `many` response is an array of them, or a stream. `query`: model of
    the query's parameters. `status`: that of success. `media`: what the answer may come as, the usual one first.
    `refuses`: statuses of the errors that are its own, beside those that access, wrong requests and a
    path's references bring. `takes`: what a body that is no model is sent as. A path's `{path}` may hold slashes.
    `changes`: whether the audit log has it; None: unless its method only reads.
    """

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    response: type[BaseModel] | None = None
    many: bool = False
    query: type[Request] | None = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    refuses: tuple[int, ...] = ()
    takes: str = ""
    changes: bool | None = None

    @property
    def changing(self) -> bool:
        return self.method not in ("GET", "HEAD", "OPTIONS") if self.changes is None else self.changes


class OfService(Request):
    service: str | None = None
    """Only those of this service: its id, or its name in any case."""


async def body(request: web.Request, model: type[Body]) -> Body:
    """The request's JSON body; true is no number there, nor is text, but 2.0 is 2. Raises `InvalidInput` naming every
    key that is wrong."""
    data = await whole(request)
    try:
        data = to_json(_whole(from_json(data)))
    except ValueError as error:
        raise InvalidInput(f"cannot read the request: Invalid JSON: {error}", faults=[Fault("", str(error))]) from None
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise _refusal("request", error) from None


async def whole(request: web.Request) -> bytes:
    """The request's body, within `PATIENCE`."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(reason=f"its body was not complete within {PATIENCE:g} s") from None


def parameters(request: web.Request, model: type[Body]) -> Body:
    """The request's query; a parameter whose kind is a tuple may be there more than once. Raises `InvalidInput` naming
    every one that is wrong."""
    given = request.query
    lists = {name for name, field in model.model_fields.items() if get_origin(field.annotation) is tuple}
    try:
        return model.model_validate({name: given.getall(name) if name in lists else given[name] for name in given})
    except ValidationError as error:
        raise _refusal("query", error) from None


def _whole(value: Any) -> Any:
    """JSON Schema's integers may be written with a fraction of zero. No deeper than `from_json` goes (200)."""
    match value:
        case float() if value.is_integer() and abs(value) < 2**53:
            return int(value)
        case list():
            return [_whole(one) for one in value]
        case dict():
            return {name: _whole(one) for name, one in value.items()}
        case _:
            return value


def _refusal(part: str, error: ValidationError) -> InvalidInput:
    """Keys are the client's own words, and as long as it likes."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[:20]
    faults = [Fault(".".join(str(step) for step in one["loc"])[:200], one["msg"]) for one in found]
    told = "; ".join(f"{fault.field}: {fault.message}" if fault.field else fault.message for fault in faults)
    return InvalidInput(f"cannot read the {part}: {told}", faults=faults)


def answer(view: BaseModel, *, status: int = 200) -> web.Response:
    return web.Response(body=view.model_dump_json().encode(), status=status, content_type="application/json")


def answer_many(views: Sequence[BaseModel]) -> web.Response:
    text = "[" + ",".join(view.model_dump_json() for view in views) + "]"
    return web.Response(body=text.encode(), content_type="application/json")
