"""What the API says of itself: the document of `api.openapi`, and a page made from it that needs nothing else."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import jinja2
from aiohttp import web

from orchestrator.api.control import Control
from orchestrator.api.openapi import Json, document
from orchestrator.api.routes import JSON, Route
from orchestrator.core.daemon_views import DocumentView

TABLE: web.AppKey[tuple[Route, ...]] = web.AppKey("table", tuple)
"""All routes of the application."""

_HTML = "text/html"
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "b3JjaGVzdHJhdG9yLWtleQ==",
}
"""What makes a request one for a WebSocket; the key is no secret, and any."""
_ALONE = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""The page runs nothing and loads nothing."""


async def openapi(request: web.Request, _: Control) -> web.Response:
    made, _page = await asyncio.to_thread(_served, request.app[TABLE])
    return web.Response(body=made, content_type=JSON)


async def docs(request: web.Request, _: Control) -> web.Response:
    _document, page = await asyncio.to_thread(_served, request.app[TABLE])
    return web.Response(body=page, content_type=_HTML, charset="utf-8", headers=_ALONE)


@cache
def _served(routes: tuple[Route, ...]) -> tuple[bytes, bytes]:
    """The document and the page, made when first asked for."""
    made = document(routes)
    return json.dumps(made, ensure_ascii=False).encode(), render(made).encode()


def render(made: Json) -> str:
    """The page of an OpenAPI document that `api.openapi` made."""
    source = (resources.files(__package__) / "docs.html.j2").read_text("utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    return template.render(document=made, curl=curl, resolved=resolved, groups=_groups(made))


def _groups(made: Json) -> list[tuple[Json, list[tuple[str, str, Json]]]]:
    """Each tag with its operations as method, path, operation."""
    every = [(method.upper(), path, one) for path, item in made["paths"].items() for method, one in item.items()]
    return [(tag, [found for found in every if tag["name"] in found[2]["tags"]]) for tag in made["tags"]]


def curl(made: Json, method: str, path: str, operation: Json) -> str:
    """A line for a shell that has ORCHESTRATOR_URL and ORCHESTRATOR_TOKEN: what an operation least needs."""
    for one in operation["parameters"]:
        path = path.replace("{" + one["name"] + "}", str(one.get("example", "")))
    words = ["curl"] if method == "GET" else ["curl", "-X", method]
    if operation["security"]:
        words.append('-H "Authorization: Bearer $ORCHESTRATOR_TOKEN"')
    taken = operation.get("requestBody", {}).get("content", {})
    if JSON in taken:
        sent = json.dumps(example(made, taken[JSON]["schema"]), ensure_ascii=False)
        words += [f"-H 'Content-Type: {JSON}'", "-d", shlex.quote(sent)]
    elif taken:
        words += [f"-H 'Content-Type: {next(iter(taken))}'", "--data-binary", "x"]
    if "101" in operation["responses"]:
        words += [f"-H '{name}: {value}'" for name, value in UPGRADE.items()]
    asked = [f"{one['name']}={one['schema'].get('minimum', 0) + 1}" for one in operation["parameters"] if _must(one)]
    query = f"?{'&'.join(asked)}" if asked else ""
    return " ".join([*words, f'"$ORCHESTRATOR_URL{path}{query}"'])


def _must(parameter: Mapping[str, Any]) -> bool:
    return bool(parameter["in"] == "query" and parameter["required"])


def example(made: Json, schema: Mapping[str, Any]) -> Any:
    """The smallest value that a schema of the document takes."""
    schema = resolved(made, schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: example(made, schema["properties"][name]) for name in schema.get("required", [])}
        case "array":
            return []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return True
        case _:
            return "echo"


def resolved(made: Json, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference within the document leads to; any other schema as it is."""
    found: Any = made if "$ref" in schema else schema
    for step in schema.get("$ref", "").split("/")[1:]:
        found = found[step]
    return found  # type: ignore[no-any-return]


_WHAT, _PAGE = "This API as OpenAPI 3.1", "This API as a page to read"

ROUTES = (
    Route("GET", "/openapi.json", "public", openapi, _WHAT, response=DocumentView),
    Route("GET", "/docs", "public", docs, _PAGE, media=(_HTML,)),
)
