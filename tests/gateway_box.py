"""What the gateway's tests share: a model server that says what it got, a client that never retries, a real gateway."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any, Literal

from orchestrator.auth import KeyRing
from orchestrator.core.routes import Route, RouteTable, Server
from orchestrator.core.state import Token
from orchestrator.gateway import HAProxyGateway
from orchestrator.settings import GatewaySettings

WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MTIzNDU2Nzg5MDEyMzQ1Ng==",
}
Scope = Literal["infer", "read", "admin"]


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name.lower()), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name.lower()]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        error = self.json["error"]
        assert set(error) == {"code", "message", "request_id"}
        assert error["request_id"] == self["x-request-id"] != ""
        assert self["content-type"] == "application/json"
        return str(error["code"])


class Client:
    """One connection, opened at once and never again: whatever breaks on it is seen."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.closing = False

    async def __aenter__(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes = b""
    ) -> Answer:
        await self.send(path, headers, method=method, body=body)
        return await self.answer(method)

    async def send(
        self, path: str, headers: Mapping[str, str] | None = None, *, method: str = "GET", body: bytes = b""
    ) -> None:
        lines = {"Host": "gateway.test", **({"Content-Length": str(len(body))} if body else {}), **(headers or {})}
        text = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        self.writer.write(text.encode() + body)
        await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        head = await self.head()
        length = head["content-length"]
        if head["transfer-encoding"] == "chunked":
            while chunk := await self.chunk():
                head.body += chunk
        elif length and method != "HEAD":
            head.body = await self.reader.readexactly(int(length))
        self.closing = head["connection"].lower() == "close"
        return head

    async def head(self) -> Answer:
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in rest if line]
        return Answer(int(first.split()[1]), [(pair[0].lower(), pair[1]) for pair in pairs], b"")

    async def chunk(self) -> bytes:
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:size]


@dataclass
class ModelServer:
    """Answers with what it was asked, or as `behave` says; counts requests and those that run."""

    name: str
    behave: Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Any] | None = None
    asked: int = 0
    port: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self, port: int = 0) -> ModelServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def server(self, **facts: Any) -> Server:
        return Server(self.name, "127.0.0.1", self.port, **facts)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                await self._one(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.asked += 1
        line, *rest = head.strip().split("\r\n")
        headers = {k.lower(): v for k, v in (pair.split(": ", 1) for pair in rest)}
        if self.behave is not None and await self.behave(head, reader, writer):
            return
        size = 0
        for _ in range(int(headers.get("content-length", 0)) // 65536 + 1):
            size += len(await reader.readexactly(min(65536, int(headers.get("content-length", 0)) - size)))
        method, target, _version = line.split(" ")
        told = {"server": self.name, "method": method, "path": target, "headers": headers, "size": size}
        await reply(writer, json.dumps(told).encode())


async def reply(writer: asyncio.StreamWriter, body: bytes = b"", *, status: int = 200, headers: str = "") -> None:
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)
    await writer.drain()


async def echo_websocket(head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    headers = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}"
    writer.write(f"HTTP/1.1 101 X\r\n{headers}\r\n\r\n".encode())
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    raise EOFError


class Box:
    """A running HAProxy with its keys; `serve` publishes, `token` issues."""

    def __init__(self, state_dir: Path, port: int, **settings: Any) -> None:
        self.state_dir, self.port = state_dir, port
        self.ring = KeyRing.open(state_dir)
        self.settings = GatewaySettings(listen=f"127.0.0.1:{port}", **settings)
        self.gateway = HAProxyGateway(self.settings, state_dir, self.ring.signing_keys)

    def token(self, id: str = "t1", service: str = "*", *, scope: Scope = "infer", ends_in: float = 600) -> str:
        now = time.time()
        return self.ring.issue(Token(id, service, "", scope, now, now + ends_in), now)

    def bearer(self, *about: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token(*about)}"}

    def client(self) -> Client:
        return Client(self.port)

    async def ask(self, path: str, headers: Mapping[str, str] | None = None, **what: Any) -> Answer:
        async with self.client() as client:
            return await client.ask(path, headers, **what)

    async def serve(self, *routes: Route) -> bool:
        """Whether it took a reload."""
        published = await self.gateway.publish(RouteTable(routes))
        assert not published.problems
        return published.reloaded


def route(service: str, *servers: ModelServer, **facts: Any) -> Route:
    return Route(service, **({"state": "serving", "servers": tuple(s.server() for s in servers)} | facts))


@asynccontextmanager
async def box(state_dir: Path, port: int, **settings: Any) -> AsyncIterator[Box]:
    made = Box(state_dir, port, **settings)
    try:
        await made.gateway.start()
        yield made
    finally:
        await made.gateway.stop()


@asynccontextmanager
async def model_servers(*names: str, behave: Any = None) -> AsyncIterator[list[ModelServer]]:
    made = [await ModelServer(name, behave).start() for name in names]
    try:
        yield made
    finally:
        for server in made:
            await server.stop()


async def until(condition: Callable[[], Any], limit: float = 5.0) -> None:
    """Poll until it is true; it may be a coroutine function."""
    deadline = time.monotonic() + limit
    while True:
        found = condition()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.02)


class Load:
    """Keep-alive clients that ask as fast as `gap` allows; a connection is opened anew only after `close` was said."""

    def __init__(self, real: Box, count: int, path: str, headers: dict[str, str], *, gap: float = 0.005) -> None:
        self._real, self._count, self._path, self._headers, self._gap = real, count, path, headers, gap
        self.answered = 0
        self.failed: list[str] = []
        self.seen: list[tuple[float, float, str]] = []
        """When it was sent, when it was answered, and by which model server."""
        self._ending = False

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._client(), name=f"client:{i}") for i in range(self._count)]
        await until(lambda: self.answered > self._count or self.failed)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        while not self._ending:
            async with self._real.client() as client:
                while not (self._ending or client.closing):
                    await self._one(client)
                    await asyncio.sleep(self._gap)

    async def _one(self, client: Client) -> None:
        sent = time.monotonic()
        try:
            answer = await client.ask(self._path, self._headers)
        except (OSError, EOFError) as error:
            self.failed.append(repr(error))
            client.closing = True
            return
        self.answered += 1
        if answer.status != 200:
            self.failed.append(f"{answer.status} {answer.body!r}")
        else:
            self.seen.append((sent, time.monotonic(), answer.json["server"]))


async def old_workers(real: Box, count: str) -> bool:
    return (await real.gateway.check())["old_workers"] == count
