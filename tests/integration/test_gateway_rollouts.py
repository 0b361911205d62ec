"""What rollouts need of the gateway: one switch between two sides, exact shares, counts that a reload does not reset.
Real HAProxy, clients that never retry."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from gateway_box import (
    WEBSOCKET,
    Box,
    Client,
    Load,
    ModelServer,
    box,
    echo_websocket,
    model_servers,
    old_workers,
    reply,
    route,
    until,
)

from orchestrator.core.errors import Unavailable
from orchestrator.core.routes import Route, Server, Side
from orchestrator.scheduler.traffic import TrafficCounts

PATH = "/inference/echo/"


@pytest.fixture
async def real(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Box]:
    async with box(tmp_path, free_port()) as made:
        yield made


def two_sided(side: Side, *, blue: ModelServer | None = None, green: ModelServer | None = None) -> Route:
    servers = [*([blue.server()] if blue else []), *([green.server(side="green")] if green else [])]
    return Route("echo", "serving", servers=tuple(servers), side=side, two_sided=True)


async def test_a_switch_takes_effect_for_all_at_one_instant(real: Box) -> None:
    async with model_servers("blue", "green") as (blue, green):
        assert await real.serve(two_sided("blue", blue=blue))
        for before, side in (("blue", "green"), ("green", "blue")):
            async with Load(real, 32, PATH, real.bearer(), gap=0) as load:
                assert not await real.serve(two_sided(before, blue=blue, green=green))  # type: ignore[arg-type]
                assert not await real.serve(two_sided(side, blue=blue, green=green))  # type: ignore[arg-type]
                await until(lambda load=load, side=side: sum(who == side for *_, who in load.seen) > 300)  # type: ignore[misc]
            assert load.failed == []
            switched = min(answered for _, answered, who in load.seen if who == side)
            assert {who for sent, _, who in load.seen if sent > switched} == {side}
        assert not await real.serve(two_sided("blue", blue=blue))


async def test_green_goes_on_where_a_service_is_no_longer_two_sided(real: Box) -> None:
    async with model_servers("blue", "green") as (blue, green):
        await real.serve(two_sided("green", green=green))
        rolling = Route("echo", "serving", servers=(green.server(side="green"),), side="green")
        assert not await real.serve(rolling)
        assert (await real.ask(PATH, real.bearer())).json["server"] == "green"
        leaving = Route("echo", "serving", servers=(blue.server(), green.server(side="green", draining=True)))
        assert not await real.serve(leaving)
        assert (await real.ask(PATH, real.bearer())).json["server"] == "blue"
        assert await real.serve(route("echo", blue)), "the last of green went"


async def test_sides_of_services_with_like_names_stay_apart(real: Box) -> None:
    async with model_servers("a", "b", "c") as (a, b, c):
        await real.serve(two_sided("green", green=a), route("green_echo", b), route("svc_echo", c))
        for name, server in (("echo", "a"), ("green_echo", "b"), ("svc_echo", "c")):
            assert (await real.ask(f"/inference/{name}/", real.bearer())).json["server"] == server
        assert set(await real.gateway.sessions()) == {"a", "b", "c"}


async def test_a_gateway_of_the_version_before_is_taken_over(real: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knew no sides: backends were named by their service, and no map said so."""
    async with model_servers("r1", "r2") as (first, second):
        await real.serve(route("echo", first))
        config = real.state_dir / "gateway" / "haproxy.cfg"
        old = config.read_text().replace("var(txn.service),map(maps/backend.map)", "str(svc_echo)")
        old = re.sub("^  description .*$|^.* lua.*$", "", old, flags=re.MULTILINE)
        config.write_text(old.replace("global\n", "global\n  description older\n"))
        assert await real.gateway._master.reload() == ""
        (real.state_dir / "gateway" / "maps" / "backend.map").unlink()
        (real.state_dir / "gateway" / "hold.lua").unlink()
        again = Box(real.state_dir, real.port)
        await again.gateway.start()
        async with Load(again, 16, PATH, real.bearer()) as load:
            with monkeypatch.context() as broken:
                broken.setattr("orchestrator.gateway.process.check", _refuse)
                with pytest.raises(Unavailable, match="the reason"):
                    await again.serve(route("echo", second))
            await until(lambda: second.asked > 50)
            assert await again.serve(route("echo", second))
            assert not await again.serve(route("echo", second))
            await until(lambda: second.asked > 100)
        assert load.failed == []


def _refuse(*_: object) -> None:
    raise Unavailable("the reason")


# --- counts ----------------------------------------------------------------------------------------------------------


async def _500(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await reply(writer, status=500)
    return True


async def _404(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await reply(writer, status=404)
    return True


async def _slow(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(0.1)
    await reply(writer)
    return True


async def _dies(_head: str, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    raise EOFError


async def _hangs(_head: str, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def _breaks(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    await writer.drain()
    raise EOFError


async def _continues(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    await reply(writer)
    return True


BEHAVIOURS = [
    (None, 0),
    (_404, 0),
    (_slow, 0),
    (_continues, 0),
    (_500, 3),
    (_dies, 3),
    (_hangs, 3),
    (_breaks, 3),
]


async def test_what_counts_as_an_error(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with box(tmp_path, free_port(), first_byte_timeout=0.25) as real, AsyncExitStack() as stack:
        routes, wanted = [], {}
        for number, (behave, errors) in enumerate(BEHAVIOURS):
            for retry in (True, False):
                name = f"r{number}-{retry}"
                (server,) = await stack.enter_async_context(model_servers(name, behave=behave))
                routes.append(route(name, server, open_to_public=True, retry=retry))
                wanted[name] = (3, errors)
        started = await stack.enter_async_context(model_servers("one", "two", "dead", "dies", "ws"))
        one, two, dead, dies, ws = started
        await dead.stop()
        dies.behave, ws.behave = _dies, echo_websocket
        routes += [route("a", one, dead, open_to_public=True), route("b", two, dies, open_to_public=True)]
        routes.append(Route("alone", "serving", True, (Server("lone", "127.0.0.1", dead.port),)))
        await real.serve(*routes, route("ws", ws, open_to_public=True))
        services = [r.service for r in routes] * 3
        await asyncio.gather(*(real.ask(f"/inference/{name}/") for name in services), return_exceptions=True)
        async with real.client() as talk:
            await talk.send("/inference/ws/", WEBSOCKET)
            assert (await talk.head()).status == 101
            (found,) = (await real.gateway.traffic()).values()
        assert {name: (found[name].requests, found[name].errors) for name in wanted} == wanted
        for name, requests in (("one", 3), ("two", 3), ("ws", 1)):
            assert (found[name].requests, found[name].errors) == (requests, 0)
        assert (found["lone"].requests, found["lone"].errors) == (3, 3)
        for name in ("dead", "dies"):
            assert found[name].errors == found[name].requests > 0, "others answered what it lost"
        assert 0.07 < found["r2-True"].latency < 0.25, "each of three took 0.1 s, and none the limit: a mean, not a sum"


async def test_reloads_lose_no_count(real: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of requests that a worker answers after it was replaced, where nothing else keeps it."""
    monkeypatch.setattr("orchestrator.gateway.counting.SETTLED", 0.2)
    counts, late = TrafficCounts(), asyncio.Event()

    async def sometimes_late(head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        if head.startswith("GET /late"):
            await late.wait()
            await reply(writer, headers="Connection: close\r\n")
        return head.startswith("GET /late")

    async with model_servers("r1", "r2", behave=sometimes_late) as (server, other):
        await real.serve(route("echo", server))
        counts.add(await real.gateway.traffic())
        slow = []
        for turn in range(3):
            slow.append(asyncio.create_task(real.ask("/inference/echo/late", real.bearer()), name=f"late:{turn}"))
            for _ in range(20):
                await real.ask(PATH, real.bearer())
            assert await real.serve(route("echo", server), *[route(f"s{i}", other) for i in range(turn + 1)])
        late.set()
        assert {(await one).status for one in slow} == {200}
        async with Load(real, 8, PATH, real.bearer()) as load:
            assert await real.serve(route("echo", server))
            await until(lambda now=load.answered: load.answered > now + 50)  # type: ignore[misc]
        assert load.failed == []
        await until(lambda: _counted(real, counts))
        assert counts.add(await real.gateway.traffic())["r1"].requests == server.asked == 63 + load.answered


async def _counted(real: Box, counts: TrafficCounts) -> bool:
    counts.add(await real.gateway.traffic())
    return await old_workers(real, "0")


# --- shares ----------------------------------------------------------------------------------------------------------


class Counter(asyncio.Protocol):
    """A model server that does nothing but count."""

    def __init__(self, shares: dict[str, int], name: str) -> None:
        self._shares, self._name = shares, name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        asked = data.count(b"\r\n\r\n")
        self._shares[self._name] += asked
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" * asked)


@asynccontextmanager
async def counters(shares: dict[str, int], weights: Sequence[float]) -> AsyncIterator[tuple[Server, ...]]:
    loop, servers = asyncio.get_running_loop(), []
    async with AsyncExitStack() as stack:
        for number, weight in enumerate(weights):
            name = f"r{number}"
            shares[name] = 0
            listening = await loop.create_server(lambda name=name: Counter(shares, name), "127.0.0.1", 0)  # type: ignore[misc]
            await stack.enter_async_context(listening)
            servers.append(Server(name, "127.0.0.1", listening.sockets[0].getsockname()[1], weight))
        yield tuple(servers)


async def ask_many(real: Box, requests: int, concurrency: int) -> None:
    """Each connection has one request running at a time: HAProxy takes what is sent in advance in order."""

    async def ask(client: Client) -> None:
        text = b"GET /inference/echo/ HTTP/1.1\r\nHost: gateway.test\r\n\r\n"
        client.writer.write(text * (requests // concurrency))
        answered = 0
        while answered < requests // concurrency:
            await client.reader.readuntil(b"\r\n\r\n")
            answered += 1

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(real.client()) for _ in range(concurrency)]
        await asyncio.gather(*(ask(client) for client in clients))


SHARES = [[5.0, *[95 / 3] * 3], [1.0, 2.0, 3.0], [0.1, 0.9]]


@pytest.mark.parametrize("weights", SHARES, ids=str)
async def test_shares_are_as_asked(real: Box, weights: list[float]) -> None:
    """At concurrency 1 and 32, after a change at run time."""
    requests = 9_984 if weights == SHARES[0] else 3_200
    shares: dict[str, int] = {}
    async with counters(shares, weights) as servers:
        equal = tuple(replace(server, weight=1.0) for server in servers)
        await real.serve(Route("echo", "serving", True, equal, weighted=True))
        await ask_many(real, 100, 4)
        assert not await real.serve(Route("echo", "serving", True, servers, weighted=True))
        for concurrency in (1, 32):
            shares.update(dict.fromkeys(shares, 0))
            await ask_many(real, requests, concurrency)
            for server in servers:
                wanted = server.weight / sum(weights)
                assert shares[server.routing] / requests == pytest.approx(wanted, rel=0.02), (concurrency, shares)
        assert not await real.serve(Route("echo", "serving", True, equal, weighted=True))
