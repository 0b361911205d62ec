"""The one way to the engine: docker-py in threads, every call with a time limit, every error translated."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

import docker
import requests
import urllib3
from docker.transport.unixconn import UnixHTTPConnection
from docker.utils import kwargs_from_env

from orchestrator.core.errors import Unavailable
from orchestrator.runtimes.docker.errors import translate, unreachable
from orchestrator.runtimes.docker.stream import Pump, Source

T = TypeVar("T")
THIRD_PARTY = (docker.errors.DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)
CONNECT_LIMIT = 10
"""Seconds."""
WORKERS = 16
"""Calls under way at once; the others wait, and their waiting counts against their limit."""
LIMIT = 60
"""Seconds for one call, unless told otherwise."""
SENT = 4
"""Files on their way to the engine at once: they take long, so they have places of their own."""
LONGEST = 3600.0
"""Seconds that they may take, waiting included."""


def _connect(self: UnixHTTPConnection) -> None:
    """As docker-py's, but a refused connection does not leave its socket to the garbage collector."""
    self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.unix_socket)
    except BaseException:
        self.sock.close()
        self.sock = None
        raise


UnixHTTPConnection.connect = _connect  # type: ignore[method-assign]


class Engine:
    """`host` empty: DOCKER_HOST and its companions, else the default socket."""

    def __init__(self, host: str = "") -> None:
        self._host = host
        self._slots = asyncio.Semaphore(WORKERS)
        self._sending = asyncio.Semaphore(SENT)
        self._client: docker.APIClient | None = None
        self._connecting = threading.Lock()
        self._pumps: set[Pump[Any]] = set()
        self._closed = False

    async def call(self, doing: str, use: Callable[[docker.APIClient], T], *, limit: float = LIMIT) -> T:
        """What `use` returns, run in a thread. Raises `RuntimeFailure`, `NotFound` or `Unavailable`, which say that
        they could not `doing` (an infinitive)."""
        return await self._called(doing, use, self._slots, limit)

    async def send(self, doing: str, use: Callable[[docker.APIClient], T]) -> T:
        """As `call`, for what sends files."""
        return await self._called(doing, use, self._sending, LONGEST)

    async def _called(
        self, doing: str, use: Callable[[docker.APIClient], T], slots: asyncio.Semaphore, limit: float
    ) -> T:
        if self._closed:
            raise Unavailable(f"cannot {doing}: the daemon is ending")
        try:
            async with asyncio.timeout(limit):
                await slots.acquire()
                return await self._in_thread(doing, use, slots)
        except TimeoutError:
            raise unreachable(doing, f"no answer within {limit:g} s") from None
        except THIRD_PARTY as error:
            raise translate(error, doing) from error

    def _in_thread(
        self, doing: str, use: Callable[[docker.APIClient], T], slots: asyncio.Semaphore
    ) -> asyncio.Future[T]:
        """Frees the slot when the thread has ended, not when nobody waits for it any more. A thread of its own: a
        pool's would keep the process from ending while the engine hangs."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def settle(give: Callable[[], None]) -> None:
            slots.release()
            if not answer.done():
                give()

        def work() -> None:
            try:
                result = use(self.client())
                give = partial(answer.set_result, result)
            except BaseException as error:
                give = partial(answer.set_exception, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, give)

        threading.Thread(target=work, name=f"docker: {doing}", daemon=True).start()
        return answer

    async def stream(self, doing: str, open_source: Callable[[docker.APIClient], Source[T]]) -> AsyncGenerator[list[T]]:
        """Batches of what the source yields, until it ends; closed when the iterator is, or with `close`."""
        pump = self.pump(doing, open_source)
        try:
            while batch := await pump.batch():
                yield batch
        finally:
            await self.release(pump)

    def pump(self, doing: str, open_source: Callable[[docker.APIClient], Source[T]]) -> Pump[T]:
        """For callers that do more than iterate: they must `release` it."""

        def translated(error: Exception) -> Exception:
            return translate(error, doing) if isinstance(error, THIRD_PARTY) else error

        pump = Pump(f"docker: {doing}", lambda: open_source(self.client()), translated)
        self._pumps.add(pump)
        return pump

    async def release(self, pump: Pump[Any]) -> None:
        self._pumps.discard(pump)
        await pump.close()

    async def close(self) -> None:
        """Ends all streams; calls under way end by their own limit."""
        self._closed = True
        await asyncio.gather(*(pump.close() for pump in self._pumps))
        self._pumps.clear()
        if self._client is not None:
            self._client.close()

    def client(self) -> docker.APIClient:
        """The connection, made on first use (in a thread: it asks the engine for its version)."""
        with self._connecting:
            if self._client is None:
                options = kwargs_from_env()
                if self._host:
                    options["base_url"] = self._host
                client = docker.APIClient(version="auto", timeout=CONNECT_LIMIT, **options)
                client.timeout = LIMIT
                self._client = client
            return self._client


def address(api: docker.APIClient, path: str) -> str:
    """The engine's URL of `path`, for requests that docker-py has no streaming method for."""
    return f"{api.base_url}/v{api.api_version}{path}"


def opened(api: docker.APIClient, method: str, path: str, **request: Any) -> requests.Response:
    """A response whose body is read as it comes; nothing limits how long it is silent, unless `timeout` says so."""
    request.setdefault("timeout", (CONNECT_LIMIT, None))
    response = api.request(method, address(api, path), stream=True, **request)
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        docker.errors.create_api_error_from_http_exception(error)
    return response


class Body(Generic[T]):
    """What `items` makes of a response, as a source that another thread may close."""

    def __init__(self, response: requests.Response, items: Callable[[requests.Response], Iterator[T]]) -> None:
        self._response = response
        self._items = items

    def __iter__(self) -> Iterator[T]:
        with self._response:
            yield from self._items(self._response)

    def close(self) -> None:
        self._response.raw.shutdown()


def frames(response: requests.Response) -> Iterator[tuple[int, bytes]]:
    """(stream number, payload) of the engine's multiplexed output: 1 out, 2 err."""
    while len(header := response.raw.read(8)) == 8:
        number, size = struct.unpack(">BxxxL", header)
        yield number, response.raw.read(size)


def events(response: requests.Response) -> Iterator[dict[str, Any]]:
    """The engine's JSON lines."""
    for line in response.iter_lines(chunk_size=None):
        if line.strip():
            yield json.loads(line)
