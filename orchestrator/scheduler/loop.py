"""The loop: look at the world, plan, carry out, publish; again whenever something may have changed.

One writer: everything that changes facts runs under `lock`, one look or one request of the API at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Protocol

import structlog

from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.health import ProbeResult, fold, hopeless_from
from orchestrator.core.operations import Drain
from orchestrator.core.plan import plan
from orchestrator.core.ports import Clock, Gateway, Runtime
from orchestrator.core.routes import RouteTable
from orchestrator.core.state import ProbeState, Routing
from orchestrator.core.status import is_live, is_up
from orchestrator.core.table import Drawing
from orchestrator.executor import Executor
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal
from orchestrator.scheduler.prober import Prober, Target
from orchestrator.scheduler.reader import FolderReader
from orchestrator.scheduler.telling import Telling
from orchestrator.scheduler.traffic import TrafficCounts
from orchestrator.scheduler.work import Work

LOG = structlog.get_logger("orchestrator")
LONGEST_SLEEP = 10.0
"""Seconds; also feeds the watchdog."""
NOT_YET = "not observed yet"
RETRY = 0.5
"""Seconds until the next look where something did not answer."""


@dataclass(slots=True)
class Seen:
    """What the last look showed, for `status`. Empty: no such trouble."""

    engine_error: str = NOT_YET
    gateway_error: str = ""
    store_error: str = ""


class Watch(Protocol):
    """Who counts what the loop does (the metrics)."""

    def looked(self, seconds: float) -> None: ...
    def applied(self, operation: str, result: str) -> None: ...
    def observe_failed(self) -> None: ...
    def probed(self, service: str, passed: bool) -> None: ...
    def became_healthy(self, service: str, seconds: float) -> None: ...


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
        watch: Watch,
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
        self._journal = journal
        self._clock = clock
        self._watch = watch
        self.prober = Prober(runtime, clock, self._on_probe)
        self._wake = asyncio.Event()
        self._rescan = True
        self._republish = True
        self._drawing = Drawing()
        self._published: RouteTable | None = None
        self._probed: dict[str, ProbeState] = {}
        """Of routings that became HEALTHY or UNHEALTHY since the last look."""
        self._work = Work(facts, executor, journal, clock, self.wake, self.rescan, watch.applied)
        self._telling = Telling(facts, journal)
        self._traffic = TrafficCounts()

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
        if routing is None or routing.started_at is None:
            return
        self._watch.probed(routing.service, result.ok)
        known = self._probed.get(routing_id, routing.probe)
        probe = fold(known, result, routing.health, routing.started_at)
        if probe.passed_once and not known.passed_once and routing.unit_created_at is not None:
            self._watch.became_healthy(routing.service, result.at - routing.unit_created_at)
        shown = [
            (state.healthy, state.unhealthy_since, hopeless_from(state, routing.health, routing.started_at))
            for state in (known, probe)
        ]
        if shown[0] != shown[1] or routing_id in self._probed:
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
            known = self._work.outcomes
            wake = [await self._observe(), await self._take_probes()]  # first: what is down is out, store or no store
            await self._work.take_outcomes(known)
            wake.append(await self._read_folders())
            await self._telling.routings()
            await self._count_traffic()
            made = plan(self.facts.world(), self._clock.now())
            for operation in made.operations:
                await self._work.apply(operation)
            wake += [made.wake_at, await self._publish(), await self._count_sessions()]
            await self._telling.services()
            self.prober.sync(self._targets())
            self.seen.store_error = ""
        self._watch.looked(self._clock.now() - began)
        return min((w for w in wake if w is not None), default=None)

    async def look_now(self) -> None:
        """A look for somebody who waits for what comes of it; the loop goes on from there."""
        await self.look()
        self.wake()

    async def drain(self, routing_id: str, cause: str) -> None:
        """End one routing by hand: no new requests from now on. Called under the lock."""
        await self._work.apply(Drain(routing_id, cause))

    async def close(self) -> None:
        """End the probes and whatever is under way; routings and gateway stay."""
        await self._work.close()
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
            if self.facts.observed_ok or self.seen.engine_error == NOT_YET:
                await self._journal.emit("engine.lost", "", "", error.message, {"hint": error.hint})
            self.facts.observed_ok = False
            self.seen.engine_error = error.message
            self._watch.observe_failed()
            return self._clock.now() + RETRY
        if came_back:
            await self._journal.emit("engine.observed", "", "", f"{len(seen)} of this installation are there", {})
        self.seen.engine_error = ""
        self.facts.observe(seen, came_back, [*self.tries, *self._work.under_way])
        return None

    async def _take_probes(self) -> float | None:
        """Stored, then published, then shown: who sees a routing HEALTHY may send it requests at once."""
        known = self.facts.routings
        probed = {i: replace(known[i], probe=probe) for i, probe in self._probed.items() if i in known}
        try:
            await self.facts.store_routings(probed.values())
        finally:
            wake = await self._publish(probed)
            for routing_id, routing in probed.items():
                known[routing_id] = replace(known[routing_id], probe=routing.probe)
            taken = {i: routing.probe for i, routing in probed.items()}
            self._probed = {i: p for i, p in self._probed.items() if i in known and p is not taken.get(i)}
        return wake

    async def _publish(self, probed: Mapping[str, Routing] | None = None) -> float | None:
        """Before the first observation nothing is published: what the gateway had goes on. `probed`: routings as they
        will be."""
        if not self.facts.observed_ok and self._published is None:
            return None
        world = self.facts.world()
        table = self._drawing.of(replace(world, routings={**world.routings, **(probed or {})}))
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
        served = sum(len(r.servers) for r in table.routes)
        told = f"{served} routings of {len(table.routes)} services are in the gateway"
        await self._journal.emit("gateway.published", "", "", told, {"reloaded": published.reloaded})
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
            known = self.facts.routings[routing.id]
            self.facts.routings[routing.id] = replace(known, sessions=sessions.get(routing.id, 0))
        return self._clock.now() if any(not sessions.get(r.id, 0) for r in draining) else None

    async def _count_traffic(self) -> None:
        """What a canary is judged by. Unreadable: the last counters stand."""
        rollouts = [s.rollout for s in self.facts.services.values() if s.rollout is not None]
        if not any(rollout.strategy == "canary" for rollout in rollouts):
            return
        self._traffic.forget(self.facts.routings)
        with suppress(OrchestratorError):
            self.facts.traffic = self._traffic.add(await self._gateway.traffic())

    def _targets(self) -> dict[str, tuple[Target, Any]]:
        found = {}
        for routing in self.facts.routings.values():
            seen = routing.observed
            if seen is None or seen.state != "running" or not seen.port:
                continue
            if is_live(routing) and routing.started_at is not None and not routing.busy:
                target = Target(routing.id, seen.host, seen.port, routing.health, routing.started_at)
                found[routing.id] = (target, routing.probe)
        return found
