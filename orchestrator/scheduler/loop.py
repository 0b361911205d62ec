"""The loop: look at the world, plan, carry out, publish; again whenever something may have changed.

One writer: everything that changes facts runs under `lock`, one look or one request of the API at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never
from uuid import uuid4

import structlog

from orchestrator.core import backoff
from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.health import ProbeResult, fold
from orchestrator.core.operations import (
    Drain,
    Fail,
    Forget,
    ForgetService,
    Operation,
    RemoveOrphan,
    ResetAttempts,
    StartRouting,
    Stop,
    Wait,
)
from orchestrator.core.plan import plan
from orchestrator.core.ports import Clock, Gateway, Runtime
from orchestrator.core.routes import RouteTable
from orchestrator.core.state import Attempts, Failure, ProbeState, Routing, RoutingStatus, Service
from orchestrator.core.status import is_live, is_up, routing_status, service_status
from orchestrator.core.table import routes
from orchestrator.executor import Created, Ended, Executor, Outcome, Recorded, Started, StartFailed
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.prober import Prober, Target
from orchestrator.scheduler.reader import FolderReader

LOG = structlog.get_logger("orchestrator")
LONGEST_SLEEP = 10.0
"""Seconds; also feeds the watchdog."""
RETRY = 0.5
"""Seconds until the next look where something did not answer."""
UNTOLD = ""
"""In place of the status of what was there before this daemon: what was told of it is in the event log already."""


@dataclass(slots=True)
class Seen:
    """What the last looks showed, for `status` and the metrics."""

    looks: int = 0
    last_seconds: float = 0.0
    engine_error: str = "not observed yet"
    gateway_error: str = ""
    store_error: str = ""
    operations: int = 0


class Loop:
    def __init__(
        self,
        facts: Facts,
        folders: FolderReader,
        runtime: Runtime,
        gateway: Gateway,
        executor: Executor,
        journal: Journal,
        clock: Clock,
        looked: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.facts = facts
        self.lock = asyncio.Lock()
        self.seen = Seen()
        self.gateway_problems: Mapping[str, str] = {}
        self.tries: set[str] = set()
        """Ids of tries under way: containers that are ours though no record claims them."""
        self._folders = folders
        self._runtime = runtime
        self._gateway = gateway
        self._executor = executor
        self._journal = journal
        self._clock = clock
        self._looked = looked
        self.prober = Prober(runtime, clock, self._on_probe)
        self._wake = asyncio.Event()
        self._rescan = True
        self._republish = True
        self._published: RouteTable | None = None
        self._outcomes: list[Outcome] = []
        self._probed: dict[str, ProbeState] = {}
        """Of routings that became HEALTHY or UNHEALTHY since the last look."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._shown: dict[str, str] = dict.fromkeys([*facts.services, *facts.routings], UNTOLD)

    # --- what wakes it ----------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed: look again."""
        self._wake.set()

    def rescan(self) -> None:
        """Folders may have changed: read them at the next look."""
        self._rescan = True
        self._wake.set()

    def republish(self) -> None:
        """The gateway was started anew: give it everything at the next look."""
        self._republish = True
        self._wake.set()

    def _on_probe(self, routing_id: str, result: ProbeResult) -> None:
        routing = self.facts.routings.get(routing_id)
        service = self.facts.services.get(routing.service_id) if routing else None
        if routing is None or service is None or routing.started_at is None:
            return
        known = self._probed.get(routing_id, routing.probe)
        probe = fold(known, result, service.spec.health, routing.started_at)
        changes = (probe.healthy, probe.unhealthy_since) != (known.healthy, known.unhealthy_since)
        if changes or routing_id in self._probed:
            self._probed[routing_id] = probe
            self.wake()
        else:
            self.facts.routings[routing_id] = replace(routing, probe=probe)

    # --- the loop ---------------------------------------------------------------------------------------------------

    async def run(self, fed: asyncio.Event | None = None) -> None:
        """Look for ever. A look that fails is logged and repeated; `fed` is set after each (the watchdog's food)."""
        while True:
            self._wake.clear()
            try:
                wake_at = await self.look()
            except OrchestratorError as error:
                self.seen.store_error = error.message
                LOG.error("look.failed", cause=error.message, hint=error.hint)
                wake_at = self._clock.now() + RETRY
            except Exception:
                LOG.exception("look.broke")
                wake_at = self._clock.now() + RETRY
            if fed is not None:
                fed.set()
            await self._sleep(wake_at)

    async def look(self) -> float | None:
        """One look: observation, outcomes, folders, plan, operations, routes. When to look again at the latest."""
        async with self.lock:
            began = self._clock.now()
            known = len(self._outcomes)
            wake = [await self._observe(), await self._take_probes()]  # first: what is down is out, store or no store
            await self._take_outcomes(known)
            wake.append(await self._read_folders())
            await self._tell_routings()
            made = plan(self.facts.world(), self._clock.now())
            for operation in made.operations:
                await self._apply(operation)
            wake += [made.wake_at, await self._publish(), await self._count_sessions()]
            await self._tell_services()
            self.prober.sync(self._targets())
            self.seen.looks += 1
            self.seen.operations += len(made.operations)
            self.seen.last_seconds = self._clock.now() - began
            self.seen.store_error = ""
        self._looked(self.seen.last_seconds)
        return min((w for w in wake if w is not None), default=None)

    async def look_now(self) -> None:
        """A look for somebody who waits for what comes of it; the loop goes on from there."""
        await self.look()
        self.wake()

    async def close(self) -> None:
        """End the probes and whatever is under way; routings and gateway stay."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.prober.close()

    async def _sleep(self, wake_at: float | None) -> None:
        now = self._clock.now()
        wait = LONGEST_SLEEP if wake_at is None else min(max(0.0, wake_at - now), LONGEST_SLEEP)
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass

    # --- steps of a look --------------------------------------------------------------------------------------------

    async def _take_outcomes(self, count: int) -> None:
        """Those that came before the world was observed: what began since is not in that picture."""
        for _ in range(count):
            await self._take(self._outcomes[0])
            self._outcomes.pop(0)

    async def _take(self, outcome: Outcome) -> None:
        routing = self.facts.routings.get(outcome.routing)
        if routing is None:
            return
        match outcome:
            case Created(at=at):
                routing = replace(routing, unit_created_at=at)
            case Started(at=at):
                routing = replace(routing, started_at=at, busy="")
            case StartFailed(failure=failure):
                routing = replace(routing, outcome=failure, busy="")
            case Recorded(log_tail=tail):
                known = routing.failure
                failure_with_log = replace(known, log_tail=known.log_tail or tail) if known else None
                routing = replace(routing, failure=failure_with_log, busy="")
            case Ended():
                routing = replace(routing, busy="")
            case _:
                assert_never(outcome)
        await self.facts.put_routing(routing)

    async def _read_folders(self) -> float | None:
        if self._rescan or self._folders.due(self._clock.now()):
            self._rescan = False
            await self._folders.read()
        return self._folders.wake_at

    async def _observe(self) -> float | None:
        """A failed observation is an event and a retry, never an empty world."""
        came_back = not self.facts.observed_ok
        try:
            seen = await self._runtime.observe()
        except Unavailable as error:
            if self.facts.observed_ok or self.seen.engine_error != error.message:
                await self._journal.emit("engine.lost", "", "", error.message, {"hint": error.hint})
            self.facts.observed_ok = False
            self.seen.engine_error = error.message
            return self._clock.now() + RETRY
        if came_back:
            await self._journal.emit("engine.observed", "", "", f"{len(seen)} of this installation are there", {})
        self.seen.engine_error = ""
        self.facts.observe(seen, came_back, [*self.tries, *self._tasks])
        return None

    async def _take_probes(self) -> float | None:
        """Stored, then published, then shown: who sees a routing HEALTHY may send it requests at once."""
        known = self.facts.routings
        probed = {i: replace(known[i], probe=probe) for i, probe in self._probed.items() if i in known}
        try:
            for routing in probed.values():
                await self.facts.store_routing(routing)
        finally:
            wake = await self._publish(probed)
            for routing_id, routing in probed.items():
                known[routing_id] = replace(known[routing_id], probe=routing.probe)
            self._probed = {i: p for i, p in self._probed.items() if i in probed and p is not probed[i].probe}
        return wake

    async def _publish(self, probed: Mapping[str, Routing] | None = None) -> float | None:
        """Before the first observation nothing is published: what the gateway had goes on. `probed`: routings as they
        will be."""
        if not self.facts.observed_ok and self._published is None:
            return None
        world = self.facts.world()
        table = routes(replace(world, routings={**world.routings, **(probed or {})}))
        if table == self._published and not self._republish:
            return None
        try:
            published = await self._gateway.publish(table)
        except OrchestratorError as error:
            if self.seen.gateway_error != error.message:
                await self._journal.emit("gateway.failed", "", "", error.message, {"hint": error.hint})
            self.seen.gateway_error = error.message
            return self._clock.now() + RETRY
        self.seen.gateway_error = ""
        self.gateway_problems = published.problems
        self._published, self._republish = table, False
        await self._journal.emit("gateway.published", "", "", "", {"reloaded": published.reloaded})
        return self._clock.now() + LONGEST_SLEEP if published.problems else None

    async def _count_sessions(self) -> float | None:
        """How many requests are still open on routings that drain."""
        draining = [r for r in self.facts.routings.values() if r.stopping_since is not None and not r.busy and is_up(r)]
        if not draining or self.seen.gateway_error:
            return None
        try:
            sessions = await self._gateway.sessions()
        except OrchestratorError:
            return self._clock.now() + RETRY
        for routing in draining:
            self.facts.routings[routing.id] = replace(routing, sessions=sessions.get(routing.id, 0))
        return self._clock.now() if any(not sessions.get(r.id, 0) for r in draining) else None

    async def _tell_routings(self) -> None:
        """Statuses are derived; what is told, and stored with the facts behind it, is that they changed."""
        for routing in list(self.facts.routings.values()):
            status, seen = routing_status(routing), routing.observed
            news = self._is_news(routing.id, status)
            if not news or seen is None or seen.state == "exited":
                continue  # the end of what had run is told for itself
            if status is RoutingStatus.HEALTHY:
                await self.facts.put_routing(routing)
                await self._emit_of("routing.healthy", routing, _took(routing))
            elif status is RoutingStatus.UNHEALTHY:
                await self.facts.put_routing(routing)
                paused = "its container is paused" if seen.state == "paused" else ""
                await self._emit_of("routing.unhealthy", routing, paused or routing.probe.last_message)

    async def _tell_services(self) -> None:
        by_service = self.facts.by_service()
        for service in self.facts.services.values():
            status = service_status(service, by_service.get(service.id, ()))
            if self._is_news(service.id, status):
                await self._journal.emit("service.status", service.name, "", status, {"desired": service.desired})
        self._shown = {i: s for i, s in self._shown.items() if i in self.facts.services or i in self.facts.routings}

    def _is_news(self, id: str, status: str) -> bool:
        before = self._shown.get(id)
        if before != UNTOLD or self.facts.observed_ok:
            self._shown[id] = status
        return before not in (status, UNTOLD)

    def _targets(self) -> dict[str, tuple[Target, Any]]:
        found = {}
        for routing in self.facts.routings.values():
            seen, service = routing.observed, self.facts.services.get(routing.service_id)
            if service is None or seen is None or seen.state != "running" or not seen.port:
                continue
            if is_live(routing) and routing.started_at is not None and not routing.busy:
                target = Target(routing.id, seen.host, seen.port, service.spec.health, routing.started_at)
                found[routing.id] = (target, routing.probe)
        return found

    # --- operations -------------------------------------------------------------------------------------------------

    async def _apply(self, operation: Operation) -> None:
        match operation:
            case StartRouting():
                await self._start(operation)
            case Wait():
                await self._wait(operation)
            case Drain(routing=routing_id, cause=cause):
                await self._drain(self.facts.routings[routing_id], cause)
            case Stop(routing=routing_id, grace=grace):
                routing = replace(self.facts.routings[routing_id], busy="stop")
                self.facts.routings[routing_id] = routing
                self._spawn(routing_id, self._executor.end(routing, grace))
            case Fail():
                await self._fail(operation)
            case Forget(routing=routing_id, cause=cause):
                await self._forget(self.facts.routings[routing_id], cause)
            case ForgetService(service=service_id, cause=cause):
                await self._forget_service(self.facts.services[service_id], cause)
            case RemoveOrphan(observed=observed, cause=cause):
                await self._journal.emit("orphan.removing", observed.service, observed.routing, cause, {})
                self._spawn(observed.routing, self._orphan(observed.routing))
            case ResetAttempts(service=service_id):
                await self.facts.put_service(replace(self.facts.services[service_id], attempts=Attempts()))
            case _:
                assert_never(operation)

    async def _start(self, operation: StartRouting) -> None:
        service = self.facts.services[operation.service]
        waiting = self.facts.routings.get(operation.routing)
        routing = waiting or self._new(service, operation.revision, operation.cause)
        routing = replace(routing, reservation=operation.reservation, wait_cause="", cause=operation.cause)
        routing = await self.facts.put_routing(replace(routing, created_at=self._clock.now(), busy="start"))
        await self._emit_of("routing.starting", routing, operation.cause)
        self._spawn(routing.id, self._executor.start(routing, service.spec, self._note))

    async def _wait(self, operation: Wait) -> None:
        service = self.facts.services[operation.service]
        waiting = self.facts.routings.get(operation.routing)
        routing = waiting or self._new(service, operation.revision, operation.cause)
        await self.facts.put_routing(replace(routing, wait_cause=operation.cause, cause=operation.cause))
        await self._emit_of("routing.waiting", routing, operation.cause)

    def _new(self, service: Service, revision: str, cause: str) -> Routing:
        return Routing(uuid4().hex[:12], service.id, service.name, revision, self._clock.now(), cause)

    async def _drain(self, routing: Routing, cause: str) -> None:
        await self.facts.put_routing(replace(routing, stopping_since=self._clock.now(), stop_cause=cause))
        await self._emit_of("routing.draining", routing, cause)
        if routing.busy == "start":
            self._tasks[routing.id].cancel()

    async def _fail(self, operation: Fail) -> None:
        routing, failure = self.facts.routings[operation.routing], operation.failure
        routing = await self.facts.put_routing(replace(routing, failure=failure, outcome=None, busy="fail"))
        service = self.facts.services[routing.service_id]
        if failure.counts:
            attempts = backoff.failed(service.attempts, service.revision, failure.at)
            service = await self.facts.put_service(replace(service, attempts=attempts))
        detail = {"code": failure.code, "exit_code": failure.exit_code, "oom": failure.oom, "hint": failure.hint}
        kind = "routing.died" if routing.probe.passed_once else "routing.failed"
        await self._emit_of(kind, routing, failure.message, {k: v for k, v in detail.items() if v not in (None, "")})
        self._spawn(routing.id, self._executor.fail(routing, service.spec))

    async def _forget(self, routing: Routing, cause: str) -> None:
        await self.facts.forget_routing(routing.id)
        if routing.failure is None:
            await self._emit_of("routing.gone", routing, cause)

    async def _forget_service(self, service: Service, cause: str) -> None:
        await self.facts.forget_service(service.id)
        await self._journal.emit("service.gone", service.name, "", cause, {"id": service.id})
        self.rescan()

    async def _orphan(self, unit: str) -> Outcome:
        await self._executor.remove(unit, 0.0)
        return Ended(unit)

    # --- tasks ------------------------------------------------------------------------------------------------------

    def _note(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self.wake()

    def _spawn(self, routing_id: str, work: Coroutine[Any, Any, Outcome]) -> None:
        """Run it beside the loop; what comes of it, an unexpected error too, is an outcome for the next look."""

        async def guarded() -> None:
            try:
                outcome = await work
            except asyncio.CancelledError:
                outcome = Ended(routing_id)
            except Exception as error:
                LOG.exception("operation.broke", routing=routing_id)
                text = f"cannot carry it out: {type(error).__name__}: {error}"
                outcome = StartFailed(routing_id, Failure("internal", text, self._clock.now()))
            self._tasks.pop(routing_id, None)
            self._note(outcome)

        task = asyncio.create_task(guarded(), name=f"operation:{routing_id}")
        self._tasks[routing_id] = task

    async def _emit_of(
        self, kind: str, routing: Routing, cause: str, detail: Mapping[str, object] | None = None
    ) -> None:
        await self._journal.emit(kind, routing.service, routing.id, cause, dict(detail or {}))


def _took(routing: Routing) -> str:
    """How long it took from its creation to HEALTHY."""
    if routing.probe.healthy_since is None or routing.unit_created_at is None:
        return "passed"
    return f"passed {routing.probe.healthy_since - routing.unit_created_at:.2f} s after its creation"
