"""The API as it describes itself: the document is valid and whole, and what is answered is what it says."""

from __future__ import annotations

import asyncio
import inspect
import io
import json
import os
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import aiohttp
import jsonschema
import pytest
from aiohttp import web
from openapi_spec_validator import validate
from pydantic import BaseModel
from small_control import SmallControl

from orchestrator.api.app import ROUTES, build_app, serve
from orchestrator.api.docs import UPGRADE, curl, example, render
from orchestrator.api.door import admin_token
from orchestrator.api.openapi import WORDS, document
from orchestrator.api.routes import JSON, OCTETS, TAR, Route
from orchestrator.client import Client
from orchestrator.client.config import APIConfig
from orchestrator.client.request import Request
from orchestrator.client.session import AsyncSession
from orchestrator.core.errors import InvalidInput, NotFound
from orchestrator.core.ports import Invocation

ADMIN = "the-admin-token"
BEARER = {"Authorization": f"Bearer {ADMIN}"}
DOCUMENT = document(ROUTES)
BACKEND_AI = ("/version", "/services", "/events/background-task")
"""Begin the paths that `orchestrator.client.session` asks for."""
OTHERS = ("/docs", "/assets/", *BACKEND_AI)
"""Begin the paths that `Client` does not ask for: pages for people, and what `orchestrator.client.session` asks."""

every_route = pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")


@pytest.fixture
def control() -> SmallControl:
    return SmallControl()


@pytest.fixture
async def asked() -> list[tuple[str, str]]:
    """Method and path, as the table writes it, of each request that came."""
    return []


@pytest.fixture
async def url(control: SmallControl, asked: list[tuple[str, str]]) -> AsyncIterator[str]:
    @web.middleware
    async def note(request: web.Request, handler: Any) -> web.StreamResponse:
        resource = request.match_info.route.resource
        asked.append((request.method, resource.canonical if resource else ""))
        answer: web.StreamResponse = await handler(request)
        return answer

    app = build_app(control, admin_token(ADMIN), listen="127.0.0.1:0", heartbeat=0.05)
    app.middlewares.insert(0, note)
    runner = await serve(app, "127.0.0.1:0")
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def raw(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as session:
        yield session


def operation(route: Route) -> Any:
    return DOCUMENT["paths"][route.path][route.method.lower()]


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(WORDS[found[1]][2]), path)


def needed(said: Any) -> dict[str, str]:
    """The parameters of the query that an operation must have, each at its least."""
    asked = [one for one in said["parameters"] if one["in"] == "query" and one["required"]]
    return {one["name"]: str(one["schema"].get("minimum", "t1")) for one in asked}


def conforms(value: object, schema: Any) -> None:
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


# --- the document ---------------------------------------------------------------------------------------------------


async def test_the_document_is_openapi_and_served_as_it_is(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/openapi.json") as answer:
        assert (answer.status, answer.content_type) == (200, JSON)
        served = await answer.json()
    validate(served)
    assert served == DOCUMENT


@every_route
def test_each_route_is_declared_whole(route: Route) -> None:
    said = operation(route)
    assert said["x-access"] == route.access
    assert bool(said["security"]) == (route.access != "public")
    assert said["summary"]
    assert not said["summary"].endswith(".")
    assert all(one["description"] for one in said["parameters"]), "each parameter says what it is for"
    assert (route.response is None) == (
        route.status in (101, 204) or route.media in (("text/plain",), ("text/html",), (OCTETS,), (TAR,))
    )
    assert not (route.method == "GET" and route.request)
    assert str(route.status) in said["responses"]


def test_no_two_operations_share_a_name_and_each_has_a_known_tag() -> None:
    names = [operation(route)["operationId"] for route in ROUTES]
    assert len(set(names)) == len(names)
    tags = {tag["name"]: tag["description"] for tag in DOCUMENT["tags"]}
    assert all(tags.values())
    assert {tag for route in ROUTES for tag in operation(route)["tags"]} == set(tags)


def test_what_the_source_says_of_a_field_is_in_the_schema() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    assert schemas["RoutingView"]["properties"]["address"]["description"].startswith("host:port")
    assert schemas["ServiceDetail"]["properties"]["held"]["description"].startswith("Why its removal waits")
    assert schemas["RevisionView"]["properties"]["by"]["description"].startswith("Who asked")
    assert "cores" in schemas["LaunchRequest"]["properties"]["cpu"]["description"]


# --- what is answered -----------------------------------------------------------------------------------------------


@every_route
async def test_an_answer_is_what_the_document_says(route: Route, raw: aiohttp.ClientSession) -> None:
    said = operation(route)
    body = said.get("requestBody")
    sent = json.dumps(example(DOCUMENT, body["content"][JSON]["schema"])) if route.request else None
    headers = BEARER | (UPGRADE if route.status == 101 else {})
    async with raw.request(route.method, filled(route.path), params=needed(said), data=sent, headers=headers) as answer:
        assert answer.status == route.status, await answer.text()
        declared = said["responses"][str(route.status)].get("content", {})
        assert answer.content_type in (declared or {"application/octet-stream": {}})
        if answer.content_type == JSON:
            conforms(await answer.json(), declared[JSON]["schema"])
        elif item := declared.get(answer.content_type, {}).get("x-item-schema"):
            told = [line.removeprefix("data: ") for line in (await answer.text()).splitlines()]
            lines = [json.loads(line) for line in told if line.startswith("{")]
            assert lines
            for line in lines:
                conforms(line, item)


@every_route
async def test_an_error_is_a_declared_problem(route: Route, raw: aiohttp.ClientSession) -> None:
    sizes = (7, 2 << 20) if route.request else (0,)
    for headers, size in (({}, 0), *((BEARER, size) for size in sizes)):
        path = filled(route.path) + ("?unknown=1" if route.query else "")
        sent = io.BytesIO(b"x" * size) if size else None
        async with raw.request(route.method, path, headers=headers, data=sent) as answer:
            if answer.status < 400:
                continue
            assert str(answer.status) in operation(route)["responses"]
            assert answer.content_type == "application/problem+json"
            conforms(await answer.json(), {"$ref": "#/components/schemas/ErrorView"})


def wrong_parameters() -> Iterator[tuple[str, str, str, str]]:
    for route in ROUTES:
        for one in operation(route)["parameters"]:
            if one["in"] == "query" and one["schema"].get("type") in ("integer", "number", "boolean"):
                yield route.method, route.path, one["name"], "no such value"
            if "minimum" in one["schema"] and one["in"] == "query":
                yield route.method, route.path, one["name"], str(one["schema"]["minimum"] - 1)
        if route.query is not None:
            yield route.method, route.path, "unknown", "1"


@pytest.mark.parametrize(("method", "path", "name", "value"), list(wrong_parameters()))
async def test_a_wrong_parameter_is_named(
    method: str, path: str, name: str, value: str, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    given = needed(DOCUMENT["paths"][path][method.lower()]) | {name: value}
    async with raw.request(method, filled(path), params=given, headers=BEARER) as answer:
        assert answer.status == 400
        assert [one["field"] for one in (await answer.json())["errors"]] == [name]
    assert control.asked == []


@pytest.mark.parametrize(
    ("path", "sent", "fields"),
    [
        ("/v1/services", {"folder": "m", "count": -1, "cpu": "many"}, ["count", "cpu"]),
        ("/v1/services", {"folder": "m", "environ": {"KEY": 1}}, ["environ.KEY"]),
        ("/v1/services", {"folder": "m", "cuont": 1}, ["cuont"]),
        ("/v1/services", {"folder": "m", "count": True, "public": 0}, ["count", "public"]),
        ("/v1/services", {"folder": "m", "x" * 1000: 1}, ["x" * 200]),
        ("/v1/services", {"folder": "m", "mounts": ["a", 1]}, ["mounts.1"]),
        ("/v1/tokens", {}, ["service"]),
        ("/v1/applies", {"plan": {"made_at": "soon"}}, ["plan.made_at"]),
        ("/v1/tokens", [], [""]),
    ],
)
async def test_a_problem_names_each_field_that_is_wrong(
    path: str, sent: object, fields: list[str], raw: aiohttp.ClientSession
) -> None:
    async with raw.post(path, json=sent, headers=BEARER) as answer:
        problem = await answer.json()
    assert (answer.status, problem["status"]) == (400, 400)
    assert [one["field"] for one in problem["errors"]] == fields
    assert all(one["message"] in problem["detail"] for one in problem["errors"])


@pytest.mark.parametrize(("sent", "count"), [(b"2.0", 2), (b"2", 2), (b"null", None), (b"2e0", 2)])
async def test_a_whole_number_may_be_written_with_a_fraction(
    sent: bytes, count: int | None, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    async with raw.put("/v1/services/echo/scale", data=b'{"count": %s}' % sent, headers=BEARER) as answer:
        assert answer.status == 200
    assert control.asked == [("scale", "echo", count)]


@pytest.mark.parametrize("sent", [b"NaN", b"1.5", b"true", b'"2"', b"1e400", b"[" * 300, b'"\\ud800"'])
async def test_what_is_no_whole_number_is_not_taken_for_one(sent: bytes, raw: aiohttp.ClientSession) -> None:
    async with raw.put("/v1/services/echo/scale", data=b'{"count": %s}' % sent, headers=BEARER) as answer:
        assert answer.status == 400


async def test_the_fields_reach_the_users_of_the_client(url: str) -> None:
    async with Client(url, ADMIN) as client:
        with pytest.raises(InvalidInput) as caught:
            await client.events(limit=-1)
    assert [fault.field for fault in caught.value.faults] == ["limit"]


@every_route
async def test_a_method_that_a_path_lacks_says_which_it_has(route: Route, raw: aiohttp.ClientSession) -> None:
    async with raw.request("TRACE", filled(route.path), headers=BEARER) as answer:
        assert answer.status == 405
        assert {one.lower() for one in answer.headers["Allow"].split(", ")} == set(DOCUMENT["paths"][route.path])


# --- the client -----------------------------------------------------------------------------------------------------


async def nothing_comes() -> AsyncIterator[bytes]:
    for _ in ():
        yield b""


def sample(kind: Any) -> Any:
    """Some value of an annotated kind."""
    if kind is AsyncIterable[bytes]:
        return nothing_comes()
    if kind is Invocation:
        return Invocation(("echo",))
    origin, inner = get_origin(kind), get_args(kind)
    if kind is NoneType or (origin is UnionType and NoneType in inner):
        return None
    if origin is Literal:
        return inner[0]
    if origin is tuple or origin is Sequence:
        return (sample(inner[0]),)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        hints = get_type_hints(kind)
        wanted = {name for name, field in kind.model_fields.items() if field.is_required()}
        return kind.model_validate({name: sample(hints[name]) for name in wanted})
    known = {bytes: b"", str: "echo", int: 2, float: 0.5, bool: True, datetime: datetime.now(UTC)}
    return known.get(kind, {})


async def test_every_route_is_asked_by_a_method_of_the_client(url: str, asked: list[tuple[str, str]]) -> None:
    async with Client(url, ADMIN, timeout=10) as client:
        for name, method in inspect.getmembers(client, inspect.ismethod):
            if not name.startswith("_") and name not in ("ask", "raw"):  # these ask for any path
                await call(method)
    ours = {(route.method, route.path) for route in ROUTES if not route.path.startswith(OTHERS) and route.path != "/"}
    assert set(asked) == ours


async def test_every_path_of_backend_ai_is_asked_by_the_sdk(url: str, asked: list[tuple[str, str]]) -> None:
    async with AsyncSession(APIConfig(url, token=ADMIN)) as session:
        service, services = session.Service("echo"), session.Service
        for ask in (services.list, services.runtimes, service.info, service.sync, service.errors, service.clear_error):
            await ask()
        await services.create(None, "echo", max_wait=0)
        await services.try_start(None, "echo")
        await service.update(desired_session_count=2)
        await service.scale(1)
        await service.generate_api_token("1h")
        await service.update_traffic_ratio("r1", 0.5)
        await service.downscale_single_route("r1")
        await service.delete()
        async with Request("GET", "/events/background-task", params={"task_id": "t1"}).fetch():
            pass
    told = {(method, path) for method, path in asked if not path.startswith("/v1/")}
    assert told == {(r.method, r.path) for r in ROUTES if r.path.startswith(BACKEND_AI)}


async def call(method: Any) -> None:
    hints = get_type_hints(method)
    wanted = [p for p in inspect.signature(method).parameters.values() if p.default is p.empty]
    result = method(**{one.name: sample(hints[one.name]) for one in wanted})
    with suppress(NotFound):
        if inspect.isasyncgen(result):
            async with aclosing(result):
                await anext(result)
        elif isinstance(result, AbstractAsyncContextManager):
            async with result:
                pass
        else:
            await result


# --- the page -------------------------------------------------------------------------------------------------------


class Elements(HTMLParser):
    VOID = ("meta", "link", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_page_has_everything_and_loads_nothing(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/docs") as answer:
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        page = Elements(await answer.text())
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {operation(route)["operationId"] for route in ROUTES} <= set(ids)
    assert {f"schema-{name}" for name in DOCUMENT["components"]["schemas"]} <= set(ids)
    links = {attributes["href"] for tag, attributes in page.seen if tag in ("a", "link")}
    assert links - {f"#{one}" for one in ids} == {"openapi.json", "data:,"}
    assert not {tag for tag, _ in page.seen} & {"script", "img", "iframe", "object", "form"}
    assert not any(name in attributes for _, attributes in page.seen for name in ("src", "style", "onclick"))


def test_what_a_document_says_is_text_on_the_page() -> None:
    hostile = json.loads(json.dumps(DOCUMENT).replace("List services", "<script>alert(1)</script>"))
    assert "<script" not in render(hostile)


async def test_each_example_on_the_page_works_in_a_shell(url: str) -> None:
    lines = [curl(DOCUMENT, route.method, route.path, operation(route)) for route in ROUTES]
    script = "\n".join(line.replace("curl", "curl -s -m 10 -o /dev/null -w '%{http_code}\\n'", 1) for line in lines)
    environment = {**os.environ, "ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN}
    shell = await asyncio.create_subprocess_exec(
        *("bash", "-c", script), env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(shell.communicate(), 60)
    assert dict(zip(lines, told.decode().split(), strict=True)) == {
        line: str(route.status) for line, route in zip(lines, ROUTES, strict=True)
    }
