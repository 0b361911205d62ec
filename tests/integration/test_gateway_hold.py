"""Requests wait at the gateway while their service is swapped. Real HAProxy, clients that never retry."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

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
    route,
    until,
)

from orchestrator.core.routes import Route


@pytest.fixture
async def real(tmp_path: Path, free_port: Callable[[], int]) -> AsyncIterator[Box]:
    async with box(tmp_path, free_port()) as made:
        yield made


HELD = Route("echo", "holding")
PATH = "/inference/echo/"


@asynccontextmanager
async def waiting(real: Box, count: int) -> AsyncIterator[list[Client]]:
    """So many clients whose request waits at the gateway."""
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(real.client()) for _ in range(count)]
        for client in clients:
            await client.send(PATH, real.bearer())
        assert await silent(*clients)
        yield clients


async def silent(*clients: Client, seconds: float = 0.15) -> bool:
    """Has none of them been answered, and none been closed?"""
    reads = [asyncio.create_task(client.reader.read(1)) for client in clients]
    done, running = await asyncio.wait(reads, timeout=seconds)
    for read in running:
        read.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return not done


async def test_twenty_swaps_lose_no_request(real: Box) -> None:
    """The old routing is gone before the new one comes."""
    async with model_servers("a", "b") as (a, b):
        await real.serve(route("echo", a))
        async with Load(real, 32, PATH, real.bearer(), gap=0.002) as load:
            for turn in range(20):
                old, new = (a, b) if turn % 2 == 0 else (b, a)
                assert not await real.serve(Route("echo", "holding", servers=(old.server(draining=True),)))
                await until(lambda old=old: _drained(real, old))  # type: ignore[misc]
                assert not await real.serve(HELD)
                asked = old.asked
                assert not await real.serve(route("echo", new))
                await until(lambda load=load, now=load.answered: load.answered > now + 100)  # type: ignore[misc]
                assert old.asked == asked
        assert load.failed == []


async def _drained(real: Box, server: ModelServer) -> bool:
    return not (await real.gateway.sessions())[server.name]


async def test_bodies_and_websockets_wait_whole(real: Box) -> None:
    async with model_servers("r1") as (server,), model_servers("ws", behave=echo_websocket) as (speaker,):
        await real.serve(HELD, Route("talk", "holding"))
        async with real.client() as small, real.client() as large, real.client() as half, real.client() as talk:
            await small.send(PATH, real.bearer(), method="POST", body=b"x" * 100)
            sending = asyncio.create_task(large.send(PATH, real.bearer(), method="POST", body=b"x" * 3_000_000))
            await half.send(PATH, {**real.bearer(), "Content-Length": "10"}, method="POST")
            half.writer.write(b"x" * 5)
            await talk.send("/inference/talk/", WEBSOCKET | real.bearer())
            assert await silent(small, large, half, talk)
            await real.serve(route("echo", server), route("talk", speaker))
            half.writer.write(b"x" * 5)
            await sending
            assert [(await one.answer()).json["size"] for one in (small, large, half)] == [100, 3_000_000, 10]
            assert (await talk.head()).status == 101
            talk.writer.write(b"\x81\x02hi")
            assert await talk.reader.readexactly(4) == b"\x81\x02hi"


async def test_what_they_wait_for_may_also_be_a_refusal(real: Box) -> None:
    async with model_servers("r1") as (server,):
        for state in ("service_stopped", "no_healthy_routing"):
            await real.serve(HELD)
            async with waiting(real, 2) as clients:
                await real.serve(Route("echo", state))
                assert {(await client.answer()).code for client in clients} == {state}
        await real.serve(HELD)
        assert (await real.ask(PATH)).code == "token_missing", "who may not ask does not wait"
        async with waiting(real, 1) as (client,):
            await real.gateway.revoke({"t1": time.time() + 60})
            await real.serve(route("echo", server))
            assert (await client.answer()).code == "token_revoked"
        assert server.asked == 0


async def test_patience_ends(tmp_path: Path, free_port: Callable[[], int]) -> None:
    """With a body half sent too: a shorter `idle_timeout` does not cut it off. No daemon is needed for it."""
    async with box(tmp_path, free_port(), hold_seconds=0.6, idle_timeout=0.3) as real:
        await real.serve(HELD)
        async with waiting(real, 1) as (client,), real.client() as half:
            began = time.monotonic()
            await half.send(PATH, {**real.bearer(), "Content-Length": "10"}, method="POST")
            for one in (client, half):
                answer = await one.answer()
                assert (answer.status, answer.code, answer["retry-after"]) == (503, "hold_timeout", "5")
            assert 0.5 < time.monotonic() - began < 1.5


async def test_only_so_many_wait_and_who_goes_away_makes_room(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with box(tmp_path, free_port(), hold_requests=3) as real, model_servers("r1") as (server,):
        for _ in range(3):
            await real.serve(HELD, route("other", server))
            async with waiting(real, 3) as clients:
                full = await real.ask(PATH, real.bearer())
                assert (full.status, full.code, full["retry-after"]) == (503, "hold_full", "5")
                assert (await real.ask("/inference/other/", real.bearer())).status == 200
                await real.serve(route("echo", server), route("other", server))
                assert {(await client.answer()).status for client in clients} == {200}
        await real.serve(HELD)
        async with waiting(real, 2), real.client() as leaving:
            await leaving.send(PATH, {**real.bearer(), "Content-Length": "10"}, method="POST")
            assert await silent(leaving)
            assert not await _waits(real)
            leaving.writer.close()
            await until(lambda: _waits(real))


async def _waits(real: Box) -> bool:
    async with real.client() as client:
        await client.send(PATH, real.bearer())
        return await silent(client)


async def test_reloads_take_those_who_wait_along(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(HELD)
        async with waiting(real, 5) as released, real.client() as large:
            body = asyncio.create_task(large.send(PATH, real.bearer(), method="POST", body=b"x" * 300_000))
            for turn in range(3):
                assert await real.serve(HELD, *[route(f"s{i}", server) for i in range(turn + 1)])
                assert await silent(*released, large)
            assert await real.serve(route("echo", server))
            await body
            assert (await large.answer()).json["size"] == 300_000
            assert [(await client.answer()).status for client in released] == [200] * 5
        await until(lambda: old_workers(real, "0"))


async def test_a_reload_gives_no_new_patience(tmp_path: Path, free_port: Callable[[], int]) -> None:
    async with (
        box(tmp_path, free_port(), hold_seconds=1) as real,
        model_servers("r1") as (server,),
        real.client() as one,
    ):
        await real.serve(HELD)
        began = time.monotonic()
        await one.send(PATH, {**real.bearer(), "X-Hold-Until": "99999999999999"})
        assert await silent(one, seconds=0.7)
        assert await real.serve(HELD, route("other", server))
        assert (await one.answer()).code == "hold_timeout"
        assert 0.9 < time.monotonic() - began < 1.65


async def test_a_thousand_wait_at_little_cost(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(HELD)
        worker = psutil.Process(int((await real.gateway.check())["worker"]))
        before = worker.memory_info().rss
        async with waiting(real, 1000) as clients:
            used, began = sum(worker.cpu_times()[:2]), time.monotonic()
            await asyncio.sleep(1.0)
            load = (sum(worker.cpu_times()[:2]) - used) / (time.monotonic() - began)
            assert load < 0.25
            assert worker.memory_info().rss - before < 64 << 20
            assert (await real.ask(PATH, real.bearer())).code == "hold_full"
            await real.serve(route("echo", server))
            assert {(await client.answer()).status for client in clients} == {200}


async def test_who_left_meanwhile_costs_the_model_server_nothing(real: Box) -> None:
    async with model_servers("r1") as (server,):
        await real.serve(HELD)
        async with waiting(real, 10) as clients:
            for client in clients[:6]:
                client.writer.close()
                await client.writer.wait_closed()
            await real.serve(route("echo", server))
            assert {(await client.answer()).status for client in clients[6:]} == {200}
        assert server.asked == 4
