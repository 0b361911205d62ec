"""Tokens and the keys that sign them."""

from __future__ import annotations

from orchestrator.client.connection import Connection, flag, path_of
from orchestrator.core.token_views import InspectRequest, KeyView, TokenCheck, TokenRequest, TokenView


class TokenCalls(Connection):
    async def token_create(self, request: TokenRequest) -> TokenView:
        return await self._one("POST", "/v1/tokens", TokenView, body=request)

    async def tokens(self, service: str | None = None) -> tuple[TokenView, ...]:
        return await self._many("GET", "/v1/tokens", TokenView, query={"service": service})

    async def token_revoke(self, token_id: str, *, now: bool = False) -> TokenView:
        return await self._one("DELETE", path_of("/v1/tokens", token_id), TokenView, query={"now": flag(now)})

    async def token_inspect(self, text: str) -> TokenCheck:
        return await self._one("POST", "/v1/tokens/inspect", TokenCheck, body=InspectRequest(token=text))

    async def keys(self) -> tuple[KeyView, ...]:
        return await self._many("GET", "/v1/keys", KeyView)

    async def rotate_key(self) -> KeyView:
        return await self._one("POST", "/v1/keys", KeyView)

    async def drop_key(self, kid: str) -> KeyView:
        return await self._one("DELETE", path_of("/v1/keys", kid), KeyView)
