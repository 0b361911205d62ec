"""Operations carried out: their facts at once, what takes time in a task beside the loop, and what became of it.

Every task is named after its routing and owned here; an error that nobody expected is an outcome, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, assert_never
from uuid import uuid4

import structlog

from orchestrator.core import backoff
from orchestrator.core.operations import (
    Accept,
    Advance,
    Drain,
    Fail,
    Fetch,
    Forget,
    ForgetService,
    Operation,
    RemoveOrphan,
    ResetAttempts,
    RollBack,
    StartRouting,
    Stop,
    Switch,
    Wait,
)
from orchestrator.core.ports import Clock
from orchestrator.core.rollout import GOOD, ROLLED_BACK, changed
from orchestrator.core.state import Attempts, Failure, Routing, Service
from orchestrator.executor import Created, Ended, Executor, Fetched, Outcome, Recorded, Started, StartFailed
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal

EVENTS = {
    Advance: "rollout.advanced",
    Switch: "rollout.switched",
    RollBack: "rollout.rolled_back",
    Accept: "rollout.finished",
}
LOG = structlog.get_logger("orchestrator")


class Work:
    """`wake`: called when an outcome came; `rescan`: when a name became free."""

    def __init__(
        self,
        facts: Facts,
        executor: Executor,
        journal: Journal,
        clock: Clock,
        wake: Callable[[], None],
        rescan: Callable[[], None],
        applied: Callable[[str, str], None],
    ) -> None:
        self._facts = facts
        self._executor = executor
        self._journal = journal
        self._clock = clock
        self._wake = wake
        self._rescan = rescan
        self._applied = applied
        self._outcomes: list[Outcome] = []
        self._tasks: dict[str, asyncio.Task[Outcome]] = {}

    @property
    def under_way(self) -> tuple[str, ...]:
        """Ids of the units that something is being done with."""
        return tuple(self._tasks)

    @property
    def outcomes(self) -> int:
        """How many wait to be taken."""
        return len(self._outcomes)

    async def take_outcomes(self, count: int) -> None:
        """Those that came before the world was observed: what began since is not in that picture."""
        for _ in range(count):
            await self._take(self._outcomes[0])
            self._outcomes.pop(0)

    async def _take(self, outcome: Outcome) -> None:
        routing = self._facts.routings.get(outcome.routing)
        if routing is None:
            return
        match outcome:
            case Created(at=at):
                routing = replace(routing, unit_created_at=at)
            case Started(at=at, image=image, files=files):
                await self._facts.note_ran(routing, image, files)
                routing = replace(routing, started_at=at, busy="")
            case Fetched(at=at):
                routing = replace(routing, fetched_at=at, busy="")
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
        await self._facts.put_routing(routing)

    async def apply(self, operation: Operation) -> None:
        match operation:
            case StartRouting():
                await self._start(operation)
            case Wait():
                await self._wait(operation)
            case Fetch(routing=routing_id, cause=cause):
                await self._fetch(self._facts.routings[routing_id], cause)
            case Drain(routing=routing_id, cause=cause):
                await self._drain(self._facts.routings[routing_id], cause)
            case Stop(routing=routing_id, grace=grace):
                routing = replace(self._facts.routings[routing_id], busy="stop")
                self._facts.routings[routing_id] = routing
                self._spawn("stop", routing_id, self._executor.end(routing, grace))
            case Fail():
                await self._fail(operation)
            case Forget(routing=routing_id, cause=cause):
                await self._forget(self._facts.routings[routing_id], cause)
            case ForgetService(service=service_id, cause=cause):
                await self._forget_service(self._facts.services[service_id], cause)
            case RemoveOrphan(observed=observed, cause=cause):
                await self._journal.emit("orphan.removing", observed.service, observed.routing, cause, {})
                self._spawn("remove_orphan", observed.routing, self._orphan(observed.routing))
            case ResetAttempts(service=service_id):
                await self._facts.put_service(replace(self._facts.services[service_id], attempts=Attempts()))
            case Advance() | Switch() | RollBack() | Accept():
                await self._change(operation)
            case _:
                assert_never(operation)

    async def _change(self, operation: Advance | Switch | RollBack | Accept) -> None:
        """A rollout begins, goes on or ends: facts of the service, and an event that says why."""
        before = self._facts.services[operation.service]
        cause = said = operation.cause
        if isinstance(operation, RollBack) and before.good is not None:
            failed = f"revision {before.revision_number} failed"
            cause, said = f"back to revision {before.good.number}: {failed}", f"{failed}: {operation.cause}"
        after = changed(before, operation, self._clock.now())
        after = await self._facts.put_service(after, cause, by="planner", outcome=_outcome_of(operation))
        meant = before if isinstance(operation, RollBack) else after
        detail = {"revision": meant.revision_number, **_told(after)}
        await self._journal.emit(_kind(before, operation), after.name, "", said, detail)

    async def _start(self, operation: StartRouting) -> None:
        service = self._facts.services[operation.service]
        waiting = self._facts.routings.get(operation.routing)
        routing = waiting or self._new(service, operation)
        routing = replace(routing, reservation=operation.reservation, cause=operation.cause)
        routing = await self._facts.put_routing(replace(routing, created_at=self._clock.now(), busy="start"))
        await self._emit_of("routing.starting", routing, operation.cause)
        self._spawn("start", routing.id, self._executor.start(routing, service.spec_of(routing.revision), self._note))

    async def _wait(self, operation: Wait) -> None:
        service = self._facts.services[operation.service]
        waiting = self._facts.routings.get(operation.routing)
        routing = waiting or self._new(service, operation)
        await self._facts.put_routing(replace(routing, cause=operation.cause))
        await self._emit_of("routing.waiting", routing, operation.cause)

    async def _fetch(self, routing: Routing, cause: str) -> None:
        routing = self._facts.routings[routing.id] = replace(routing, busy="fetch")
        await self._emit_of("routing.fetching", routing, cause)
        spec = self._facts.services[routing.service_id].spec_of(routing.revision)
        self._spawn("fetch", routing.id, self._executor.fetch(routing, spec))

    def _new(self, service: Service, operation: StartRouting | Wait) -> Routing:
        ident, now = uuid4().hex[:12], self._clock.now()
        health = service.spec_of(operation.revision).routing.health
        return Routing(
            ident,
            service.id,
            service.name,
            operation.revision,
            now,
            operation.cause,
            side=operation.side,
            health=health,
        )

    async def _drain(self, routing: Routing, cause: str) -> None:
        await self._facts.put_routing(replace(routing, stopping_since=self._clock.now(), stop_cause=cause))
        await self._emit_of("routing.draining", routing, cause)
        if routing.id in self._tasks:  # not where the start has ended meanwhile, and its outcome waits to be taken
            self._tasks[routing.id].cancel()

    async def _fail(self, operation: Fail) -> None:
        routing, failure = self._facts.routings[operation.routing], operation.failure
        routing = await self._facts.put_routing(replace(routing, failure=failure, outcome=None, busy="fail"))
        service = self._facts.services[routing.service_id]
        if failure.counts:
            attempts = backoff.failed(service.attempts, service.revision, failure.at)
            service = await self._facts.put_service(replace(service, attempts=attempts))
        detail = {"code": failure.code, "exit_code": failure.exit_code, "oom": failure.oom, "hint": failure.hint}
        kind = "routing.died" if routing.probe.passed_once else "routing.failed"
        await self._emit_of(kind, routing, failure.message, {k: v for k, v in detail.items() if v not in (None, "")})
        self._spawn("fail", routing.id, self._executor.fail(routing, service.spec_of(routing.revision)))

    async def _forget(self, routing: Routing, cause: str) -> None:
        await self._facts.forget_routing(routing.id)
        if routing.failure is None:
            await self._emit_of("routing.gone", routing, cause)

    async def _forget_service(self, service: Service, cause: str) -> None:
        await self._facts.forget_service(service.id)
        await self._journal.emit("service.gone", service.name, "", cause, {"id": service.id})
        self._rescan()

    async def _orphan(self, unit: str) -> Outcome:
        await self._executor.remove(unit, 0.0)
        return Ended(unit)

    def _note(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._wake()

    def _spawn(self, what: str, routing_id: str, work: Coroutine[Any, Any, Outcome]) -> None:
        """Run it beside the loop; what comes of it, an unexpected error too, is an outcome for the next look."""

        def done(task: asyncio.Task[Outcome]) -> None:
            del self._tasks[routing_id]
            outcome = self._outcome(routing_id, task)
            self._applied(what, outcome.failure.code if isinstance(outcome, StartFailed) else "ok")
            self._note(outcome)

        task = asyncio.create_task(work, name=f"{what}:{routing_id}")
        self._tasks[routing_id] = task
        task.add_done_callback(done)  # which also hears of one that was cancelled before it ever ran

    def _outcome(self, routing_id: str, task: asyncio.Task[Outcome]) -> Outcome:
        if task.cancelled():
            return Ended(routing_id)
        if (error := task.exception()) is None:
            return task.result()
        LOG.error("operation.broke", routing=routing_id, exc_info=error)
        text = f"cannot carry it out: {type(error).__name__}: {error}"
        return StartFailed(routing_id, Failure("internal", text, self._clock.now()))

    async def _emit_of(
        self, kind: str, routing: Routing, cause: str, detail: Mapping[str, object] | None = None
    ) -> None:
        await self._journal.emit(kind, routing.service, routing.id, cause, dict(detail or {}))

    async def close(self) -> None:
        """End whatever is under way."""
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)


def _outcome_of(operation: Advance | Switch | RollBack | Accept) -> str:
    """What becomes of the revision that the service is at; empty: nothing yet."""
    match operation:
        case Accept():
            return GOOD
        case RollBack(cause=cause):
            return ROLLED_BACK + cause
        case Advance() | Switch():
            return ""


def _kind(before: Service, operation: Advance | Switch | RollBack | Accept) -> str:
    """Of the event: a first revision is good without a rollout, and one begins where none was."""
    if before.rollout is None:
        return "revision.good" if isinstance(operation, Accept) else "rollout.started"
    return EVENTS[type(operation)]


def _told(service: Service) -> dict[str, object]:
    """What an event says of a rollout."""
    rollout = service.rollout
    if rollout is None:
        return {}
    weight = {"weight": rollout.weight} if rollout.strategy == "canary" else {}
    return {"strategy": rollout.strategy, "phase": rollout.phase, **weight}
