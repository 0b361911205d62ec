"""Connections of the API: bounded in number and in patience, since whoever opens one has shown no token yet.

A request that is not complete, a body that stops coming and an answer that nobody reads end after a while. Where many
have shown no token, or all places are taken, the one that has shown none for longest gives way to the next that comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

log = structlog.get_logger()

HEADERS = 20.0
"""Seconds from a connection's begin, or its last answer, until the next request's headers are there."""
IDLE = 75.0
"""The same where a token was shown: more than proxies in front keep a connection."""
HANDSHAKE = 10.0
STALL = 30.0
"""Seconds in which some of a body comes, or some of an answer is read."""
SWEEP = 2.0
STRANGERS = 250
"""Connections that have shown no token: with TLS each costs a third of a megabyte."""
Tls = Callable[[], ssl.SSLContext]
"""What the next handshake is made with."""


class Connection(asyncio.Protocol):
    """Stands between a socket and aiohttp's own protocol, and sees what that does not tell. With TLS it counts, and can
    be ended, from before its handshake."""

    def __init__(self, inner: RequestHandler, among: Connections) -> None:
        self.inner = inner
        self._among = among
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._shaking: asyncio.Task[None] | None = None
        self._begun = False
        self._early: list[bytes] = []
        self.request: web.BaseRequest | None = None
        self.since = self._loop.time()
        """When it began to wait for a request."""
        self._heard = self.since
        self._full_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._among.opened(self)
        if (tls := self._among.tls) is None:
            self._begin(transport)
        else:
            transport.pause_reading()
            self._shaking = self._loop.create_task(self._shake(transport, tls()), name="api handshake")

    async def _shake(self, transport: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            secure = await self._loop.start_tls(
                transport, self, context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except (OSError, RuntimeError) as error:  # a client that speaks no TLS, trusts us not, or leaves
            log.debug("api.no_handshake", cause=str(error))
            self._among.closed(self)
            transport.abort()
            return
        if secure is not None:
            self._begin(secure)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._begun, self._transport = True, transport
        self.inner.connection_made(transport)
        for data in self._early:
            self.inner.data_received(data)
        self._early = []

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        if self._begun:
            self.inner.data_received(data)
        else:  # on the heels of the handshake
            self._early.append(data)

    def eof_received(self) -> bool | None:
        if self._begun:
            self.inner.eof_received()
        return None

    def connection_lost(self, error: BaseException | None) -> None:
        self._among.closed(self)
        if self._begun:
            self.inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._full_since = self._loop.time()
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self._full_since = 0.0
        self.inner.resume_writing()

    def begins(self, request: web.BaseRequest) -> None:
        self.request, self._heard = request, self._loop.time()

    def ends(self) -> None:
        self.request, self.since = None, self._loop.time()

    def tires(self, now: float) -> str:
        """Why nobody waits for it any longer; empty: it may go on."""
        if self._full_since and now - self._full_since > STALL:
            return "nobody reads its answer"
        if self.request is None:
            patience = HEADERS if self._among.is_stranger(self) else IDLE
            return "no request came" if now - self.since > patience else ""
        if not self.request.content.is_eof() and now - self._heard > STALL:
            return "its body stopped coming"
        return ""

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class Connections:
    """All that are open. `most`: places."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.tls: Tls | None = None
        self._open: dict[Connection, None] = {}
        self._strangers: dict[Connection, None] = {}
        """Of those that are open, by age."""
        self._of: dict[RequestHandler, Connection] = {}
        self._sweeping: asyncio.Task[None] | None = None

    def start(self, make: Callable[[], RequestHandler], tls: Tls | None) -> None:
        """`make`: aiohttp's protocol of one more connection."""
        self._make = make
        self.tls = tls
        self._sweeping = asyncio.create_task(self._sweep(), name="api connections")

    async def close(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeping
        for connection in [one for one in self._open if one.request is None]:
            connection.abort()

    def take(self) -> asyncio.Protocol:
        """The protocol of a connection that comes."""
        if len(self._open) >= self._most or len(self._strangers) >= STRANGERS:
            stranger = next(iter(self._strangers), None)
            if stranger is None:
                return _Refusal()
            self.closed(stranger)
            stranger.abort()
        return Connection(self._make(), self)

    def opened(self, connection: Connection) -> None:
        self._open[connection] = self._strangers[connection] = None
        self._of[connection.inner] = connection

    def closed(self, connection: Connection) -> None:
        self._open.pop(connection, None)
        self._strangers.pop(connection, None)
        self._of.pop(connection.inner, None)

    def is_stranger(self, connection: Connection) -> bool:
        """No valid token came on it."""
        return connection in self._strangers

    @contextlib.contextmanager
    def serving(self, request: web.Request) -> Iterator[Connection | None]:
        """While a request is answered."""
        connection = self._of.get(request.protocol)
        if connection is not None:
            connection.begins(request)
        try:
            yield connection
        finally:
            if connection is not None:
                connection.ends()

    def knows(self, request: web.Request) -> None:
        """A valid token came with it."""
        if (connection := self._of.get(request.protocol)) is not None:
            self._strangers.pop(connection, None)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            now = asyncio.get_running_loop().time()
            for connection in list(self._open):
                if why := connection.tires(now):
                    log.debug("api.connection_ended", cause=why)
                    connection.abort()


class _Refusal(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.abort()


CONNECTIONS: web.AppKey[Connections] = web.AppKey("connections", Connections)
