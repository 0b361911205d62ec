"""The dashboard: a web page that asks this API, and the files it is made of."""

from __future__ import annotations

import asyncio
from functools import cache

from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.routes import Route
from orchestrator.core.errors import NotFound
from orchestrator.dashboard import Asset, Assets

_HTML, _ANY = "text/html", "text/plain"
_OURS_ONLY = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""Nothing in the page's text runs, nothing is asked of anybody else, nobody shows it within a page of their own."""
_FOR_GOOD, _ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"


@cache
def assets() -> Assets:
    return Assets()


async def page(request: web.Request, _: Control) -> web.Response:
    return _answer(request, await asyncio.to_thread(assets().page), _ASK_AGAIN)


async def asset(request: web.Request, _: Control) -> web.Response:
    """The version in the address is that of all files together; another one is answered with what there is now, to be
    asked again."""
    version, name = request.match_info["version"], request.match_info["asset"]
    found = await asyncio.to_thread(assets().find, name)
    if found is None:
        raise NotFound(f"the page has no file {name[:100]!r}", hint="reload the page: the daemon may be a newer one")
    return _answer(request, found, _FOR_GOOD if version == assets().version else _ASK_AGAIN)


def _answer(request: web.Request, found: Asset, caching: str) -> web.Response:
    headers = {**_OURS_ONLY, "Cache-Control": caching, "ETag": found.tag, "Vary": "Accept-Encoding"}
    known = [one.strip().removeprefix("W/") for one in request.headers.get("If-None-Match", "").split(",")]
    if found.tag in known:
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = found.kind
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=found.gzipped, headers={**headers, "Content-Encoding": "gzip"})
    return web.Response(body=found.content, headers=headers)


_PAGE, _FILE = "The dashboard", "A file of the dashboard"

ROUTES = (
    Route("GET", "/", "public", page, _PAGE, media=(_HTML,)),
    Route("GET", "/assets/{version}/{asset}", "public", asset, _FILE, media=(_ANY,)),
)
