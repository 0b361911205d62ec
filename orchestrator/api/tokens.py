"""Tokens of the endpoints and the keys that sign them."""

from __future__ import annotations

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import OfService, Route, answer, answer_many, body, parameters
from orchestrator.core.token_views import InspectRequest, KeyView, TokenCheck, TokenRequest, TokenView
from orchestrator.core.views import Request


async def create(request: web.Request, control: Control) -> web.Response:
    return answer(await control.token_create(await body(request, TokenRequest)), status=201)


async def ls(request: web.Request, control: Control) -> web.Response:
    return answer_many(await control.tokens(parameters(request, OfService).service))


class RevokeQuery(Request):
    now: bool = False
    """End the requests that run with it too."""


async def revoke(request: web.Request, control: Control) -> web.Response:
    asked = parameters(request, RevokeQuery)
    return answer(await control.token_revoke(request.match_info["id"], now=asked.now))


async def inspect(request: web.Request, control: Control) -> web.Response:
    wanted = await body(request, InspectRequest)
    return answer(await control.token_inspect(wanted.token))


async def keys(_: web.Request, control: Control) -> web.Response:
    return answer_many(await control.keys())


async def rotate(_: web.Request, control: Control) -> web.Response:
    return answer(await control.rotate_key(), status=201)


async def drop(request: web.Request, control: Control) -> web.Response:
    return answer(await control.drop_key(request.match_info["kid"]))


_LIST, _NEW, _REVOKE = "List tokens (never their text)", "Create a token", "Revoke a token"
_INSPECT, _KEYS = "Say what a token is worth", "List signing keys (never the keys)"
_NEW_KEY, _DROP = "Make a new signing key; the old ones stay valid", "Drop a key and with it all its tokens"
_NOT = (404,)

ROUTES = (
    Route("GET", "/v1/tokens", "read", ls, _LIST, None, TokenView, True, query=OfService, refuses=_NOT),
    Route("POST", "/v1/tokens", "admin", create, _NEW, TokenRequest, TokenView, status=201, refuses=_NOT),
    Route("DELETE", "/v1/tokens/{id}", "admin", revoke, _REVOKE, response=TokenView, query=RevokeQuery),
    Route("POST", "/v1/tokens/inspect", "admin", inspect, _INSPECT, InspectRequest, TokenCheck, changes=False),
    Route("GET", "/v1/keys", "admin", keys, _KEYS, response=KeyView, many=True),
    Route("POST", "/v1/keys", "admin", rotate, _NEW_KEY, response=KeyView, status=201),
    Route("DELETE", "/v1/keys/{kid}", "admin", drop, _DROP, response=KeyView, refuses=(409,)),
)
