"""`Session` and `AsyncSession`: the SDK in the words of Backend.AI. Closing one leaves the services alone."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from types import TracebackType
from typing import Any

from orchestrator.client.client import Client
from orchestrator.client.config import APIConfig
from orchestrator.client.driving import Blocking, Driver, Loop, both
from orchestrator.client.request import CURRENT
from orchestrator.client.results import Result
from orchestrator.client.service import AsyncService, AsyncServices, Service, Services
from orchestrator.client.tried import AsyncTry, Try
from orchestrator.client.wire import Wire

__all__ = ["AsyncSession", "Session"]


class Versions(Result):
    """As of the session's start; awaited, as they are now."""

    _wire: Wire

    def __await__(self) -> Generator[Any, None, Result]:
        return _versions(self._wire).__await__()


class System(Blocking):
    def __init__(self, wire: Wire, drive: Driver) -> None:
        self._wire, self._drive = wire, drive

    @both
    async def get_versions(self) -> Result:
        """`version` of the API, `manager` of the daemon."""
        return await _versions(self._wire)


class AsyncSystem:
    def __init__(self, wire: Wire, known: Result) -> None:
        self._wire, self._known = wire, known

    def get_versions(self) -> Versions:
        """Also without `await`: as of the session's start."""
        versions = Versions(self._known)
        versions.__dict__["_wire"] = self._wire
        return versions


class Session:
    """Use as `with Session() as session`. Requests run on a loop in a thread that ends with it; any thread may call.

    `config` None: by ORCHESTRATOR_URL and ORCHESTRATOR_TOKEN, else the local configuration. Errors are those of
    `core.errors`.
    """

    System: System
    Service: Services

    def __init__(self, config: APIConfig | None = None) -> None:
        self.config = config or APIConfig()

    def __enter__(self) -> Session:
        self._loop = Loop()
        self._loop.start()
        config = self.config
        self._client = Client(config.endpoint, config.token, timeout=config.timeout, trust=config.trust)
        try:
            wire = Wire(self._loop.run(self._client.__aenter__()))
            self._loop.run(_versions(wire))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self.System = System(wire, self._loop.run)
        self.Service = Services(wire, self._loop.run, Service, Try)
        self._entered = CURRENT.set((self._client, self._loop.run))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _leave(self)
        try:
            self._loop.run(self._client.__aexit__(kind, error, trace))
        finally:
            self._loop.close()


class AsyncSession:
    """Use as `async with AsyncSession() as session`; otherwise as `Session`, with methods that are awaited."""

    System: AsyncSystem
    Service: AsyncServices

    def __init__(self, config: APIConfig | None = None) -> None:
        self.config = config or APIConfig()

    async def __aenter__(self) -> AsyncSession:
        config = self.config
        self._client = Client(config.endpoint, config.token, timeout=config.timeout, trust=config.trust)
        wire = Wire(await self._client.__aenter__())
        try:
            self.System = AsyncSystem(wire, await _versions(wire))
        except BaseException:
            await self._client.__aexit__(None, None, None)
            raise
        self.Service = AsyncServices(wire, None, AsyncService, AsyncTry)
        self._entered = CURRENT.set((self._client, None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _leave(self)
        await self._client.__aexit__(kind, error, trace)


def _leave(session: Session | AsyncSession) -> None:
    """The session that was entered before is the current one again; another context keeps its own."""
    entered = session.__dict__.pop("_entered", None)
    if entered is not None:
        with suppress(ValueError):
            CURRENT.reset(entered)


async def _versions(wire: Wire) -> Result:
    return Result(await wire.ask("GET", "/version"))
