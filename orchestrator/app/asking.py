"""A request to a service's endpoint by whoever may use the API: through the gateway, as every client's.

It can reach nothing but that endpoint: the address is the gateway's own, the path stays below the service, redirects
are not followed, and the token that is sent is for this service and this minute only. It is not remembered.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from orchestrator.api.control import Asked
from orchestrator.app.changes import ServiceChanges
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.errors import Unavailable
from orchestrator.core.state import ASKING, Token

VALID = 60.0
"""Seconds: a request begins within them, and may go on for longer."""
SILENT = 600.0
"""Seconds without a byte after which an answer is given up."""
CHUNK = 1 << 16


class Asking(ServiceChanges):
    """The part of `api.control.Control` that asks endpoints."""

    @asynccontextmanager
    async def ask_endpoint(self, ref: str, request: AskRequest) -> AsyncIterator[Asked]:
        service = self._find(ref)
        url = URL(f"{self._parts.settings.gateway.local_url}/inference/{service.name}{request.path}", encoded=True)
        headers = {**request.sent, "Authorization": f"Bearer {self._pass(service.name)}"}
        headers.setdefault("Accept", "*/*")
        timeout = aiohttp.ClientTimeout(total=None, connect=5, sock_read=SILENT)
        try:
            async with (
                aiohttp.ClientSession(auto_decompress=False, skip_auto_headers=("User-Agent",)) as session,
                session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.data,
                    allow_redirects=False,
                    timeout=timeout,
                    ssl=_own_certificate(),
                ) as response,
            ):
                told = {name.lower(): value for name, value in response.headers.items()}
                yield Asked(response.status, told, response.content.iter_chunked(CHUNK))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            hint = "`orchestrator status` shows how the gateway is"
            why = str(error) or "no answer in time"
            raise Unavailable(f"cannot ask {service.name}: {why}", hint=hint) from None

    def _pass(self, service: str) -> str:
        """The text of a token that nobody gets to see."""
        now = self._parts.clock.wall()
        kid = self._parts.keys.signing_keys()[0].kid
        token = Token(ASKING, service, ASKING, "infer", now, now + VALID, kid)
        return self._parts.keys.issue(token, now)


def _own_certificate() -> ssl.SSLContext:
    """It is made out for the name that others use, and we know whom we ask."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
