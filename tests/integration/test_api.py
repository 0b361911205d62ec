"""The API on a real socket, asked by the client that ships."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from small_control import (
    ACCESS,
    AUDIT,
    CONFIG,
    DEFINITION,
    ECHO,
    FAILURE,
    FILES,
    JUDGED,
    MODEL,
    PLAN,
    REVISIONS,
    ROUTING,
    SERIES,
    TARGET,
    TOKEN,
    TOP,
    TRY,
    USAGE,
    SmallControl,
)

from orchestrator.api.app import ROUTES, build_app, serve
from orchestrator.api.door import admin_token
from orchestrator.api.metrics import Metrics, Scraped, ServiceFacts
from orchestrator.api.openapi import WORDS
from orchestrator.api.routes import Route
from orchestrator.client import Client
from orchestrator.core.access import Caller
from orchestrator.core.access_views import WhoamiView
from orchestrator.core.ask_views import AskRequest
from orchestrator.core.daemon_views import TryRequest
from orchestrator.core.errors import (
    Conflict,
    InvalidInput,
    NotAuthorised,
    NotFound,
    OrchestratorError,
    RuntimeFailure,
    Unavailable,
)
from orchestrator.core.latency import bucket
from orchestrator.core.model_views import DefinitionRequest, ValidateRequest
from orchestrator.core.plan_views import ApplyRequest, ApplyView, PlanRequest
from orchestrator.core.state import RoutingStatus, ServiceStatus
from orchestrator.core.token_views import TokenRequest
from orchestrator.core.traffic_views import LogLevelView
from orchestrator.core.views import LaunchRequest, ModifyRequest
from orchestrator.records import Totals

ADMIN, READER = "the-admin-token", "a-reader"
BEARER = {"Authorization": f"Bearer {ADMIN}"}


@pytest.fixture
def control() -> SmallControl:
    """To be replaced by the daemon's own."""
    return SmallControl()


async def authenticate(text: str) -> Caller:
    return Caller("read", "reader", "t9", 2e9) if text == READER else await admin_token(ADMIN)(text)


@pytest.fixture
async def runner(control: SmallControl) -> AsyncIterator[web.AppRunner]:
    runner = await serve(build_app(control, authenticate, listen="127.0.0.1:0", heartbeat=0.05), "127.0.0.1:0")
    yield runner
    await runner.cleanup()


@pytest.fixture
def url(runner: web.AppRunner) -> str:
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    async with Client(url, ADMIN, timeout=10) as client:
        yield client


@pytest.fixture
async def raw(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(url) as session:
        yield session


def example(route: Route) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: str(WORDS[found[1]][2]), route.path)


# --- access ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("route", ROUTES, ids=lambda r: f"{r.method} {r.path}")
async def test_each_route_asks_for_the_access_that_the_table_says(route: Route, raw: aiohttp.ClientSession) -> None:
    seen = []
    for token in ("", "wrong", READER):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with raw.request(route.method, example(route), headers=headers, data=b"no json") as answer:
            seen.append(answer.status if answer.status in (401, 403) else 0)
    assert seen == {"public": [0, 0, 0], "read": [401, 401, 0], "admin": [401, 401, 403]}[route.access]


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic dGVzdA==", f"BackendAI {ADMIN}", f"Bearer {ADMIN}x"],
)
async def test_what_is_not_the_admin_token_opens_nothing(header: str, raw: aiohttp.ClientSession) -> None:
    async with raw.get("/v1/status", headers={"Authorization": header}) as answer:
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.content_type == "application/problem+json"
        assert (await answer.json())["code"] == "not_authorised"


async def test_an_empty_admin_token_opens_nothing() -> None:
    for expected, sent in (("", ""), (ADMIN, "\udcff")):  # the other is a byte of a header that is no UTF-8
        with pytest.raises(NotAuthorised):
            await admin_token(expected)(sent)


@pytest.mark.parametrize(
    ("host", "status"),
    [("evil.example", 403), ("evil.example:8090", 403), ("localhost:1", 200), ("[::1]:80", 200), ("127.9.9.9", 200)],
)
async def test_a_loopback_bind_answers_loopback_names_only(host: str, status: int, raw: aiohttp.ClientSession) -> None:
    async with raw.get("/healthz", headers={"Host": host}) as answer:
        assert answer.status == status


async def _all(entries: AsyncGenerator[Any, None]) -> list[Any]:
    return [entry async for entry in entries]


async def _first(entries: AsyncGenerator[Any, None]) -> Any:
    async with aclosing(entries):
        return await anext(entries)


# --- each method ----------------------------------------------------------------------------------------------------

WANTED = DefinitionRequest(text="ü: 1\n", digest="d1")
WRITTEN = DEFINITION.model_copy(update={"text": WANTED.text, "digest": "d2"})
CALLS: list[tuple[Callable[[Client], Awaitable[object]], tuple[object, ...] | None, object]] = [
    (lambda c: c.services(), ("services",), (ECHO,)),
    (lambda c: c.routings(), ("routings", None), (ROUTING,)),
    (lambda c: c.routings("ECHO"), ("routings", "ECHO"), (ROUTING,)),
    (lambda c: c.start(LaunchRequest(folder="/m", count=2)), ("start", LaunchRequest(folder="/m", count=2)), ECHO),
    (lambda c: c.remove("echo"), ("remove", "echo"), None),
    (lambda c: c.scale("echo", 0), ("scale", "echo", 0), ECHO),
    (lambda c: c.scale("echo", None), ("scale", "echo", None), ECHO),
    (lambda c: c.retry("echo"), ("retry", "echo"), ECHO),
    (
        lambda c: c.modify("echo", ModifyRequest(count=2, image=None, edit=True)),
        ("modify", "echo", {"count": 2, "image": None, "edit": True}),
        ECHO,
    ),
    (lambda c: c.sync("echo"), ("sync", "echo"), ECHO),
    (lambda c: c.errors("echo"), ("errors", "echo"), (FAILURE,)),
    (lambda c: c.reset("echo"), ("reset", "echo", None), ECHO),
    (lambda c: c.reset("echo", ["public"]), ("reset", "echo", ("public",)), ECHO),
    (lambda c: c.remove_routing("r1", replaced=True), ("remove_routing", "r1", True), ECHO),
    (lambda c: c.try_begin(TryRequest(folder="/m")), ("try_begin", TryRequest(folder="/m")), TRY),
    (lambda c: c.tries(), ("tries",), (TRY,)),
    (lambda c: c.try_view("t1"), ("try_view", "t1"), TRY),
    (
        lambda c: c.try_cancel("t1"),
        ("try_cancel", "t1"),
        TRY.model_copy(update={"state": "cancelled", "finished": True}),
    ),
    (lambda c: c.plan(PlanRequest(path="/m")), ("plan", PlanRequest(path="/m")), PLAN),
    (lambda c: c.pending(), ("plan", PlanRequest()), PLAN),
    (lambda c: c.apply(ApplyRequest(plan=PLAN)), ("apply", ApplyRequest(plan=PLAN)), ApplyView(targets=(TARGET,))),
    (lambda c: c.revision("echo", 2), ("revision", "echo", 2), REVISIONS[1]),
    (lambda c: c.rollback("echo"), ("rollback", "echo", None), ECHO),
    (lambda c: c.rollback("echo", 2), ("rollback", "echo", 2), ECHO),
    (lambda c: c.promote("echo"), ("promote", "echo"), ECHO),
    (lambda c: c.abort("echo"), ("abort", "echo"), ECHO),
    (lambda c: c.set_ratio("r1", 0.5), ("set_ratio", "r1", 0.5), ROUTING.model_copy(update={"traffic_ratio": 0.5})),
    (lambda c: c.confirm_removal(), ("confirm_removal", None), ("echo",)),
    (lambda c: c.confirm_removal("x"), ("confirm_removal", "x"), ("x",)),
    (lambda c: c.tokens("echo"), ("tokens", "echo"), (TOKEN,)),
    (lambda c: c.models(), ("models",), (MODEL,)),
    (lambda c: c.model("echo"), ("model", "echo"), MODEL),
    (lambda c: c.remove_model("echo", force=True), ("remove_model", "echo", True), None),
    (lambda c: c.model_files("echo"), ("model_files", "echo", ""), FILES),
    (lambda c: c.model_files("echo", "a/b"), ("model_files", "echo", "a/b"), FILES),
    (lambda c: c.remove_model_file("echo", "a/b"), ("remove_model_file", "echo", "a/b"), None),
    (lambda c: c.definition("echo"), ("definition", "echo"), DEFINITION),
    (lambda c: c.write_definition("echo", WANTED), ("write_definition", "echo", WANTED), WRITTEN),
    (
        lambda c: c.validate(ValidateRequest(text="x", model="m")),
        ("validate", ValidateRequest(text="x", model="m")),
        JUDGED,
    ),
    (lambda c: c.audit(after=3, service="echo", limit=7), ("audit", 3, "echo", 7), AUDIT),
    (lambda c: c.config(), ("config",), CONFIG),
    (lambda c: c.whoami(), None, WhoamiView(access="admin", name="admin.token")),
    (lambda c: c.top(), ("top",), (TOP,)),
    (lambda c: c.series("echo", window=60), ("series", "echo", 60.0), SERIES),
    (lambda c: c.series(), ("series", None, 3600.0), SERIES),
    (lambda c: c.usage(token="alice", days=7), ("usage", None, "alice", 7), (USAGE,)),
    (lambda c: _all(c.access("echo", tail=5)), ("access", "echo", 5, False), [ACCESS]),
    (lambda c: _first(c.access("echo", tail=5, follow=True)), ("access", "echo", 5, True), ACCESS),
    (lambda c: c.log_level(), None, LogLevelView(level="info")),
    (lambda c: c.set_log_level("debug"), ("set_log_level", "debug"), LogLevelView(level="debug")),
    (lambda c: c.metrics(), None, b"orchestrator_services 1\n"),
    (lambda c: c.ready(), None, None),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
async def test_a_call_reaches_the_daemon_and_its_answer_comes_back(
    number: int, client: Client, control: SmallControl
) -> None:
    call, asked, answer = CALLS[number]
    assert await call(client) == answer
    assert control.asked == ([asked] if asked else [])


async def test_any_number_of_targets_is_asked_for(client: Client, control: SmallControl) -> None:
    found = await client.applied([TARGET] * 60)
    assert [len(asked[1]) for asked in control.asked if isinstance(asked[1], tuple)] == [50, 10]
    assert [one.state for one in found] == ["under_way", "done"]


async def test_answers_keep_their_types(client: Client) -> None:
    assert (await client.status()).uptime == 12.5
    assert (await client.service("echo")).routings == (ROUTING,)
    assert (await client.explain("echo")).causes[0].log_tail == ("boom\x1b[2J",)
    assert [one.number for one in await client.revisions("echo")] == [3, 2, 1]
    assert (await client.revision("echo", 2)).files is None
    assert [check.state for check in await client.doctor()] == ["fail"]


async def test_tokens_and_keys(client: Client, control: SmallControl) -> None:
    wanted = TokenRequest(service="echo", expires="3d")
    assert (await client.token_create(wanted)).token == "secret-text"
    assert (await client.token_revoke("t1", now=True)).revoked_at is not None
    assert (await client.token_inspect("bad")).reason == "expired"
    assert ("token_revoke", "t1", True) in control.asked
    assert ("token_create", wanted) in control.asked
    assert [(await client.keys())[0].kid, (await client.rotate_key()).kid, (await client.drop_key("k1")).kid] == [
        *("k1", "k2", "k1")
    ]


@pytest.mark.parametrize("ref", ["a/b", "a%2Fb", "a b", "ä", "?x=1", "#", "a\nb", "../status", "%"])
async def test_a_ref_stays_one_piece_whatever_it_holds(ref: str, client: Client, control: SmallControl) -> None:
    with pytest.raises(NotFound) as caught:
        await client.service(ref)
    assert control.asked == [("service", ref)]
    assert caught.value.message == f"cannot find service {ref!r}"


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (InvalidInput, 400),
        (NotAuthorised, 401),
        (NotFound, 404),
        (Conflict, 409),
        (RuntimeFailure, 502),
        (Unavailable, 503),
        (OrchestratorError, 500),
    ],
)
async def test_an_error_crosses_the_wire_whole(
    kind: type[OrchestratorError], status: int, client: Client, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    control.raises = kind("cannot x: ü", hint="do y", code="special")
    with pytest.raises(kind) as caught:
        await client.status()
    assert (type(caught.value), caught.value.message, caught.value.hint, caught.value.code) == (
        *(kind, "cannot x: ü", "do y", "special"),
    )
    async with raw.get("/v1/status", headers=BEARER) as answer:
        assert answer.status == status
        assert (await answer.json()).keys() == {
            "type",
            "title",
            "status",
            "detail",
            "code",
            "hint",
            "errors",
            "problems",
        }


async def test_an_unexpected_error_says_nothing_of_itself(client: Client, control: SmallControl) -> None:
    control.raises = KeyError("a secret")
    with pytest.raises(OrchestratorError) as caught:
        await client.status()
    assert caught.value.code == "internal"
    assert "a secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"[]", "object"),
        (b"{}", "folder"),
        (b'{"folder": "x", "cout": 2}', "cout"),
        (b'{"folder": "x", "count": -1}', "count"),
        (b'{"folder": ""}', "folder"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
    ],
)
async def test_a_body_that_is_wrong_is_refused_by_name(
    body: bytes, said: str, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    async with raw.post("/v1/services", data=body, headers=BEARER) as answer:
        assert answer.status == 400
        assert said in (await answer.json())["detail"]
    assert control.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "no_such_route"),
        ("PATCH", "/v1/services", 405, "method_not_allowed"),
        ("GET", "/v1/logs/echo?tail=many", 400, "invalid_input"),
        ("GET", "/v1/logs/echo?tail=-1", 400, "invalid_input"),
        ("GET", "/v1/events?limit=-1", 400, "invalid_input"),
        ("GET", f"/v1/events?after={2**63}", 400, "invalid_input"),
        ("GET", "/v1/events?follow=perhaps", 400, "invalid_input"),
    ],
)
async def test_a_request_that_is_wrong_gets_a_problem(
    method: str, path: str, status: int, code: str, raw: aiohttp.ClientSession
) -> None:
    async with raw.request(method, path, headers=BEARER) as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)


async def test_a_large_body_is_refused(raw: aiohttp.ClientSession) -> None:
    async with raw.post("/v1/services", data=io.BytesIO(b"x" * (2 << 20)), headers=BEARER) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "too_large")


async def test_not_ready_is_unavailable(client: Client, control: SmallControl) -> None:
    control.is_ready = False
    with pytest.raises(Unavailable, match="nothing was observed"):
        await client.ready()


async def test_nobody_there_says_how_to_start_it(free_port: Callable[[], int]) -> None:
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unavailable) as caught:
            await client.status()
    assert caught.value.code == "no_daemon"
    assert "orchestrator serve" in caught.value.hint


async def test_another_program_at_the_address_is_named_as_such(free_port: Callable[[], int]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(talk, "127.0.0.1", port), Client(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unavailable, match="not as an orchestrator does"):
            await client.status()


async def test_only_what_was_said_is_sent_so_that_an_older_daemon_understands_it(free_port: Callable[[], int]) -> None:
    sent: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = re.findall(rb"(?i)content-length: (\d+)", head)
        sent.append(await reader.readexactly(int(length)))
        writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(listen, "127.0.0.1", port), Client(f"http://127.0.0.1:{port}") as client:
        for ask in (
            client.token_create(TokenRequest(service="echo", expires="1h")),
            client.start(LaunchRequest(folder="/m", image=None)),
        ):
            with pytest.raises(OrchestratorError):
                await ask
    assert [json.loads(body) for body in sent] == [{"service": "echo", "expires": "1h"}, {"folder": "/m"}]


async def test_a_daemon_that_does_not_answer_is_a_timeout(free_port: Callable[[], int]) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    port = free_port()
    client = Client(f"http://127.0.0.1:{port}", timeout=0.2)
    async with await asyncio.start_server(silent, "127.0.0.1", port), client:
        with pytest.raises(Unavailable) as caught:
            await client.status()
    assert caught.value.code == "timeout"


@pytest.mark.parametrize(("listen", "kind"), [("nonsense", InvalidInput), ("127.0.0.1:99999", InvalidInput)])
async def test_an_address_that_cannot_be_is_refused(listen: str, kind: type[Exception], control: SmallControl) -> None:
    with pytest.raises(kind):
        await serve(build_app(control, authenticate, listen=listen), listen)


async def test_a_port_that_is_taken_is_a_conflict(runner: web.AppRunner, control: SmallControl) -> None:
    listen = f"127.0.0.1:{runner.addresses[0][1]}"
    with pytest.raises(Conflict, match=listen):
        await serve(build_app(control, authenticate, listen=listen), listen)


# --- streams --------------------------------------------------------------------------------------------------------


async def test_logs_come_line_by_line(client: Client, control: SmallControl) -> None:
    lines = [entry.text async for entry in client.logs("echo", tail=5, since=1.5)]
    assert lines == ["first", "second \N{SNOWMAN}"]
    assert control.asked == [("logs", "echo", {"tail": 5, "since": 1.5})]


async def test_a_log_is_read_in_pages_and_followed_from_where_one_was(
    client: Client, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    _ = [entry async for entry in client.logs("echo", limit=2, before="r1@5+0")]
    assert control.asked == [("logs", "echo", {"limit": 2, "before": "r1@5+0"})]
    headers = BEARER | {"Accept": "text/event-stream", "Last-Event-ID": "r0@3+1,r1@0+9"}
    async with raw.get("/v1/logs/echo?follow=true", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        told = [await answer.content.readline() for _ in range(4)]
        assert told[::3] == [b"id: r0@3+1,r1@1+0\n", b"id: r0@3+1,r1@1+1\n"]
    assert control.asked[1] == ("logs", "echo", {"follow": True, "after": "r0@3+1,r1@0+9"})
    async with raw.get("/v1/logs/echo", headers=BEARER | {"Accept": "application/json"}) as answer:
        assert [entry["cursor"] for entry in await answer.json()] == ["r1@1+0", "r1@1+1"]
    headers = BEARER | {"Accept": "text/event-stream", "Last-Event-ID": "r1"}
    async with raw.get("/v1/logs/echo", headers=headers) as answer:
        assert answer.status == 200, "an id that is not ours is none"


async def test_an_endpoint_is_asked_through_the_daemon(
    client: Client, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    request = AskRequest(method="POST", path="/v1?x=%2F", headers={"X-A": "b", "Host": "evil"}, body="two")
    async with client.ask_endpoint("echo", request) as answer:
        assert (answer.status, answer.headers) == (418, {"content-type": "text/plain"})
        assert b"".join([some async for some in answer.body]) == b"one, two"
    assert control.asked == [("ask_endpoint", "echo", request)]
    assert request.sent == {"X-A": "b"}
    async with raw.post("/v1/services/echo/ask", data=b"{}", headers=BEARER) as reply:
        assert (reply.status, reply.content_type) == (200, "application/octet-stream")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_whoever_stops_reading_an_answer_is_not_told_that_the_daemon_did(client: Client) -> None:
    with pytest.raises(BrokenPipeError):
        async with client.ask_endpoint("echo", AskRequest()):
            raise BrokenPipeError("`orchestrator ask … | head` has ended")


@pytest.mark.parametrize(
    "sent",
    [
        {"path": "http://evil.example/"},
        {"path": "//../x"},
        {"path": "/../other"},
        {"path": "/a/%2e%2E/b"},
        {"path": "/a/%252e%252e/b"},
        {"path": "/a\\..\\b"},
        {"path": "/a b"},
        {"path": "/a#b"},
        {"path": "/a\r\nX: y"},
        {"path": "no-slash"},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"": "a"}},
        {"method": "CONNECT"},
        {"body": "a", "body_base64": "YQ=="},
        {"body_base64": "%"},
    ],
)
async def test_an_endpoint_is_not_asked_for_anything_else(
    sent: dict[str, object], raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    async with raw.post("/v1/services/echo/ask", json=sent, headers=BEARER) as answer:
        assert answer.status == 400, await answer.text()
    assert control.asked == []


async def test_ten_thousand_long_lines_arrive_whole(client: Client, control: SmallControl) -> None:
    control.log = [f"{n} " + "x" * 1000 for n in range(10_000)]
    assert [entry.text async for entry in client.logs("echo")] == control.log


async def test_an_error_before_the_first_line_is_an_ordinary_one(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/v1/logs/nobody", headers=BEARER) as answer:
        assert answer.status == 404


async def test_an_error_in_the_middle_is_raised_after_what_came(client: Client, control: SmallControl) -> None:
    control.log_raises = Unavailable("cannot read on: the engine went away", hint="wait")
    async with aclosing(client.logs("echo")) as entries:
        assert [(await anext(entries)).text for _ in control.log] == control.log
        with pytest.raises(Unavailable, match="the engine went away"):
            await anext(entries)


async def test_an_unexpected_error_in_the_middle_is_internal(client: Client, control: SmallControl) -> None:
    control.log_raises = ValueError("a secret")
    with pytest.raises(OrchestratorError) as caught:
        _ = [entry async for entry in client.logs("echo")]
    assert caught.value.code == "internal"


async def test_a_client_that_leaves_closes_the_source(client: Client, control: SmallControl) -> None:
    async with aclosing(client.logs("echo", follow=True)) as lines:
        await anext(lines)
    await asyncio.wait_for(control.closed.wait(), 5)


async def test_streams_end_with_the_daemon(client: Client, runner: web.AppRunner) -> None:
    async with aclosing(client.follow_events()) as events:
        assert (await anext(events)).seq == 1
        ended = asyncio.create_task(runner.cleanup())
        async with asyncio.timeout(4):
            assert [event.seq async for event in events] == [2, 3]
            await ended


async def test_an_event_stream_begins_at_once_and_resumes_where_it_was(
    raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    headers = BEARER | {"Last-Event-ID": "2"}
    async with raw.get("/v1/events?follow=true", headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        assert (await answer.content.readline()) == b"id: 3\n"
    assert control.asked == [("events", 2, None, 100, True)]


async def test_events_as_an_array(client: Client, control: SmallControl) -> None:
    assert [event.seq for event in await client.events(after=1, service="echo", limit=7)] == [2, 3]
    assert control.asked == [("events", 1, "echo", 7, False)]


async def test_a_try_comes_step_by_step(client: Client, control: SmallControl) -> None:
    request = TryRequest(folder="/m", image="busybox")
    assert [event.state async for event in client.try_run(request)] == ["started", "passed"]
    assert control.asked == [("try_run", request)]


async def test_a_try_in_the_background_is_followed_from_where_one_was(
    client: Client, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    assert [event.seq async for event in client.try_events("t1", after=1)] == [2, 3]
    async with raw.get("/v1/tries/t1/events", headers=BEARER | {"Last-Event-ID": "2"}) as answer:
        assert (await answer.content.readline()) == b"id: 3\n"
    assert control.asked == [("try_events", "t1", 1), ("try_events", "t1", 2)]


# --- metrics --------------------------------------------------------------------------------------------------------


def test_metrics_count_every_status() -> None:
    metrics = Metrics("1.2.3")
    metrics.looked(0.02)
    metrics.applied("StartRouting", "ok")
    metrics.probed("echo", passed=True)
    metrics.became_healthy("gone", 3.0)
    echo = Totals(requests=3, statuses={(200, "t1"): 2, (200, "t2"): 1})
    echo.total[bucket(3)] = 3
    facts = Scraped(
        services=[ServiceFacts("Echo", ServiceStatus.HEALTHY, 2, 2, 1, 4)],
        routings=[RoutingStatus.HEALTHY, RoutingStatus.HEALTHY],
        totals={"echo": echo},
        tokens={"t1": "alice", "t2": "alice"},
    )
    for _ in range(2):
        text = metrics.render(facts).decode()
    assert 'orchestrator_requests_total{code="200",service="Echo",token="alice"} 3.0' in text
    assert 'orchestrator_request_seconds_bucket{le="0.002",service="Echo"} 0.0' in text
    assert 'orchestrator_request_seconds_bucket{le="0.005",service="Echo"} 3.0' in text
    assert 'orchestrator_service_queued_requests{service="Echo"} 4.0' in text
    assert "gone" not in text, "metrics of services that are gone are forgotten"
    assert 'orchestrator_routings{status="HEALTHY"} 2.0' in text
    assert 'orchestrator_services{status="INVALID"} 0.0' in text
    assert 'orchestrator_operations_total{operation="StartRouting",result="ok"} 1.0' in text
    assert "orchestrator_reconcile_seconds_count 1.0" in text
    text = metrics.render(replace(facts, tokens=None)).decode()
    assert 'orchestrator_requests_total{code="200",service="Echo",token=""} 3.0' in text
