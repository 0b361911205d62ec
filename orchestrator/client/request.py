"""`Request`: any path of the API by its method and body, sent by the session that it is used in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from orchestrator.client.client import Client
from orchestrator.client.driving import Driver
from orchestrator.core.errors import InvalidInput

__all__ = ["AsyncResponse", "Request", "Response"]

CURRENT: ContextVar[tuple[Client, Driver | None]] = ContextVar("orchestrator_session")
"""Client of the session that is entered, and what runs its coroutines (None: an AsyncSession)."""


class _Answered:
    def __init__(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
        self.status = status
        self.headers = headers
        self._data = data

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0]


class Response(_Answered):
    """Of a Session."""

    def read(self) -> bytes:
        return self._data

    def text(self) -> str:
        return self._data.decode("utf-8", "replace")

    def json(self) -> Any:
        return json.loads(self._data)


class AsyncResponse(_Answered):
    """Of an AsyncSession."""

    async def read(self) -> bytes:
        return self._data

    async def text(self) -> str:
        return self._data.decode("utf-8", "replace")

    async def json(self) -> Any:
        return json.loads(self._data)


class Request:
    """`with Request("GET", "/services").fetch() as response` in a Session, `async with` in an AsyncSession.

    Entering it sends the request; errors of the API are those of `core.errors`. It is sent once.
    """

    def __init__(
        self,
        method: str = "GET",
        path: str = "/",
        content: bytes | str | None = None,
        *,
        params: Mapping[str, str | int] | None = None,
        content_type: str | None = None,
    ) -> None:
        if not path.startswith("/") or path.startswith("//"):
            raise InvalidInput(f"cannot request {path!r}: it is not a path of the API", hint="begin it with one /")
        self.method = method.upper()
        self.path = path
        self.params = params
        self.headers: dict[str, str] = {}
        self._data: bytes | None = None
        if content is not None:
            self.set_content(content, content_type=content_type)

    def set_content(self, value: bytes | str, *, content_type: str | None = None) -> None:
        text = isinstance(value, str)
        self._data = value.encode() if isinstance(value, str) else value
        self.headers["Content-Type"] = content_type or ("text/plain" if text else "application/octet-stream")

    def set_json(self, value: object) -> None:
        self.set_content(json.dumps(value), content_type="application/json")

    def fetch(self) -> Fetching:
        return Fetching(self)

    async def _send(self, client: Client) -> tuple[int, Mapping[str, str], bytes]:
        return await client.raw(self.method, self.path, query=self.params, headers=self.headers, data=self._data)


class Fetching:
    """A request on its way."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def __enter__(self) -> Response:
        client, drive = _current()
        if drive is None:
            raise RuntimeError("in an AsyncSession a Request is fetched by `async with`")
        return Response(*drive(self._request._send(client)))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def __aenter__(self) -> AsyncResponse:
        client, drive = _current()
        if drive is not None:
            raise RuntimeError("in a Session a Request is fetched by `with`")
        return AsyncResponse(*await self._request._send(client))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def _current() -> tuple[Client, Driver | None]:
    try:
        return CURRENT.get()
    except LookupError:
        raise RuntimeError("a Request is fetched inside `with Session()` or `async with AsyncSession()`") from None
