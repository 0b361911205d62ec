"""The loop over a real store, with runtime and gateway in memory: what happens between two awaits, or is cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.api.metrics import Metrics
from orchestrator.core.errors import Unavailable
from orchestrator.core.routes import RouteTable
from orchestrator.core.state import Group, Routing, RoutingStatus, Service
from orchestrator.core.status import routing_status
from orchestrator.executor import Executor, Launcher
from orchestrator.gateway import MemoryGateway
from orchestrator.runtimes.memory import MemoryEngine, MemoryRuntime, Program
from orchestrator.scheduler import wakeups
from orchestrator.scheduler.clock import SteadyClock
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.loop import Loop
from orchestrator.scheduler.prober import Prober, Target
from orchestrator.scheduler.reader import FolderReader
from orchestrator.scheduler.wakeups import guard_gateway
from orchestrator.settings import Settings
from orchestrator.store import Outcome, Store

DEFINITION = """
models:
  - name: echo
    service: {start_command: [serve], port: 8000}
    deployment: {image: "i:%d", desired_routing_count: 1}
"""


@dataclass
class Small:
    """A daemon without its API: what the loop is made of."""

    folder: Path
    store: Store
    facts: Facts
    gateway: MemoryGateway
    engine: MemoryEngine
    loop: Loop

    def define(self, image: int = 1) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "model-definition.yml").write_text(DEFINITION % image)
        self.loop.rescan()

    async def until(self, what: Callable[[], bool]) -> None:
        """Look again and again, 10 s at most."""
        async with asyncio.timeout(10):
            while not what():
                await self.loop.look()
                await asyncio.sleep(0.01)

    @property
    def service(self) -> Service:
        return next(iter(self.facts.services.values()))

    def routings(self) -> list[Routing]:
        return list(self.facts.routings.values())

    def healthy(self) -> bool:
        return any(routing_status(r) is RoutingStatus.HEALTHY for r in self.routings())


@pytest.fixture
async def server() -> AsyncIterator[tuple[str, int]]:
    """A model server that is always well."""

    async def ok(_: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", ok)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield runner.addresses[0]
    await runner.cleanup()


@asynccontextmanager
async def small(tmp_path: Path, engine: MemoryEngine | None = None) -> AsyncIterator[Small]:
    settings = Settings(state_dir=tmp_path, models_dirs=(tmp_path / "models",), runtime="memory")
    settings.models_dirs[0].mkdir(exist_ok=True)
    clock, store = SteadyClock(), await Store.open("", tmp_path)
    runtime, gateway, journal = MemoryRuntime("test", engine=engine), MemoryGateway(), Journal(store, clock)
    facts = Facts(store, clock, {"default": Group("default", {"cpu": 8.0})}, shared_ports=False, needs_image=False)
    await facts.load()
    await gateway.start()
    executor = Executor(runtime, gateway, Launcher(runtime, settings.secrets_path), clock, journal.emit)
    reader = FolderReader(settings, runtime.name, facts, journal, clock)
    loop = Loop(facts, reader, runtime, gateway, executor, journal, clock, Metrics("test"))
    try:
        yield Small(settings.models_dirs[0] / "echo", store, facts, gateway, runtime.engine, loop)
    finally:
        await loop.close()
        await runtime.close()
        await store.close()


async def test_a_definition_becomes_a_healthy_routing(tmp_path: Path, server: tuple[str, int]) -> None:
    async with small(tmp_path) as one:
        one.engine.addresses["echo"] = server
        one.define()
        await one.until(one.healthy)
        assert one.gateway.published[-1].routes[0].state == "serving"


async def test_a_first_pass_during_a_publication_is_not_lost(
    tmp_path: Path, server: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a health check it is the only pass there will be; with one, the next would come an interval later."""
    asked, publishing = 0, asyncio.Event()

    async def owns(*_: Any) -> bool:
        nonlocal asked
        asked += 1
        if asked > 1:
            await publishing.wait()
        return True

    monkeypatch.setattr(MemoryRuntime, "owns_listener", owns)
    async with small(tmp_path) as one:
        one.engine.addresses["echo"] = server
        publish = one.gateway.publish

        async def slow(table: RouteTable) -> Any:
            if any(route.servers for route in table.routes):
                publishing.set()
                if probes := [t for t in asyncio.all_tasks() if t.get_name().startswith("probe:")]:
                    await asyncio.wait(probes)
            return await publish(table)

        monkeypatch.setattr(one.gateway, "publish", slow)
        one.define()
        path = one.folder / "model-definition.yml"
        path.write_text(path.read_text().replace("count: 1", "count: 2"))
        await one.until(lambda: asked == 2 and all(routing_status(r) is RoutingStatus.HEALTHY for r in one.routings()))


async def test_a_start_that_ends_while_its_routing_is_drained_breaks_no_look(tmp_path: Path) -> None:
    """Its outcome waits to be taken: to the plan the start is still under way, but its task is gone."""
    async with small(tmp_path) as one:
        one.engine.default = Program(create_delay=0.05)
        one.define()
        await one.until(lambda: any(r.busy == "start" for r in one.routings()))
        (routing,) = one.routings()
        put = one.store.put_service
        starting = [task for task in asyncio.all_tasks() if task.get_name() == f"start:{routing.id}"]

        async def slow(service: Service, outcome: Outcome | None = None) -> None:
            await put(service, outcome)
            await asyncio.wait(starting)

        one.store.put_service = slow  # type: ignore[method-assign]
        (one.folder / "model-definition.yml").write_text((DEFINITION % 1).replace("count: 1", "count: 0"))
        one.loop.rescan()
        await one.loop.look()
        assert one.routings()[0].stopping_since is not None
        one.store.put_service = put  # type: ignore[method-assign]
        await one.until(lambda: not one.routings())


@pytest.mark.parametrize("cut_off_at", ["add_revision", "put_service"])
async def test_a_change_that_is_cut_off_still_gets_a_number_of_its_own(tmp_path: Path, cut_off_at: str) -> None:
    """Killed at any write of a changed definition: the next daemon shows its revision, not the one before."""

    async def killed(*_: Any, **__: Any) -> None:
        raise Unavailable("killed here")

    async with small(tmp_path) as one:
        one.define(1)
        await one.loop.look()
        setattr(one.store, cut_off_at, killed)
        one.define(2)
        with pytest.raises(Unavailable, match="killed here"):
            await one.loop.look()
    async with small(tmp_path) as one:
        one.loop.rescan()
        await one.loop.look()
        assert (one.service.spec.routing.image, one.service.revision_number) == ("i:2", 2)


class Refusing(MemoryGateway):
    """It cannot be started while `why` says so."""

    why, attempts = "its port is taken", 0

    async def start(self) -> None:
        self.attempts += 1
        if self.why:
            raise Unavailable(self.why)
        await super().start()


async def test_a_gateway_that_stays_down_is_told_once_and_started_as_soon_as_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wakeups, "GATEWAY_CHECK", 0.001)
    gateway, lost, restarted = Refusing(), list[str](), list[int]()

    async def tell(cause: str) -> None:
        lost.append(cause)

    async def until(what: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not what():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.001)

    guard = asyncio.create_task(guard_gateway(gateway, lambda: restarted.append(gateway.attempts), tell))
    try:
        await until(lambda: gateway.attempts > 5)
        assert (len(lost), restarted) == (1, [])
        gateway.why = ""
        await until(lambda: restarted)
        gateway.running = False
        await until(lambda: len(restarted) == 2)
        assert len(lost) == 2
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)


async def test_an_engine_that_is_down_is_never_an_empty_world(tmp_path: Path, server: tuple[str, int]) -> None:
    async with small(tmp_path) as one:
        one.engine.addresses["echo"] = server
        one.define()
        await one.until(one.healthy)
        (routing,) = one.routings()
        one.engine.fail()
        await one.loop.look()
        assert (one.healthy(), one.facts.observed_ok) == (True, False)
        one.engine.recover()
        await one.loop.look()
        assert (one.routings(), one.facts.observed_ok) == ([routing], True)
        one.engine.lose(routing.id)
        await one.until(lambda: not one.healthy())
        await one.until(one.healthy)


async def test_a_probe_that_breaks_is_a_probe_that_fails(server: tuple[str, int]) -> None:
    class Broken(MemoryRuntime):
        async def owns_listener(self, unit_id: str, port: int) -> bool:  # noqa: ARG002
            raise AssertionError("nobody expected it")

    prober = Prober(Broken("test"), SteadyClock(), lambda _routing, _result: None)
    result = await prober.probe(Target("r", *server, None, 0.0), owned=True)
    assert (result.ok, "nobody expected it" in result.message) == (False, True)
