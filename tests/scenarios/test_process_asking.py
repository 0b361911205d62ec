"""What one sees of a running service through the API: its endpoint's answers, its errors, its logs page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import aiohttp
from harness import Daemon, echo, until

from orchestrator.core.ask_views import AskRequest
from orchestrator.core.token_views import TokenRequest

TALKS = """\
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
for n in range(10): print("line", n, flush=True)
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    def do_GET(self):
        self.send_response(302 if self.path == "/away" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        if self.path == "/say":
            print("asked", self.headers["Authorization"], flush=True)
        for piece in ("one ", "two") if self.path == "/stream" else (self.path,):
            self.wfile.write(piece.encode())
            self.wfile.flush()
            time.sleep(0.3 if self.path == "/stream" else 0)
    do_POST = do_GET
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


async def asked(daemon: Daemon, service: str, **what: object) -> tuple[int, dict[str, str], list[bytes]]:
    async with daemon.client.ask_endpoint(service, AskRequest.model_validate(what)) as answer:
        return answer.status, dict(answer.headers), [some async for some in answer.body]


async def test_an_endpoint_answers_through_the_daemon(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    talks = echo("talks", start_command=["python", "/models/talks.py", "{port}"])
    daemon.drop("talks", talks, {"talks.py": TALKS})
    daemon.drop("other", echo("other", deployment={"open_to_public": True}))
    await asyncio.gather(daemon.settled("talks"), daemon.settled("other"))
    status, _, body = await asked(daemon, "talks", path="/stream")
    assert (status, body) == (200, [b"one ", b"two"]), "as it comes"
    status, headers, _ = await asked(daemon, "TALKS", path="/away")
    assert (status, headers["location"]) == (302, "http://127.0.0.1:1/"), "a redirect is told, not followed"
    status, _, body = await asked(daemon, "talks", path="/a%2Fb//c?d=/../e", method="POST", body="x")
    assert (status, body) == (200, [b"/a%2Fb//c?d=/../e"])
    assert await daemon.client.tokens() == (), "its token is nobody's"
    await asked(daemon, "talks", path="/say", headers={"authorization": "Bearer mine"})
    assert (await asked(daemon, "other", path="/health"))[0] == 200
    code, out, err = await daemon.cli("ask", "talks", "/stream")
    assert (code, out, err) == (0, "one two", "")
    assert (await daemon.cli("ask", "talks", "/x/../../other/health"))[0] == 2
    reader = (await daemon.client.token_create(TokenRequest(service="*", scope="read"))).token
    where = f"{daemon.url}/v1/services/talks/ask"
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {reader}"}) as session,
        session.post(where, json={}) as answer,
    ):
        assert answer.status == 403, "who may only read does not ask"
    assert not [e for e in await daemon.events() if e.kind.startswith("token.") and e.detail.get("scope") == "infer"]
    await logs_are_read_in_pages(daemon)


async def logs_are_read_in_pages(daemon: Daemon) -> None:
    lines = [entry async for entry in daemon.client.logs("talks")]
    assert [entry.text for entry in lines] == [*(f"line {n}" for n in range(10)), "asked None"]
    latest = [entry async for entry in daemon.client.logs("talks", limit=3)]
    assert latest == lines[-3:]
    before = [entry async for entry in daemon.client.logs("talks", limit=4, before=latest[0].cursor)]
    assert before == lines[4:8]
    assert [e async for e in daemon.client.logs("talks", after=before[-1].cursor, limit=2)] == lines[8:10]
    headers = {"Authorization": f"Bearer {daemon.admin_token}", "Accept": "text/event-stream"}
    url = f"{daemon.url}/v1/logs/talks?follow=true"
    async with aiohttp.ClientSession(headers=headers) as session:
        ids = await told(session, url, 11, "")
        assert len(set(ids)) == 11
        await asked(daemon, "talks", path="/say")
        assert len(await told(session, url, 2, ids[-2])) == 2, "the last one, and what came since"
    async with aclosing(daemon.client.logs("talks", follow=True, after=ids[-1])) as entries:
        assert (await anext(entries)).text == "asked None"
        await daemon.client.remove_routing((await daemon.service("talks")).routings[0].id, replaced=True)
        async with asyncio.timeout(20):
            assert (await anext(entries)).text == "line 0", "of the routing that came since"


async def told(session: aiohttp.ClientSession, url: str, count: int, last: str) -> list[str]:
    """Ids of the first events of a stream."""
    found: list[str] = []
    async with asyncio.timeout(10), session.get(url, headers={"Last-Event-ID": last} if last else {}) as answer:
        async for line in answer.content:
            if line.startswith(b"id: "):
                found.append(line.decode()[4:].strip())
                if len(found) == count:
                    break
    return found


async def test_errors_are_listed_until_they_are_cleared(daemons: Callable[..., Awaitable[Daemon]]) -> None:
    daemon = await daemons()
    daemon.drop("fails", echo("fails", start_command=["python", "-c", "print('boom'); raise SystemExit(3)", "{port}"]))
    await until(lambda: recorded(daemon))
    first = (await daemon.client.errors("fails"))[-1]
    assert (first.code, first.exit_code, first.log_tail, first.revision) == ("exited", 3, ("boom",), "1")
    assert first.hint
    code, out, _ = await daemon.cli("errors", "fails")
    assert (code, "    | boom" in out, "[exited, exit code 3]" in out) == (0, True, True)
    daemon.edit("fails", echo("fails", deployment={"desired_routing_count": 0}))
    await until(lambda: stopped(daemon))
    assert (await daemon.cli("errors", "fails", "--clear"))[0] == 0
    assert await daemon.client.errors("fails") == ()
    daemon.edit("fails", "models: [")
    await until(lambda: daemon.client.errors("fails"))
    assert (await daemon.client.errors("fails"))[0].code == "definition_invalid"


async def recorded(daemon: Daemon) -> bool:
    return any(one.log_tail for one in await daemon.client.errors("fails"))


async def stopped(daemon: Daemon) -> bool:
    return (await daemon.service("fails")).status == "STOPPED"
