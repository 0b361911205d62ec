"""Requests of every shape through the gateway to a local routing: sizes, streams, upgrades, many at once."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from harness import Daemon, echo, until

PAGE = resource.getpagesize()
GIGABYTE = 1 << 30
STREAMS = 2000
COUNTING = """
import server

class Counting(server.Echo):
    def take(self, length):
        total = 0
        while total < length and (got := self.rfile.readinto(BUFFER[: min(len(BUFFER), length - total)])):
            total += got
        return b"", total

BUFFER = memoryview(bytearray(1 << 20))
server.Echo = Counting
server.main()
"""
"""Reads a body into one buffer: what is measured is the gateway."""
HOLDING = """
import asyncio, sys

async def hold(reader, writer):
    path = (await reader.readuntil(b"\\r\\n\\r\\n")).split()[1]
    writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
    if path != b"/health":
        writer.write(b"5\\r\\nfirst\\r\\n")
        await reader.read(1)
    writer.write(b"0\\r\\n\\r\\n")
    writer.close()

async def main():
    server = await asyncio.start_server(hold, "0.0.0.0", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()

asyncio.run(main())
"""
"""Sends one chunk and holds the stream open until its client goes."""


def rss(daemon: Daemon) -> int:
    """Bytes of all HAProxy processes of the installation."""
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE for pid in daemon.gateway_processes())


async def test_a_gigabyte_goes_up_in_constant_memory(daemon: Daemon) -> None:
    command = ["python", "/models/counting.py", "--port", "{port}"]
    daemon.drop("echo", echo(start_command=command), {"counting.py": COUNTING})
    await daemon.settled("echo")
    header = await daemon.header("echo")
    await daemon.ask("echo", header=header)
    before = most = rss(daemon)
    part = bytes(1 << 20)

    async def body() -> AsyncIterator[bytes]:
        nonlocal most
        for number in range(GIGABYTE // len(part)):
            yield part
            if number % 64 == 0:
                most = max(most, rss(daemon))

    sent = header | {"Content-Length": str(GIGABYTE)}
    async with (
        aiohttp.ClientSession() as session,
        session.post(daemon.endpoint("echo"), data=body(), headers=sent) as answer,
    ):
        assert answer.status == 200
        assert (await answer.json())["size"] == GIGABYTE
    assert most - before < 16e6, f"bytes that HAProxy grew by, from {before}"


async def test_two_thousand_streams_stay_open_side_by_side_and_over_a_reload(daemon: Daemon) -> None:
    command = ["python", "/models/holding.py", "{port}"]
    daemon.drop("echo", echo(start_command=command), {"holding.py": HOLDING})
    await daemon.settled("echo")
    header = await daemon.header("echo")
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers=header) as session:
        began = time.monotonic()
        streams = await asyncio.gather(*(session.get(daemon.endpoint("echo")) for _ in range(STREAMS)))
        assert all(s.status == 200 for s in streams)
        assert [await s.content.read(5) for s in streams] == [b"first"] * STREAMS
        assert time.monotonic() - began < 15, "seconds to open them"
        daemon.drop("other", echo("other"))
        await daemon.settled("other")
        assert (await daemon.ask("other", header=await daemon.header("other")))[0] == 200
        assert not any(s.content.at_eof() for s in streams), "a reload cut a stream"
        daemon.edit("echo", echo(start_command=[*command, "new"], deployment={"stop_grace": 1}))
        await until(lambda: drained(daemon), 15)
        for stream in streams:
            stream.close()
    assert not [e for e in await daemon.events() if e.kind in ("gateway.lost", "routing.died")]


async def drained(daemon: Daemon) -> bool:
    return (await daemon.settled("echo", 1, deadline=0)).revision == "2"


async def test_a_stream_arrives_piece_by_piece_and_a_websocket_both_ways(daemon: Daemon) -> None:
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    header = await daemon.header("echo")
    async with aiohttp.ClientSession(headers=header) as session:
        arrived: list[float] = []
        async with session.get(daemon.endpoint("echo", "/stream?n=5&delay=0.2")) as answer:
            async for piece, _ in answer.content.iter_chunks():
                if piece.startswith(b"data"):
                    arrived.append(time.monotonic())
        assert len(arrived) == 5
        assert arrived[-1] - arrived[0] > 0.7, "it was buffered"
        async with session.ws_connect(daemon.endpoint("echo", "/ws")) as socket:
            for message in ("one", "x" * 60_000):
                await socket.send_str(message)
                assert (await socket.receive_str(timeout=5)) == message
    assert (await daemon.ask("echo", "/ws", header={"Upgrade": "websocket"}))[0] == 401


async def test_a_key_is_replaced_without_a_moment_in_which_tokens_fail(daemon: Daemon) -> None:
    """What the answer says holds at once: the gateway knows the new key, and no longer the one that was dropped."""
    daemon.drop("echo", echo())
    await daemon.settled("echo")
    old = await daemon.header("echo")
    (first,) = await daemon.client.keys()
    await daemon.client.rotate_key()
    new = await daemon.header("echo")
    assert [(await daemon.ask("echo", header=header))[0] for header in (old, new)] == [200, 200]
    await daemon.client.drop_key(first.kid)
    assert [(await daemon.ask("echo", header=header))[0] for header in (old, new)] == [401, 200]
