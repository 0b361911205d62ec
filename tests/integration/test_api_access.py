"""Who may ask the API, how often it may be wrong, what is written down of it, and what browsers may do with it: on a
real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
import structlog
from aiohttp import web
from small_control import SmallControl

from orchestrator.api import connections, middlewares
from orchestrator.api.app import ROUTES, build_app, serve
from orchestrator.api.auditing import reader_of
from orchestrator.api.door import Door, admin_token
from orchestrator.api.routes import Route
from orchestrator.core.access import Caller
from orchestrator.core.errors import Conflict, NotAuthorised, Throttled, Unavailable

ADMIN, READER, WRITER = "the-admin-token", "a-reader", "a-writer"
SITE = "https://page.example"


class Tokens:
    """Those of the store: `gone` are revoked."""

    def __init__(self) -> None:
        self.known = {READER: Caller("read", "prometheus", "t1"), WRITER: Caller("admin", "ci", "t2")}

    async def __call__(self, text: str) -> Caller:
        if text not in self.known:
            raise NotAuthorised("cannot accept the token: no valid key signed it")
        return self.known[text]


@pytest.fixture
def control() -> SmallControl:
    return SmallControl()


@pytest.fixture
def tokens() -> Tokens:
    return Tokens()


@pytest.fixture
def origins() -> tuple[str, ...]:
    return (SITE,)


@pytest.fixture
async def runner(control: SmallControl, tokens: Tokens, origins: tuple[str, ...]) -> AsyncIterator[web.AppRunner]:
    authenticate = admin_token(ADMIN, tokens)
    app = build_app(control, authenticate, listen="127.0.0.1:0", heartbeat=0.05, sure=ADMIN, origins=origins)
    runner = await serve(app, "127.0.0.1:0")
    yield runner
    await runner.cleanup()


@pytest.fixture
def address(runner: web.AppRunner) -> tuple[str, int]:
    return runner.addresses[0][:2]


@pytest.fixture
async def raw(address: tuple[str, int]) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://{address[0]}:{address[1]}") as session:
        yield session


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


async def status(raw: aiohttp.ClientSession, text: str, path: str = "/v1/services") -> int:
    async with raw.get(path, headers=bearer(text)) as answer:
        return answer.status


# --- who ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "who"),
    [
        (ADMIN, {"access": "admin", "name": "admin.token", "token_id": "", "expires_at": None}),
        (READER, {"access": "read", "name": "prometheus", "token_id": "t1", "expires_at": None}),
    ],
)
async def test_whoami_says_whose_token_it_is(token: str, who: object, raw: aiohttp.ClientSession) -> None:
    async with raw.get("/v1/whoami", headers=bearer(token)) as answer:
        assert await answer.json() == who


async def test_two_authorization_headers_are_none(raw: aiohttp.ClientSession) -> None:
    headers = [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {ADMIN}")]
    async with raw.get("/v1/services", headers=headers) as answer:
        assert answer.status == 401


async def test_a_token_that_is_revoked_ends_what_still_runs_with_it(
    raw: aiohttp.ClientSession, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middlewares, "AGAIN", 0.02)
    async with raw.get("/v1/events?follow=true", headers=bearer(READER)) as answer:
        assert await answer.content.readline()
        await asyncio.sleep(0.1)
        assert not answer.content.at_eof(), "it was looked at several times, and goes on"
        del tokens.known[READER]
        with pytest.raises(aiohttp.ClientError):
            async with asyncio.timeout(5):
                await answer.content.read()
    assert await status(raw, READER) == 401


# --- how often ------------------------------------------------------------------------------------------------------


async def test_an_address_that_is_wrong_too_often_waits_and_whoever_was_right_goes_on(
    raw: aiohttp.ClientSession,
) -> None:
    assert await status(raw, READER) == 200
    assert [await status(raw, f"wrong-{n}") for n in range(12)] == [401] * 10 + [429] * 2
    async with raw.get("/v1/services", headers=bearer(WRITER)) as answer:  # right, and never seen: told, not guessed at
        told = await answer.json()
        assert (answer.status, told["code"]) == (429, "too_many_tries")
        assert 1 <= int(answer.headers["Retry-After"]) <= 6
        assert "too many failed tries from 127.0.0.1" in told["detail"]
    assert await status(raw, READER) == 200
    assert await status(raw, ADMIN) == 200, "first seen now: nobody guesses it"
    assert await status(raw, "", "/healthz") == 200


async def test_another_address_does_not_wait_and_time_heals() -> None:
    now = 1000.0
    door = Door(admin_token(ADMIN, Tokens()), ADMIN, lambda: now)
    for _ in range(10):
        with pytest.raises(NotAuthorised):
            await door.enter("wrong", "192.0.2.1")
    for text in ("wrong", WRITER):
        with pytest.raises(Throttled) as caught:
            await door.enter(text, "192.0.2.1")
        assert caught.value.retry_after == pytest.approx(6.0)
    assert (await door.enter(WRITER, "192.0.2.2")).name == "ci"
    assert (await door.enter(WRITER, "192.0.2.1")).name == "ci", "it was right a moment ago"
    now += 6.1
    with pytest.raises(NotAuthorised):
        await door.enter("wrong", "192.0.2.1")


async def test_a_token_that_opens_nothing_here_is_no_guess() -> None:
    async def forbidden(_: str) -> Caller:
        raise NotAuthorised("this token opens service echo", code="forbidden")

    door = Door(admin_token(ADMIN, forbidden))
    for _ in range(30):
        with pytest.raises(NotAuthorised) as caught:
            await door.enter("of-a-service", "192.0.2.1")
        assert caught.value.code == "forbidden"


# --- what is written down -------------------------------------------------------------------------------------------

CHANGING = [route for route in ROUTES if route.changing]


def test_only_what_changes_nothing_is_left_out() -> None:
    """Asking a model is no change of the orchestrator: the access log has it."""
    left = {route.path for route in ROUTES if not route.changing and route.method != "GET"}
    assert left <= {"/v1/plans", "/v1/tokens/inspect", "/v1/validate", "/v1/services/{ref}/ask"}


@pytest.mark.parametrize("route", CHANGING, ids=lambda r: f"{r.method} {r.path}")
async def test_each_changing_route_is_recorded_whatever_comes_of_it(
    route: Route, raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    path = "/".join("echo" if part.startswith("{") else part for part in route.path.split("/"))
    for token in ("", "wrong", READER, WRITER):
        async with raw.request(route.method, path, headers=bearer(token) if token else {}, data=b"{}") as answer:
            entry = control.recorded[len(control.recorded)]
            assert (entry.status, entry.action, entry.method) == (answer.status, route.summary, route.method)
            assert entry.path == path
            assert entry.request_id == answer.headers["X-Request-ID"]
            assert entry.client == "127.0.0.1"
    seen = [control.recorded[seq] for seq in sorted(control.recorded)]
    assert [(entry.who, entry.access) for entry in seen] == [
        *(("", "public"), ("", "public"), ("prometheus", "read"), ("ci", "admin"))
    ]
    assert [entry.status for entry in seen[:3]] == [401, 401, 403]


async def test_reads_are_not_recorded(raw: aiohttp.ClientSession, control: SmallControl) -> None:
    await status(raw, WRITER)
    await status(raw, "wrong")
    assert control.recorded == {}


async def test_before_and_after_are_what_the_api_shows(raw: aiohttp.ClientSession, control: SmallControl) -> None:
    async def scaled(_: str, count: int | None) -> Any:
        control.service_view = control.service_view.model_copy(update={"desired_routing_count": count})
        return control.service_view

    control.scale = scaled  # type: ignore[method-assign]
    async with raw.put("/v1/services/ECHO/scale", json={"count": 3}, headers=bearer(WRITER)) as answer:
        assert answer.status == 200
    entry = control.recorded[1]
    assert (entry.service, entry.request) == ("echo", {"count": 3})
    assert (entry.before, entry.after) == ({"desired_routing_count": 1}, {"desired_routing_count": 3})


async def test_what_is_refused_has_no_sides(raw: aiohttp.ClientSession, control: SmallControl) -> None:
    async def taken(*_: object) -> Any:
        raise Conflict("cannot scale")

    control.scale = taken  # type: ignore[method-assign]
    async with raw.put("/v1/services/echo/scale", json={"count": 3}, headers=bearer(WRITER)) as answer:
        assert answer.status == 409
    entry = control.recorded[1]
    assert (entry.status, entry.before, entry.after, entry.request) == (409, None, None, {"count": 3})


async def test_no_secret_is_written_down(raw: aiohttp.ClientSession, control: SmallControl) -> None:
    launch = {"folder": "/m", "environ": {"HF_TOKEN": "hf_verysecretverysecret"}, "image": "x" * 5000}
    async with raw.post("/v1/services?a=1", json=launch, headers=bearer(WRITER)):
        pass
    async with raw.post("/v1/tokens", json={"service": "echo", "name": "laptop"}, headers=bearer(WRITER)) as answer:
        assert (await answer.json())["token"] == "secret-text"
    async with raw.delete("/v1/tokens/t1?now=true&token=secret-text", headers=bearer(WRITER)):
        pass
    mistaken = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ0MSJ9.its-signature"  # the text of a token where its id belongs
    with structlog.testing.capture_logs() as logged:
        for path in (f"/v1/tokens/{mistaken}", f"/v1/services/{mistaken}"):
            async with raw.delete(path, headers=bearer(WRITER)):
                pass
    assert [line["path"] for line in logged if line["event"] == "api.answered"] == [
        "/v1/tokens/***",
        "/v1/services/***",
    ]
    kept = json.dumps([str(entry) for entry in control.recorded.values()])
    assert "its-signature" not in kept
    assert "secret-text" not in kept
    assert "verysecret" not in kept
    assert WRITER not in kept
    assert len(kept) < 8000
    assert control.recorded[2].after is not None
    assert control.recorded[2].after["token"] == "***"
    assert control.recorded[2].service == "echo"


async def test_what_cannot_be_recorded_is_not_done(raw: aiohttp.ClientSession, control: SmallControl) -> None:
    async def full(_: object) -> Any:
        raise Unavailable("cannot write to the store: the disk is full")

    control.record = full  # type: ignore[method-assign]
    async with raw.delete("/v1/services/echo", headers=bearer(WRITER)) as answer:
        assert (answer.status, "disk is full" in await answer.text()) == (503, True)
    assert control.asked == []
    assert await status(raw, WRITER) == 200


async def test_who_may_change_nothing_does_not_fill_the_audit_log(
    raw: aiohttp.ClientSession, control: SmallControl
) -> None:
    for _ in range(100):
        async with raw.delete("/v1/services/echo") as answer:
            assert answer.status == 401
    assert len(control.recorded) < 70
    for _ in range(100):
        async with raw.delete("/v1/services/echo", headers=bearer(READER)) as answer:
            assert answer.status == 403
    assert len(control.recorded) < 140


def test_each_change_of_something_is_shown_by_a_route() -> None:
    found = {f"{r.method} {r.path}": reader_of(r, ROUTES) for r in CHANGING}
    for changing, reading in {
        "PUT /v1/services/{ref}/scale": "/v1/services/{ref}",
        "DELETE /v1/services/{ref}": "/v1/services/{ref}",
        "POST /services/{ref}/scale": "/services/{ref}",
        "DELETE /v1/tokens/{id}": "/v1/tokens",
        "PUT /v1/routings/{id}": "/v1/routings",
        "DELETE /v1/keys/{kid}": "/v1/keys",
    }.items():
        reader = found[changing]
        assert reader is not None
        assert reader.route.path == reading


# --- answers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/v1/services", "/nowhere", "/docs", "/v1/events?follow=true"])
async def test_every_answer_has_its_id_and_says_what_browsers_may_not(path: str, raw: aiohttp.ClientSession) -> None:
    for given, same in (("abc-1.2_3", True), ("a b", False), ("x" * 129, False), ("", False)):
        async with raw.get(path, headers=bearer(ADMIN) | {"X-Request-ID": given}) as answer:
            assert (answer.headers["X-Request-ID"] == given) is same
            assert len(answer.headers["X-Request-ID"]) <= 128
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "Content-Security-Policy" in answer.headers
            assert "Access-Control-Allow-Origin" not in answer.headers


ASKS = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), SITE, None),
        ((SITE,), SITE, SITE),
        ((SITE,), "https://page.example.evil", None),
        ((SITE,), "http://page.example", None),
        ((SITE,), "null", None),
        (("*",), "https://any.example", "*"),
    ],
)
async def test_other_sites_may_ask_only_where_they_are_named(
    origin: str, allowed: str | None, raw: aiohttp.ClientSession
) -> None:
    async with raw.options("/v1/services/echo/scale", headers={"Origin": origin} | ASKS) as answer:
        assert (answer.status == 204) == (allowed is not None)
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed
        assert "Access-Control-Allow-Credentials" not in answer.headers
        if allowed:
            assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
            assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]
    for path, token in (("/v1/services", READER), ("/v1/services", "wrong"), ("/v1/events?follow=true", READER)):
        async with raw.get(path, headers={"Origin": origin} | bearer(token)) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert allowed in (None, "*") or answer.headers["Vary"] == "Origin"


# --- slow clients ---------------------------------------------------------------------------------------------------


async def hears(reader: asyncio.StreamReader, within: float = 5.0) -> bytes:
    """Whatever comes until the other end hangs up."""
    async with asyncio.timeout(within):
        try:
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADERS", "IDLE", "STALL"):
        monkeypatch.setattr(connections, name, 0.2)
    monkeypatch.setattr(connections, "SWEEP", 0.02)


REQUEST = f"Host: localhost\r\nAuthorization: Bearer {ADMIN}\r\n".encode()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/services HTTP/1.1\r\n" + REQUEST + b"\r\n",
        b"PUT /v1/services/echo/scale HTTP/1.1\r\n" + REQUEST + b"Content-Length: 100\r\n\r\n{",
        b"PUT /v1/services/echo/scale HTTP/1.1\r\n" + REQUEST + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",
    ],
    ids=[
        "nothing",
        "half a line",
        "half the headers",
        "no second request",
        "none with a token",
        "half a body",
        "half a chunk",
    ],
)
@pytest.mark.usefixtures("hurried")
async def test_who_sends_no_whole_request_is_hung_up_on(sent: bytes, address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(sent)
    await hears(reader)
    writer.close()


@pytest.mark.usefixtures("hurried")
async def test_who_reads_no_answer_is_hung_up_on(address: tuple[str, int], control: SmallControl) -> None:
    control.log = ["x" * 10_000] * 5000
    reader, writer = await asyncio.open_connection(*address, limit=1024)
    writer.write(b"GET /v1/logs/echo HTTP/1.1\r\n" + REQUEST + b"\r\n")
    await asyncio.wait_for(control.closed.wait(), 10)
    writer.close()
    reader.feed_eof()


@pytest.mark.usefixtures("hurried")
async def test_a_stream_without_news_is_none_of_that(raw: aiohttp.ClientSession) -> None:
    async with raw.get("/v1/events?follow=true", headers=bearer(READER)) as answer:
        await asyncio.sleep(0.6)
        assert not answer.content.at_eof()


async def test_where_all_places_are_taken_strangers_give_way(
    control: SmallControl, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.api.app._MOST_CONNECTIONS", 3)
    runner = await serve(build_app(control, tokens, listen="127.0.0.1:0"), "127.0.0.1:0")
    host, port = runner.addresses[0][:2]
    idle = [await asyncio.open_connection(host, port) for _ in range(3)]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as raw:
        streams = [await raw.get("/v1/events?follow=true", headers=bearer(READER)) for _ in range(3)]
        for reader, writer in idle:
            assert await hears(reader) == b""
            writer.close()
        with pytest.raises(aiohttp.ClientError):
            await status(raw, READER)
        streams.pop().close()
        for _ in range(500):  # the other end sees it go a moment later
            try:
                assert await status(raw, READER) == 200
                break
            except aiohttp.ClientError:
                await asyncio.sleep(0.01)
        for stream in streams:
            assert not stream.content.at_eof()
            stream.close()
    await runner.cleanup()
