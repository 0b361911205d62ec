"""Tokens of the endpoints and the keys that sign them."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route, answer, answer_many, body, query
from orchestrator.core.views import InspectRequest, KeyView, TokenCheck, TokenRequest, TokenView


async def create(request: web.Request, control: Control) -> web.Response:
    return answer(await control.token_create(await body(request, TokenRequest)), status=201)


async def ls(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.tokens(request.query.get("service")))


async def revoke(request: web.Request, control: Control) -> web.Response:
    """Query: `now` ends running requests too."""
    now = query(request, "now", bool, False)
    return answer(await control.token_revoke(request.match_info["id"], now=now))


async def inspect(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, InspectRequest)
    return answer(await control.token_inspect(wanted.token))


async def keys(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.keys())


async def rotate(_: web.Request, control: Control) -> web.Response:
    return answer(await control.rotate_key(), status=201)


async def drop(request: web.Request, control: Control) -> web.Response:
    return answer(await control.drop_key(request.match_info["kid"]))


ROUTES = (
    Route("GET", "/v1/tokens", "read", ls, "List tokens (never their text)", response=TokenView, many=True),
    Route("POST", "/v1/tokens", "admin", create, "Create a token", TokenRequest, TokenView),
    Route("DELETE", "/v1/tokens/{id}", "admin", revoke, "Revoke a token", response=TokenView),
    Route("POST", "/v1/tokens/inspect", "admin", inspect, "Say what a token is worth", InspectRequest, TokenCheck),
    Route("GET", "/v1/keys", "admin", keys, "List signing keys (never the keys)", response=KeyView, many=True),
    Route("POST", "/v1/keys", "admin", rotate, "Make a new signing key; the old ones stay valid", response=KeyView),
    Route("DELETE", "/v1/keys/{kid}", "admin", drop, "Drop a key and with it all its tokens", response=KeyView),
)
