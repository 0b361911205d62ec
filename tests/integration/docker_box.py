"""One DockerRuntime with a model folder, for the tests on a real engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.core.ports import Command, CommandResult, LogLine, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Observed
from orchestrator.runtimes.docker import DockerRuntime

T = TypeVar("T")


@dataclass
class Box:
    runtime: DockerRuntime
    model: Path
    units: set[str] = field(default_factory=set)

    def unit(self, image: str = "busybox", unit_id: str = "r1", **spec: Any) -> Unit:
        self.units.add(unit_id)
        parts = {"model_folder": str(self.model), "model_path": "/models", "model_mount": "/models", "port": 8000}
        reference = image if "/" in image else f"orchestrator/{image}:test"
        return Unit(unit_id, "svc", RoutingSpec(model_name="m", image=reference, **parts | spec))

    async def run(self, *argv: str, image: str = "busybox", unit_id: str = "r1", **spec: Any) -> None:
        await self.runtime.create(self.unit(image, unit_id, **spec))
        await self.runtime.start(unit_id, Command(argv=argv))

    async def shell(self, text: str, timeout: float = 20) -> CommandResult:
        """What a command of the sandbox saw; it must end well."""
        result = await self.runtime.sandbox("r1").run(["sh", "-c", text], timeout=timeout)
        assert result.exit_code == 0, result.err
        return result

    async def seen(self, unit_id: str = "r1") -> Observed | None:
        return next((seen for seen in await self.runtime.observe() if seen.routing == unit_id), None)

    async def ended(self, unit_id: str = "r1") -> Observed:
        async def look() -> Observed | None:
            seen = await self.seen(unit_id)
            return seen if seen and seen.state == "exited" else None

        return await until(look)

    async def log(self, **options: Any) -> list[LogLine]:
        return [line async for line in self.runtime.logs("r1", **options)]

    async def answer(self, path: str = "/") -> bytes:
        """The model server's answer, as soon as there is one."""

        async def ask() -> bytes | None:
            seen = await self.seen()
            try:
                return await get(seen.host, seen.port, path) if seen and seen.host else None
            except OSError:
                return None

        return await until(ask)

    async def close(self) -> None:
        await asyncio.gather(*(self.runtime.remove(unit_id) for unit_id in self.units))
        await self.runtime.close()


async def get(host: str, port: int, path: str) -> bytes:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def until(probe: Callable[[], Awaitable[T | None]], limit: float = 15.0) -> T:
    """The first true answer of `probe`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (answer := await probe()):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)
    return answer


async def opened(make: Callable[..., DockerRuntime], folder: Path, **settings: Any) -> AsyncIterator[Box]:
    model = folder / "model"
    model.mkdir()
    model.chmod(0o777)
    box = Box(make(**settings), model)
    yield box
    await box.close()
