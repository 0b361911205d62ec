"""No request fails: real HAProxy, real sockets, clients that never retry."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psutil
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
from orchestrator.core.routes import Route, RouteTable, Server


@pytest.fixture
async def real(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Box]:
    async with box(tmp_path, free_port()) as made:
        yield made


async def test_twenty_reloads_under_sixty_clients(real: Box) -> None:
    async with model_servers("r1", "r2") as servers:
        await real.serve(route("echo", *servers))
        async with Load(real, 60, "/inference/echo/", real.bearer(), gap=0.02) as load:
            for turn in range(20):
                before = load.answered
                assert await real.serve(route("echo", *servers), *[route(f"s{i}", *servers) for i in range(turn + 1)])
                await until(lambda before=before: load.answered > before + 60)  # type: ignore[misc]
        assert load.failed == []
        assert load.answered > 1200
        assert (await real.gateway.check())["reloads"] == "21"
        await until(lambda: old_workers(real, "0"))


async def test_routings_come_and_go_without_reload_and_without_a_failed_request(real: Box) -> None:
    async with model_servers("a", "b", "c") as (a, b, c):
        await real.serve(route("echo", a))
        async with Load(real, 20, "/inference/echo/", real.bearer()) as load:
            for coming, going in [(b, a), (c, b), (a, c)] * 3:
                assert not await real.serve(route("echo", coming, going))
                leaving = Server(going.name, "127.0.0.1", going.port, draining=True)
                assert not await real.serve(Route("echo", "serving", servers=(coming.server(), leaving)))
                await until(lambda going=going: _drained(real, going.name))  # type: ignore[misc]
                asked = going.asked
                await until(lambda load=load, now=load.answered: load.answered > now + 40)  # type: ignore[misc]
                assert going.asked == asked
                assert not await real.serve(route("echo", coming))
        assert load.failed == []


async def _drained(real: Box, routing: str) -> bool:
    return not (await real.gateway.sessions())[routing]


async def test_revocation_reaches_open_connections_of_every_worker(real: Box) -> None:
    async with model_servers("r1") as (server,), AsyncExitStack() as open_ones:
        good, bad = real.bearer("keep"), real.bearer("gone")
        clients = []
        for turn in range(3):
            await real.serve(route("echo", server), *[route(f"s{i}", server) for i in range(turn)])
            clients.append(await open_ones.enter_async_context(real.client()))
            assert (await clients[-1].ask("/inference/echo/", bad)).status == 200
        assert await old_workers(real, "2")
        began = time.monotonic()
        await real.gateway.revoke({"gone": time.time() + 60})
        for client in clients:
            assert (await client.ask("/inference/echo/", bad)).code == "token_revoked"
        assert time.monotonic() - began < 1.0
        assert (await clients[-1].ask("/inference/echo/", good)).status == 200


async def test_an_old_worker_hands_requests_on_with_the_clients_address(real: Box) -> None:
    async with model_servers("r1", "r2") as (first, second), AsyncExitStack() as open_ones:
        await real.serve(route("echo", first))
        client = await open_ones.enter_async_context(real.client())
        assert (await client.ask("/inference/echo/", real.bearer())).json["server"] == "r1"
        await real.serve(route("later", second))
        answer = await client.ask("/inference/later/x?y=1", real.bearer(), method="POST", body=b"z" * 300_000)
        assert (answer.json["server"], answer.json["path"], answer.json["size"]) == ("r2", "/x?y=1", 300_000)
        assert answer.json["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert answer["connection"] == "close"


@pytest.mark.parametrize("victim", ["master", "worker"])
async def test_a_killed_haproxy_is_back_within_two_seconds(real: Box, victim: str) -> None:
    async with model_servers("r1", "r2") as (first, second):
        await real.serve(route("echo", first))
        await real.serve(route("echo", first, second))
        await real.gateway.revoke({"gone": time.time() + 60})
        found = await real.gateway.check()
        psutil.Process(int(found["pid" if victim == "master" else "worker"])).kill()
        began = time.monotonic()
        await until(lambda: _down(real))
        await real.gateway.start()
        assert (await real.ask("/inference/echo/", real.bearer("gone"))).code == "token_revoked"
        seen = {(await real.ask("/inference/echo/", real.bearer())).json["server"] for _ in range(4)}
        assert seen == {"r1", "r2"}
        assert time.monotonic() - began < 2.0
        assert not await real.serve(route("echo", first, second))


async def _down(real: Box) -> bool:
    try:
        await real.gateway.check()
    except Unavailable:
        return True
    return False


async def test_another_daemon_adopts_it_and_needs_no_reload(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(route("echo", server))
        pid = (await real.gateway.check())["pid"]
        await real.gateway.close()
        again = Box(real.state_dir, real.port)
        await again.gateway.start()
        assert (await again.gateway.check())["pid"] == pid
        assert not await again.serve(route("echo", server))
        assert psutil.Process(int(pid)).parent() is None or psutil.Process(int(pid)).ppid() != psutil.Process().pid


async def test_a_request_whose_routing_dies_before_the_first_byte_goes_elsewhere(real: Box) -> None:
    async def die(_head: str, _reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        raise EOFError

    async with model_servers("bad", behave=die) as (bad,), model_servers("good") as (good,):
        await real.serve(route("echo", bad, good), route("once", bad, retry=False), route("alone", bad))
        for _ in range(6):
            answer = await real.ask("/inference/echo/", real.bearer(), method="POST", body=b"x" * 60_000)
            assert (answer.status, answer.json["server"], answer.json["size"]) == (200, "good", 60_000)
        assert bad.asked >= 2
        asked = bad.asked
        assert (await real.ask("/inference/once/", real.bearer())).code == "routing_lost"
        assert bad.asked == asked + 1
        assert (await real.ask("/inference/alone/", real.bearer())).code == "routing_lost"
        asked = bad.asked
        statuses = [
            (await real.ask("/inference/echo/", real.bearer(), method="POST", body=b"x" * 70_000)).status
            for _ in range(4)
        ]
        assert sorted(set(statuses)) == [200, 502]
        assert bad.asked - asked == statuses.count(502)


async def test_a_routing_that_refuses_connections_is_passed_over(real: Box) -> None:
    async with model_servers("dead", "alive") as (dead, alive):
        await dead.stop()
        await real.serve(route("echo", dead, alive), route("alone", dead))
        for _ in range(4):
            answer = await real.ask("/inference/echo/", real.bearer(), method="POST", body=b"x" * 300_000)
            assert answer.json["server"] == "alive"
        lost = await real.ask("/inference/alone/", real.bearer())
        assert (lost.status, lost.code) == (502, "routing_lost")


async def test_a_model_servers_own_503_is_left_as_it_is(real: Box) -> None:
    async def busy(_head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reply(writer, b"busy", status=503)
        return True

    async with model_servers("r1", behave=busy) as (server,):
        await real.serve(route("echo", server))
        answer = await real.ask("/inference/echo/", real.bearer())
        assert (answer.status, answer.body) == (503, b"busy")


async def test_no_answer_in_time_is_504(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async def hang(_head: str, reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with box(tmp_path, free_port(), first_byte_timeout=0.3) as real, model_servers("r1", behave=hang) as (slow,):
        await real.serve(route("echo", slow))
        answer = await real.ask("/inference/echo/", real.bearer())
        assert (answer.status, answer.code) == (504, "routing_timeout")


class Stream:
    """A model server that sends one chunk at each `go`, and ends at `end`."""

    def __init__(self) -> None:
        self.go: asyncio.Queue[bytes] = asyncio.Queue()

    async def __call__(self, _head: str, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await writer.drain()
        while True:
            data = await self.go.get()
            writer.write(b"%x\r\n%s\r\n" % (len(data), data))
            await writer.drain()
            if not data:
                return True


async def test_streams_are_not_buffered_and_outlive_reloads(real: Box) -> None:
    stream = Stream()
    async with model_servers("r1", behave=stream) as (server,), real.client() as client:
        await real.serve(route("echo", server))
        await client.send("/inference/echo/", real.bearer())
        assert (await client.head()).status == 200
        for turn in range(5):
            await stream.go.put(b"token %d" % turn)
            async with asyncio.timeout(1):
                assert await client.chunk() == b"token %d" % turn
            await real.serve(*[route(f"s{turn}", server)] if turn % 2 else [route("echo", server)])
            assert (await real.gateway.sessions())["r1"] == 1
        await stream.go.put(b"")
        assert await client.chunk() == b""
        await until(lambda: _drained(real, "r1"))


async def test_running_streams_are_ended_by_token_and_by_routing(real: Box) -> None:
    stream = Stream()
    async with model_servers("r1", "r2", behave=stream) as (first, second), AsyncExitStack() as open_ones:
        await real.serve(route("echo", first), route("other", second))
        clients: list[Client] = []
        for path, token in [("echo", "a"), ("echo", "b"), ("other", "a"), ("other", "b")]:
            client = await open_ones.enter_async_context(real.client())
            clients.append(client)
            await client.send(f"/inference/{path}/", real.bearer(token))
            assert (await client.head()).status == 200
            await real.serve(route("echo", first), route("other", second), route(f"s{len(clients)}", second))
        assert await real.gateway.close_sessions_of_token("a") == 2
        assert await _ended(clients) == [True, False, True, False]
        await real.gateway.close_sessions("r1")
        assert await _ended(clients) == [True, True, True, False]
        assert set(await real.gateway.token_uses()) == {"a", "b"}


async def test_ending_a_routings_requests_ends_no_other(real: Box) -> None:
    """Also where requests end and begin all the time: HAProxy gives the id of a stream to the next one."""
    async with model_servers("r1", "r2", behave=_in_two_parts) as (first, second):
        await real.serve(*(route(n, s, open_to_public=True) for n, s in (("one", first), ("other", second))))
        async with (
            Load(real, 15, "/inference/one/", {}, gap=0) as ended,
            Load(real, 15, "/inference/other/", {}, gap=0) as kept,
        ):
            for _ in range(25):
                await real.gateway.close_sessions("r1")
        assert ended.failed
        assert not kept.failed


async def _in_two_parts(_: str, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    body = b'{"server": ""}'
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body[:1])
    await writer.drain()
    await asyncio.sleep(random.random() * 0.01)
    writer.write(body[1:])
    return True


async def _ended(clients: list[Client]) -> list[bool]:
    async def one(client: Client) -> bool:
        try:
            async with asyncio.timeout(0.3):
                return not await client.reader.read(1)
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    return await asyncio.gather(*(one(client) for client in clients))


async def test_websockets_pass_and_outlive_a_reload(real: Box) -> None:
    async with model_servers("r1", behave=echo_websocket) as (server,), real.client() as client:
        await real.serve(route("echo", server))
        await client.send("/inference/echo/ws", WEBSOCKET | real.bearer())
        assert (await client.head()).status == 101
        for frame in (b"\x81\x02hi", b"\x82\x7e\xff\xff" + b"x" * 65535):
            client.writer.write(frame)
            assert await client.reader.readexactly(len(frame)) == frame
            await real.serve(route("echo", server), route("other", server))


async def test_large_uploads_take_no_more_memory(real: Box) -> None:
    async def swallow(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        left = total = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
        while left:
            left -= len(await reader.read(min(left, 1 << 20)))
        await reply(writer, str(total).encode())
        return True

    size, block = 256 << 20, b"x" * (1 << 20)
    async with model_servers("r1", behave=swallow) as (server,), real.client() as client:
        await real.serve(route("echo", server))
        worker = psutil.Process(int((await real.gateway.check())["worker"]))
        before = worker.memory_info().rss
        await client.send("/inference/echo/", {**real.bearer(), "Content-Length": str(size)}, method="POST")
        for _ in range(size >> 20):
            client.writer.write(block)
            await client.writer.drain()
        assert (await client.answer()).body == str(size).encode()
        assert worker.memory_info().rss - before < 16 << 20


async def test_shares_follow_the_weights(real: Box) -> None:
    async with model_servers("canary", "stable") as (canary, stable):
        await real.serve(Route("echo", "serving", True, (canary.server(weight=0.1), stable.server(weight=0.9))))
        async with real.client() as client:
            for _ in range(100):
                await client.ask("/inference/echo/")
        assert (canary.asked, stable.asked) == (10, 90)
        await real.serve(Route("echo", "serving", True, (canary.server(weight=0.0), stable.server(weight=0.9))))
        async with real.client() as client:
            for _ in range(20):
                await client.ask("/inference/echo/")
        assert canary.asked == 10


async def test_a_thousand_services(real: Box) -> None:
    async with model_servers("r1") as (server,):
        table = RouteTable(tuple(_of_three(f"service-{i}", server) for i in range(1000)))
        began = time.monotonic()
        assert (await real.gateway.publish(table)).reloaded
        assert time.monotonic() - began < 5.0
        assert (await real.ask("/inference/service-999/", real.bearer())).status == 200
        changed = RouteTable((*table.routes[:-1], Route("service-999", "service_stopped")))
        began = time.monotonic()
        assert not (await real.gateway.publish(changed)).reloaded
        assert time.monotonic() - began < 2.0
        assert (await real.ask("/inference/service-999/", real.bearer())).code == "service_stopped"


def _of_three(name: str, server: ModelServer) -> Route:
    return Route(name, "serving", servers=tuple(Server(f"{name}-{i}", "127.0.0.1", server.port) for i in range(3)))


async def test_concurrent_publishes_and_revocations_end_in_the_last_state(real: Box) -> None:
    async with model_servers("r1") as (server,):
        calls: list[Any] = []
        for turn in range(6):
            calls.append(real.serve(*[route(f"s{i}", server) for i in range(turn % 3 + 1)]))
            calls.append(real.gateway.revoke({f"t{i}": time.time() + 60 for i in range(turn)}))
        await asyncio.gather(*calls)
        assert (await real.ask("/inference/s2/", real.bearer("t4"))).code == "token_revoked"
        assert (await real.ask("/inference/s2/", real.bearer("t5"))).status == 200
