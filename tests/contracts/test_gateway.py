"""One table of decisions, asked of HAProxy over HTTP and of the memory gateway: both answer alike."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from gateway_box import Box, ModelServer, box, model_servers, route, until

from orchestrator.auth import NEVER, KeyRing
from orchestrator.core.errors import Unavailable
from orchestrator.core.ports import Gateway
from orchestrator.core.records import Field, fields
from orchestrator.core.routes import Route, RouteTable, Server
from orchestrator.core.state import Token
from orchestrator.gateway import MemoryGateway
from orchestrator.settings import GatewaySettings

Ask = Callable[..., Awaitable[tuple[int, str]]]
HOLD: Any = {"hold_seconds": 1.5, "hold_requests": 2}


@dataclass
class Subject:
    """A gateway and how to ask it: (status, the routing that answered or the error's code)."""

    gateway: Gateway
    ring: KeyRing
    ask: Ask
    server: ModelServer

    def token(self) -> str:
        """Of id t1, for all services."""
        now = time.time()
        return self.ring.issue(Token("t1", "*", "", "infer", now, now + 600), now)


@pytest.fixture(params=["haproxy", "memory"])
async def subject(
    request: pytest.FixtureRequest, tmp_path: Path, free_port: Callable[[], int]
) -> AsyncIterator[Subject]:
    async with model_servers("r1") as (server,):
        if request.param == "haproxy":
            async with box(tmp_path, free_port(), **HOLD) as real:
                yield Subject(real.gateway, real.ring, _over_http(real), server)
        else:
            ring = KeyRing.open(tmp_path)
            fake = MemoryGateway(ring.signing_keys, settings=GatewaySettings(**HOLD))
            await fake.start()
            yield Subject(fake, ring, _of_memory(fake), server)


def _over_http(real: Box) -> Ask:
    async def ask(path: str, headers: dict[str, str], method: str = "GET", host: str = "gateway.test") -> Any:
        answer = await real.ask(path, {"Host": host, **headers}, method=method)
        if answer.status != 200:
            return answer.status, answer.code
        return 200, answer.json.get("server", "")

    return ask


def _of_memory(fake: MemoryGateway) -> Ask:
    async def ask(path: str, headers: dict[str, str], method: str = "GET", host: str = "gateway.test") -> Any:
        return await fake.answer(path, headers, method=method, host=host)

    return ask


def table(server: ModelServer) -> RouteTable:
    up = server.server()
    return RouteTable(
        (
            route("Echo", server),
            route("public", server, open_to_public=True),
            route("own", server, host="own.test", open_to_public=True),
            Route("drained", "serving", True, (Server("r9", "127.0.0.1", 9, draining=True),)),
            Route("idle", "serving", True, (Server("r8", "127.0.0.1", 9, weight=0.0),)),
            Route("starting", "no_healthy_routing", True),
            Route("stopped", "service_stopped", True),
            Route("invalid", "service_invalid", True),
            Route("leaving", "service_destroying", True, (up,)),
            Route("hidden", "service_stopped"),
        )
    )


PATHS = [
    ("/-/healthy", 200, ""),
    ("/inference/public", 200, "r1"),
    ("/inference/public/", 200, "r1"),
    ("/inference/PUBLIC/v1/x?q=1", 200, "r1"),
    ("/inference/public//x", 200, "r1"),
    ("/inference/public?x", 200, "r1"),
    ("/", 404, "service_unknown"),
    ("/inference", 404, "service_unknown"),
    ("/inference/", 404, "service_unknown"),
    ("/inference//public/", 404, "service_unknown"),
    ("//inference/public/", 404, "service_unknown"),
    ("/inference/%70ublic/", 404, "service_unknown"),
    ("/inference/public%2Fx", 404, "service_unknown"),
    ("/inference/nobody/", 404, "service_unknown"),
    ("/INFERENCE/public/", 404, "service_unknown"),
    ("/-/other", 404, "service_unknown"),
    ("/inference/drained/", 503, "no_healthy_routing"),
    ("/inference/idle/", 503, "no_healthy_routing"),
    ("/inference/starting/", 503, "no_healthy_routing"),
    ("/inference/stopped/", 503, "service_stopped"),
    ("/inference/invalid/", 503, "service_invalid"),
    ("/inference/leaving/", 503, "service_destroying"),
    ("/inference/hidden/", 401, "token_missing"),
]


async def test_paths_and_states(subject: Subject) -> None:
    await subject.gateway.publish(table(subject.server))
    for path, status, code in PATHS:
        assert await subject.ask(path, {}) == (status, code), path
    assert await subject.ask("/anything/below", {}, host="OWN.test:8080") == (200, "r1")
    assert await subject.ask("/-/healthy", {}, host="own.test") == (200, "r1")
    ask_method = {"Access-Control-Request-Method": "POST"}
    assert await subject.ask("/inference/echo/", ask_method, method="OPTIONS") == (200, "r1")
    assert await subject.ask("/inference/echo/", {}, method="OPTIONS") == (401, "token_missing")
    assert await subject.ask("/inference/echo/", ask_method) == (401, "token_missing")


def forge(ring: KeyRing, claims: Any, alg: Any = "HS256", secret: str = "") -> str:
    """A JWT made by hand: whatever claims, signed with the valid key unless told otherwise."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    header = json.dumps({"alg": alg, "typ": "JWT"} if alg is not None else {"typ": "JWT"}).encode()
    text = part(header) + "." + part(claims if isinstance(claims, bytes) else json.dumps(claims).encode())
    return text + "." + part(hmac.digest((secret or ring.signing_keys()[0].secret).encode(), text.encode(), sha256))


def claims(**changed: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {"sub": "t1", "jti": "t1", "iat": now, "nbf": now, "exp": now + 600, "svc": "echo", "scope": "infer"}
    return {key: value for key, value in (good | changed).items() if value != "absent"}


def tokens(ring: KeyRing) -> list[tuple[str, str, str]]:
    """What is sent as Authorization; what comes back (r1: it was let through); and a name for it."""
    good, now = forge(ring, claims()), int(time.time())
    by_claims: list[tuple[dict[str, Any], str]] = [
        ({}, "r1"),
        ({"svc": "ECHO"}, "r1"),
        ({"svc": "*"}, "r1"),
        ({"scope": "admin"}, "r1"),
        ({"exp": NEVER}, "r1"),
        ({"exp": now + 600.5}, "r1"),
        ({"exp": "absent"}, "token_invalid"),
        ({"exp": None}, "token_invalid"),
        ({"exp": 2**63}, "token_invalid"),
        ({"exp": 2**63 - 1}, "token_invalid"),
        ({"exp": 2**64 + now + 600}, "token_invalid"),
        ({"exp": str(now + 600)}, "token_invalid"),
        ({"exp": True}, "token_invalid"),
        ({"exp": [now + 600]}, "token_invalid"),
        ({"exp": -1}, "token_invalid"),
        ({"exp": 0}, "token_invalid"),
        ({"exp": now - 1}, "token_expired"),
        ({"nbf": now + 60}, "token_not_yet_valid"),
        ({"nbf": "absent"}, "token_not_yet_valid"),
        ({"nbf": None}, "token_not_yet_valid"),
        ({"nbf": "0"}, "token_not_yet_valid"),
        ({"jti": "absent"}, "token_invalid"),
        ({"jti": ""}, "token_invalid"),
        ({"jti": None}, "token_invalid"),
        ({"jti": "a b"}, "token_invalid"),
        ({"svc": "absent"}, "token_invalid"),
        ({"svc": None}, "token_invalid"),
        ({"svc": ["echo"]}, "token_invalid"),
        ({"svc": ""}, "token_invalid"),
        ({"svc": "other"}, "token_other_service"),
        ({"svc": "ech"}, "token_other_service"),
        ({"svc": "echo2"}, "token_other_service"),
        ({"scope": "absent"}, "token_invalid"),
        ({"scope": ["infer"]}, "token_invalid"),
        ({"scope": "read"}, "token_scope"),
        ({"jti": "gone"}, "token_revoked"),
    ]
    head, payload, signature = good.split(".")
    by_text = [
        (f"bearer {good}", "r1", "scheme in lower case"),
        (f"BACKENDAI {good}", "r1", "the other scheme in upper case"),
        (f"BackendAI  {good}", "r1", "two spaces"),
        (good, "token_malformed", "no scheme"),
        (f"Basic {good}", "token_malformed", "another scheme"),
        (f"Bearer {good} more", "token_malformed", "a third word"),
        ("Bearer", "token_malformed", "scheme alone"),
        ("Bearer garbage", "token_malformed", "garbage"),
        ("Bearer a.b.c", "token_malformed", "three parts of nothing"),
        (f"Bearer {head}.{payload}", "token_malformed", "two parts"),
        (f"Bearer {good}, Bearer {good}", "token_malformed", "two in one"),
        (f"Bearer {'a' * 20_000}.b.c", "token_malformed", "20 KB"),
        (f"Bearer {forge(ring, claims(), None)}", "token_malformed", "no alg"),
        (f"Bearer {head}.{payload}.", "token_invalid", "no signature"),
        (f"Bearer {head}.{payload[:-2]}AA.{signature}", "token_invalid", "tampered payload"),
        (f"Bearer {head}.{payload}.{signature[:-4]}AAAA", "token_invalid", "tampered signature"),
        (f"Bearer {forge(ring, claims(), 'none')}", "token_algorithm", "alg none, signed"),
        (f"Bearer {forge(ring, claims(), 'none').rpartition('.')[0]}.", "token_algorithm", "alg none"),
        (f"Bearer {forge(ring, claims(), 'None')}", "token_algorithm", "alg None"),
        (f"Bearer {forge(ring, claims(), 'RS256')}", "token_algorithm", "alg RS256 with our secret"),
        (f"Bearer {forge(ring, claims(), 'HS384')}", "token_algorithm", "alg HS384"),
        (f"Bearer {forge(ring, claims(), 'hs256')}", "token_algorithm", "alg in lower case"),
        (f"Bearer {forge(ring, claims(), secret='x' * 64)}", "token_invalid", "another's key"),
        (f"Bearer {forge(ring, [1])}", "token_invalid", "claims are a list"),
        (f"Bearer {forge(ring, b'nonsense')}", "token_invalid", "claims are no JSON"),
    ]
    return [(f"Bearer {forge(ring, claims(**c))}", code, str(c)) for c, code in by_claims] + by_text


async def test_tokens(subject: Subject) -> None:
    await subject.gateway.publish(table(subject.server))
    await subject.gateway.revoke({"gone": time.time() + 600})
    for authorization, code, what in tokens(subject.ring):
        status = {"r1": 200, "token_other_service": 403, "token_scope": 403}.get(code, 401)
        assert await subject.ask("/inference/echo/", {"Authorization": authorization}) == (status, code), what


@pytest.mark.parametrize("expires", [1e300, -1e300, 9e18, 2**53 + 0.5, 1e-5])
async def test_odd_numbers_as_expiry_are_refused(subject: Subject, expires: float) -> None:
    """Which of the two codes depends on how a JSON reader takes a number in that notation."""
    await subject.gateway.publish(table(subject.server))
    header = {"Authorization": f"Bearer {forge(subject.ring, claims(exp=expires))}"}
    status, code = await subject.ask("/inference/echo/", header)
    assert (status, code) in {(401, "token_invalid"), (401, "token_expired")}


async def test_keys_count_from_the_next_publish_on(subject: Subject) -> None:
    old, first = subject.ring.signing_keys()[0], {"Authorization": f"Bearer {forge(subject.ring, claims())}"}
    await subject.gateway.publish(table(subject.server))
    subject.ring.rotate()
    await subject.gateway.publish(table(subject.server))
    second = {"Authorization": f"Bearer {forge(subject.ring, claims())}"}
    assert await subject.ask("/inference/echo/", first) == (200, "r1")
    assert await subject.ask("/inference/echo/", second) == (200, "r1")
    subject.ring.drop(old.kid)
    await subject.gateway.publish(table(subject.server))
    assert await subject.ask("/inference/echo/", first) == (401, "token_invalid")
    assert await subject.ask("/inference/echo/", second) == (200, "r1")


async def test_a_revocation_that_is_no_longer_told_is_forgotten(subject: Subject) -> None:
    await subject.gateway.publish(table(subject.server))
    header = {"Authorization": f"Bearer {forge(subject.ring, claims())}"}
    await subject.gateway.revoke({"t1": float("inf"), "bad id\nadd map": 1.0})
    assert await subject.ask("/inference/echo/", header) == (401, "token_revoked")
    await subject.gateway.revoke({})
    assert await subject.ask("/inference/echo/", header) == (200, "r1")


async def test_what_cannot_be_granted_is_told_and_harms_nobody_else(subject: Subject) -> None:
    server = subject.server
    published = await subject.gateway.publish(
        RouteTable(
            (
                route("public", server, open_to_public=True, host="one.test"),
                route("PUBLIC", server),
                route("second", server, open_to_public=True, host="One.test"),
                route("bad name\n  bind *:1", server),
                Route("far", "serving", True, (Server("r1\n", "127.0.0.1", 1), Server("r2", "evil host", 1))),
                route("ported", server, port=70000),
            )
        )
    )
    assert {name: why.split(":")[0] for name, why in published.problems.items()} == {
        "PUBLIC": "cannot serve 'PUBLIC'",
        "second": "cannot listen on host one.test",
        "bad name\n  bind *:1": "cannot serve 'bad name\\n  bind *",
        "far": "cannot reach routing 'r1\\n' at '127.0.0.1' port 1; cannot reach routing 'r2' at 'evil host' port 1",
        "ported": "cannot listen on port 70000",
    }
    assert "service public has it" in published.problems["second"]
    assert await subject.ask("/inference/public/", {}) == (200, "r1")
    assert await subject.ask("/inference/second/", {}) == (200, "r1")
    assert await subject.ask("/inference/far/", {}) == (503, "no_healthy_routing")


async def test_who_has_a_host_keeps_it_while_it_asks_for_it(subject: Subject) -> None:
    holder = route("Holder", subject.server, open_to_public=True, host="one.test")
    early = route("early", subject.server, host="one.test")
    await subject.gateway.publish(RouteTable((holder,)))
    published = await subject.gateway.publish(RouteTable((early, holder)))
    assert published.problems == {"early": "cannot listen on host one.test: service holder has it"}
    assert await subject.ask("/", {}, host="one.test") == (200, "r1")
    assert not (await subject.gateway.publish(RouteTable((early,)))).problems
    assert await subject.ask("/", {}, host="one.test") == (401, "token_missing")


async def test_one_side_gets_all_requests(subject: Subject) -> None:
    blue, green = subject.server.server(), Server("g1", "127.0.0.1", subject.server.port, side="green")
    for side, able in (("blue", True), ("green", True), ("green", False), ("blue", False)):
        servers = (blue, green) if able else (blue,) if side == "green" else (green,)
        await subject.gateway.publish(
            RouteTable((Route("two", "serving", True, servers, side=side, two_sided=True),))  # type: ignore[arg-type]
        )
        before = await _requests(subject)
        status, _ = await subject.ask("/inference/two/", {})
        assert status == (200 if able else 503), (side, able)
        more = {name for name, requests in (await _requests(subject)).items() if requests > before.get(name, 0)}
        assert more == ({"blue": {"r1"}, "green": {"g1"}}[side] if able else set())


async def _requests(subject: Subject) -> dict[str, int]:
    return {name: count.requests for seen in (await subject.gateway.traffic()).values() for name, count in seen.items()}


async def test_requests_wait_while_their_service_holds(subject: Subject) -> None:
    holding = RouteTable((Route("echo", "holding", True), Route("shut", "holding"), route("free", subject.server)))
    await subject.gateway.publish(holding)
    began = time.monotonic()
    waiting = [asyncio.ensure_future(subject.ask("/inference/echo/", {})) for _ in range(2)]
    assert not (await asyncio.wait(waiting, timeout=0.2))[0]
    assert await subject.ask("/inference/echo/", {}) == (503, "hold_full")
    assert await subject.ask("/inference/shut/", {}) == (401, "token_missing")
    assert await subject.ask("/inference/free/", {}) == (401, "token_missing")
    await subject.gateway.publish(holding)
    assert not (await asyncio.wait(waiting, timeout=0.05))[0]
    await subject.gateway.publish(RouteTable((route("echo", subject.server, open_to_public=True),)))
    assert await asyncio.gather(*waiting) == [(200, "r1")] * 2
    await subject.gateway.publish(holding)
    began = time.monotonic()
    assert await subject.ask("/inference/echo/", {}) == (503, "hold_timeout")
    assert 1.4 < time.monotonic() - began < 2.5


async def test_every_request_that_has_ended_is_recorded(subject: Subject) -> None:
    """With its token where one was verified, also those from before somebody took them."""
    taken: list[list[bytes]] = []

    def take(_worker: str, lines: Sequence[bytes], _whole: bool) -> None:
        taken.extend(found for line in lines if (found := fields(line)))

    await subject.gateway.publish(RouteTable((route("Echo", subject.server), route("open", open_to_public=True))))
    bearer = {"Authorization": f"Bearer {subject.token()}"}
    await subject.ask("/inference/echo/before?key=secret", bearer)
    task = asyncio.create_task(subject.gateway.records(take))
    try:
        await until(lambda: taken)
        await subject.ask("/inference/ECHO/after", bearer, method="POST")
        await subject.ask("/inference/nobody/x", bearer)
        await subject.ask("/inference/echo/refused", {})
        await subject.ask("/inference/open/x", bearer)
        await subject.ask("/-/healthy", {})
        await until(lambda: len(taken) >= 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    shown = (Field.SERVICE, Field.METHOD, Field.PATH, Field.STATUS, Field.TOKEN)
    assert [[one[field].decode() for field in shown] for one in taken] == [
        ["echo", "GET", "/inference/echo/before", "200", "t1"],
        ["echo", "POST", "/inference/ECHO/after", "200", "t1"],
        ["-", "GET", "/inference/nobody/x", "404", "-"],
        ["echo", "GET", "/inference/echo/refused", "401", "-"],
        ["open", "GET", "/inference/open/x", "503", "-"],
    ]
    assert taken[0][Field.ROUTING] == b"r1"
    assert abs(int(taken[0][Field.AT]) / 1000 - time.time()) < 60
    assert not any(b"secret" in field for one in taken for field in one)


async def test_those_that_wait_are_counted(subject: Subject) -> None:
    await subject.gateway.publish(RouteTable((route("echo", state="holding"),)))
    waits = asyncio.create_task(subject.ask("/inference/echo/", {"Authorization": f"Bearer {subject.token()}"}))

    async def counted() -> bool:
        return dict(await subject.gateway.waiting()) == {"echo": 1}

    await until(counted)
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)


async def test_a_stopped_gateway_says_so(subject: Subject) -> None:
    await subject.gateway.publish(table(subject.server))
    assert await subject.gateway.check()
    assert sum((await subject.gateway.sessions()).values()) == 0
    await subject.gateway.stop()
    for call in (subject.gateway.check, subject.gateway.sessions, subject.gateway.traffic):
        with pytest.raises(Unavailable):
            await call()
    with pytest.raises(Unavailable):
        await subject.gateway.publish(RouteTable())
    await subject.gateway.start()
    await subject.gateway.start()
    assert await subject.ask("/inference/public/", {}) == (200, "r1")
