"""Puts the API up: the table of routes, the middlewares around it, a listening socket."""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import Collection

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler

from orchestrator.api import (
    access,
    asking,
    auditing,
    backendai,
    background,
    docs,
    events,
    headers,
    inside,
    middlewares,
    models,
    observing,
    page,
    plans,
    revisions,
    routings,
    services,
    status,
    tokens,
    tries,
)
from orchestrator.api.connections import CONNECTIONS, Connections, Tls
from orchestrator.api.control import Control
from orchestrator.api.door import Authenticate, Door
from orchestrator.api.routes import CONTROL, Route
from orchestrator.api.streams import CLOSING, HEARTBEAT
from orchestrator.core.errors import Conflict, InvalidInput, Unavailable
from orchestrator.settings import address

log = structlog.get_logger()

ROUTES: tuple[Route, ...] = (
    *status.ROUTES,
    *services.ROUTES,
    *revisions.ROUTES,
    *plans.ROUTES,
    *routings.ROUTES,
    *inside.ROUTES,
    *events.ROUTES,
    *observing.ROUTES,
    *tokens.ROUTES,
    *access.ROUTES,
    *tries.ROUTES,
    *models.ROUTES,
    *asking.ROUTES,
    *background.ROUTES,
    *backendai.ROUTES,
    *docs.ROUTES,
    *page.ROUTES,
)

_MOST_BODY = 1 << 20
_MOST_HEADER = 16 << 10
_MOST_LINE = 64 << 10
"""A path of 4,096 characters has 49,152 bytes where each of them is encoded."""
_LINGER = 2.0
"""Seconds in which what is still sent after the answer is thrown away, so that the answer arrives."""
_MOST_CONNECTIONS = 1000
"""At most half of the files that the process may open."""


def build_app(
    control: Control,
    authenticate: Authenticate,
    *,
    listen: str,
    heartbeat: float = 2.0,
    sure: str = "",
    origins: Collection[str] = (),
) -> web.Application:
    """`listen`: the address that it will be served on, for the Host check; `heartbeat`: seconds between those of a
    silent stream, after which a client that left is noticed; `sure`: a token that nobody guesses; `origins`: other
    sites whose pages may ask."""
    table = {(route.method, route.path): route for route in ROUTES}
    app = web.Application(
        middlewares=(
            middlewares.request_log(table),
            headers.preflight(origins),
            middlewares.audit(table),
            middlewares.errors,
            middlewares.known_host(listen),
            middlewares.access(Door(authenticate, sure), table),
        ),
        client_max_size=_MOST_BODY,
    )
    app[CONTROL] = control
    app[docs.TABLE] = ROUTES
    app[CLOSING] = asyncio.Event()
    app[HEARTBEAT] = heartbeat
    app[auditing.STRANGERS] = auditing.strangers()
    app[CONNECTIONS] = Connections(_places())
    for route in ROUTES:
        app.router.add_route(route.method, _pattern(route.path), _bind(route))
    app.on_response_prepare.append(headers.on_answer(origins))
    app.on_shutdown.append(_end_streams)
    return app


def _places() -> int:
    return min(_MOST_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


async def serve(app: web.Application, listen: str, tls: Tls | None = None) -> web.AppRunner:
    """Listen; `runner.cleanup()` ends it within 5 s. Port 0 takes a free one (`runner.addresses`).

    Raises `InvalidInput`, `Conflict` (the port is taken) or `Unavailable`.
    """
    try:
        host, port = address(listen)
    except ValueError as error:
        raise InvalidInput(f"cannot listen: {error}") from None
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=5.0,
        max_line_size=_MOST_LINE,
        max_field_size=_MOST_HEADER,
        lingering_time=_LINGER,
    )
    await runner.setup()
    try:
        await _Site(runner, host, port, tls).start()
    except OSError as error:
        await runner.cleanup()
        text = f"cannot listen on {listen}: {error.strerror or error}"
        kind = Conflict if error.errno == errno.EADDRINUSE else Unavailable
        raise kind(text, hint="another program holds the port; set [api] listen to a free one") from None
    log.info("API listens", address=f"{host}:{runner.addresses[0][1]}")
    return runner


class _Site(web.TCPSite):
    """Its connections are counted, and do not wait for ever: see `api.connections`."""

    def __init__(self, runner: web.AppRunner, host: str, port: int, tls: Tls | None) -> None:
        super().__init__(runner, host, port)
        self._tls = tls
        self._connections: Connections = runner.app[CONNECTIONS]

    async def start(self) -> None:
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None
        self._connections.start(server, self._tls)
        self._server = await asyncio.get_running_loop().create_server(self._connections.take, self._host, self._port)

    async def stop(self) -> None:
        await self._connections.close()
        await super().stop()


def _pattern(path: str) -> str:
    """What a file's path matches may have slashes in it."""
    return path.replace("{path}", "{path:(?s:.+)}").replace("{asset}", "{asset:.+}")


def _bind(route: Route) -> WebHandler:
    reader = auditing.reader_of(route, ROUTES) if route.changing else None

    async def handle(request: web.Request) -> web.StreamResponse:
        control = request.app[CONTROL]
        if route.changing:
            await auditing.begin(request, route, reader, control)
        return await route.handler(request, control)

    return handle


async def _end_streams(app: web.Application) -> None:
    app[CLOSING].set()
