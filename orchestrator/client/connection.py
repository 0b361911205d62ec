"""One way to a daemon: requests sent, answers read, and problems turned back into the errors that they were."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, TypeAdapter, ValidationError

from orchestrator.client.trust import Trust
from orchestrator.core.backendai import Modification
from orchestrator.core.error_views import ErrorView, first_fault
from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.views import ModifyRequest

SYSTEM = Trust()
Answer = TypeVar("Answer", bound=BaseModel)
Value = TypeVar("Value")

STREAM = aiohttp.ClientTimeout(total=None, connect=5, sock_read=30)
"""Heartbeats come every 2 s: a silence of 30 s is a dead connection."""


class Connection:
    """The way to one daemon, and what every call does on it. Use as `async with Client(url, token) as client`.

    `timeout`: seconds that one call may take; streams have none, but notice a dead connection. `trust`: whose
    certificates are believed.
    """

    def __init__(self, url: str, token: str = "", *, timeout: float = 60.0, trust: Trust = SYSTEM) -> None:
        self.url = url.rstrip("/")
        self._trust = trust
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout, connect=5)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(ssl=self._trust.context() if self.url.startswith("https:") else True)
        self._session = aiohttp.ClientSession(headers=self._headers, read_bufsize=1 << 20, connector=connector)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(
        self, method: str, path: str, *, query: Mapping[str, object] | None = None, body: BaseModel | None = None
    ) -> bytes:
        """Any path of the API, as it answers."""
        async with self._answer(method, path, query=query, body=body) as response:
            return await response.read()

    async def raw(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Any path with any body: status, headers (names in lower case) and body."""
        async with self._answer(method, path, query=query, headers=headers, data=data) as response:
            told = {name.lower(): value for name, value in response.headers.items()}
            return response.status, told, await response.read()

    async def _one(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        *,
        query: Mapping[str, object] | None = None,
        body: BaseModel | None = None,
    ) -> Answer:
        return read(answer, await self.ask(method, path, query=query, body=body))

    async def _many(
        self, method: str, path: str, answer: type[Answer], *, query: Mapping[str, object] | None = None
    ) -> tuple[Answer, ...]:
        return _parse(TypeAdapter(tuple[answer, ...]), await self.ask(method, path, query=query))  # type: ignore[valid-type]

    async def _lines(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Lines that are not heartbeats. Raises the error that the stream ends with."""
        async with self._answer(method, path, query=query, body=body, timeout=STREAM, headers=headers) as response:
            async for line in response.content:
                line = line.strip()
                if line.startswith(b'{"error":'):
                    raise ErrorView.model_validate(json.loads(line)["error"]).error()
                if line:
                    yield line

    async def _server_sent(
        self, path: str, kind: type[Answer], *, query: Mapping[str, object] | None = None, last: str = ""
    ) -> AsyncGenerator[Answer, None]:
        """Events of a stream; `last`: the id after which it goes on. Raises the error that it ends with."""
        event = ""
        async for line in self._lines("GET", path, query=query, headers={"Last-Event-ID": last} if last else {}):
            name, _, value = line.partition(b":")
            if name == b"event":
                event = value.strip().decode()
            elif name == b"data" and event == "error":
                raise read(ErrorView, value).error()
            elif name == b"data":
                yield read(kind, value)

    @asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: BaseModel | None = None,
        headers: Mapping[str, str] | None = None,
        data: bytes | AsyncIterable[bytes] | None = None,
        timeout: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """`timeout` None: that of every call."""
        if self._session is None:
            raise RuntimeError("a Client is used inside `async with`")
        sent: dict[str, Any] = {"params": {k: str(v) for k, v in (query or {}).items() if v is not None}}
        sent["headers"] = dict(headers or {})
        if body is not None:
            only_given = isinstance(body, ModifyRequest | Modification)  # there null is another thing than nothing
            # What is left out is not sent: a daemon that is older than its clients refuses keys that it does not know.
            sent["data"] = body.model_dump_json(exclude_unset=only_given, exclude_defaults=not only_given)
            sent["headers"]["Content-Type"] = "application/json"
        elif data is not None:
            sent["data"] = io.BytesIO(data) if isinstance(data, bytes) else data
        try:
            async with self._session.request(
                method, self.url + path, timeout=timeout or self._timeout, allow_redirects=False, **sent
            ) as response:
                if response.status >= 300:
                    raise await _problem(response)
                yield response
        except BrokenPipeError:  # where the answer is written to: ours are aiohttp's
            raise
        except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise self._unreached(error) from None

    async def _socket(self, path: str, query: Sequence[tuple[str, str]]) -> aiohttp.ClientWebSocketResponse:
        if self._session is None:
            raise RuntimeError("a Client is used inside `async with`")
        try:
            return await self._session.ws_connect(self.url + path, params=query, heartbeat=15.0, max_msg_size=1 << 22)
        except aiohttp.WSServerHandshakeError as error:
            raise await self._refusal(path, query, error) from None
        except (TimeoutError, aiohttp.ClientError, ConnectionError, ValueError) as error:
            raise self._unreached(error) from None

    async def _refusal(
        self, path: str, query: Sequence[tuple[str, str]], error: aiohttp.WSServerHandshakeError
    ) -> OrchestratorError:
        """A refused handshake does not show the answer's body: asked as no WebSocket, the same is refused by the same
        words, and nothing is run."""
        assert self._session is not None
        async with self._session.get(self.url + path, params=query) as response:
            if response.status >= 300:
                return await _problem(response)
        return Unavailable(f"cannot open a connection to the daemon: it answered {error.status}")

    def _unreached(self, error: Exception) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(f"cannot reach the daemon at {self.url}: no answer in time", code="timeout")
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return Unavailable(
                f"cannot trust the daemon at {self.url}: {_mistrust(error)}",
                hint="--ca FILE or ORCHESTRATOR_CA names its certificate, or that of the authority that signed it",
                code="not_trusted",
            )
        if isinstance(error, aiohttp.ClientSSLError):
            hint = "does it listen without TLS? then its address begins with http://"
            return Unavailable(f"cannot talk to the daemon at {self.url}: it speaks no TLS", hint=hint)
        if isinstance(error, aiohttp.ServerDisconnectedError):
            plain = self.url.startswith("http:")
            hint = "does it listen with TLS? then its address begins with https://" if plain else ""
            return Unavailable(f"cannot talk to the daemon at {self.url}: it hung up", hint=hint)
        if isinstance(error, aiohttp.ClientConnectorError):
            return Unavailable(
                f"cannot reach the daemon at {self.url}: {_reason(error.os_error)}",
                hint="is it running? start it with: orchestrator serve",
                code="no_daemon",
            )
        return Unavailable(f"cannot talk to the daemon at {self.url}: {error}")


def path_of(prefix: str, ref: str) -> str:
    """`ref` as one segment, whatever it holds."""
    return f"{prefix}/{quote(ref, safe='')}"


def _reason(error: OSError) -> str:
    return "nothing listens there" if isinstance(error, ConnectionRefusedError) else error.strerror or str(error)


def _mistrust(error: aiohttp.ClientConnectorCertificateError) -> str:
    told = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
    return str(told).strip(". ")


def flag(value: bool) -> str | None:
    return "true" if value else None


def read(kind: type[Answer], data: bytes) -> Answer:
    return _parse(TypeAdapter(kind), data)


def _parse(adapter: TypeAdapter[Value], data: bytes) -> Value:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        wrong = first_fault(error)
        raise Unavailable(
            f"cannot understand the daemon's answer: {wrong.field}: {wrong.message}",
            hint="client and daemon are of different versions, or another program answers at this address",
        ) from None


async def _problem(response: aiohttp.ClientResponse) -> OrchestratorError:
    data = await response.content.read(1 << 16)
    try:
        return ErrorView.model_validate_json(data).error()
    except ValidationError:
        text = f"cannot use {response.url.origin()}: it answered {response.status}, not as an orchestrator does"
        return Unavailable(text, hint="another program may listen there; see --url")
