"""The one table of routes, and the little that all handlers share: reading a body, a query, answering a view."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from orchestrator.api.control import Control
from orchestrator.core.errors import InvalidInput

Access = Literal["public", "read", "admin"]
Handler = Callable[[web.Request, Control], Awaitable[web.StreamResponse]]
Body = TypeVar("Body", bound=BaseModel)
Value = TypeVar("Value")

CONTROL: web.AppKey[Control] = web.AppKey("control", Control)


@dataclass(frozen=True, slots=True)
class Route:
    """`request`, `response`: models of the bodies; a `many` response is an array of them, or a stream."""

    method: str
    path: str
    access: Access
    handler: Handler
    summary: str
    request: type[BaseModel] | None = None
    response: type[BaseModel] | None = None
    many: bool = False


async def body(request: web.Request, model: type[Body]) -> Body:
    """The request's JSON body. Raises `InvalidInput` naming every key that is wrong."""
    try:
        return model.model_validate_json(await request.read())
    except ValidationError as error:
        raise InvalidInput(f"cannot read the request: {_wrong(error)}") from None


def query(request: web.Request, name: str, kind: type[Value], default: Value) -> Value:
    """One query parameter as `kind`. Raises `InvalidInput`."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        raise InvalidInput(f"cannot read the query parameter {name}: {_wrong(error)}") from None


def _wrong(error: ValidationError) -> str:
    parts = [(".".join(str(p) for p in e["loc"]), e["msg"]) for e in error.errors(include_url=False)[:20]]
    return "; ".join(f"{path}: {text}" if path else text for path, text in parts)


def answer(view: BaseModel, *, status: int = 200) -> web.Response:
    return web.Response(body=view.model_dump_json().encode(), status=status, content_type="application/json")


def answer_many(views: Sequence[BaseModel]) -> web.Response:
    text = "[" + ",".join(view.model_dump_json() for view in views) + "]"
    return web.Response(body=text.encode(), content_type="application/json")
