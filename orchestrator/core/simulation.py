"""What would happen: the planner's own operations, carried out on a copy of the facts, to the end. Pure.

`core.preview` asks it. What is assumed: starts succeed and take as long as the service's last one did, requests on
draining routings end at once, and a new revision answers as well as the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar, assert_never

from orchestrator.core import backoff
from orchestrator.core.operations import (
    Accept,
    Advance,
    Drain,
    Fail,
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
from orchestrator.core.plan import plan
from orchestrator.core.rollout import changed
from orchestrator.core.routes import Traffic
from orchestrator.core.state import Attempts, Observed, ProbeState, Routing, Service, World
from orchestrator.core.status import is_live

Value = TypeVar("Value")

LOAD = 1.0
"""Seconds that a start is taken to last where none was seen."""
TICK = 0.25
"""Seconds that pass where the planner asks for a look at once."""
RATE = 1000.0
"""Requests a second that every routing is taken to answer, for canaries that are judged by theirs."""
MOST_STEPS = 20_000
HORIZON = 30 * 86400.0
MADE_UP = "new-"
"""Ids of routings that are only imagined begin so."""


@dataclass(frozen=True, slots=True)
class Moment:
    """`world` as it is after `operation`; None: time went on. `promoted`: id of the service whose new side somebody
    promotes at this moment."""

    at: float
    world: World
    operation: Operation | None = None
    promoted: str = ""


def simulate(world: World, now: float) -> tuple[Moment, ...]:
    """From `now` until nothing is left to do, nothing can go on, or the bounds are reached."""
    course = _Course(replace(world, observed_ok=True, orphans=()), now)
    course.run()
    return tuple(course.moments)


class _Course:
    def __init__(self, world: World, now: float) -> None:
        self.world, self.now, self._began = world, now, now
        self._base = dict(world.traffic)
        self._loads = {s.id: load_time(s, world) or LOAD for s in world.services.values()}
        self._due: dict[str, float] = {}
        self._next = 0
        self._settle_what_is_under_way()
        self.moments = [Moment(now, self.world)]

    def run(self) -> None:
        while len(self.moments) < MOST_STEPS and self.now < self._began + HORIZON:
            made = plan(self.world, self.now)
            for operation in made.operations:
                self._apply(operation)
                self.moments.append(Moment(self.now, self.world, operation))
            if not made.operations and not self._go_on(made.wake_at):
                return

    def _go_on(self, wake_at: float | None) -> bool:
        """Let time pass until something is due, or somebody promote what waits for it; False: neither can be."""
        times = [*self._due.values(), *([] if wake_at is None or self._settled() else [wake_at])]
        waiting = [s for s in self.world.services.values() if awaits_promotion(s)]
        if waiting and not self._due and not self._ending():
            self._promote(waiting[0])
            return True
        if not times or (self._starved() and not self._due and not self._ending()):
            return False
        self.now = max(min(times), self.now + TICK if wake_at is not None and wake_at <= self.now else self.now)
        self._finish()
        self._answer()
        self.moments.append(Moment(self.now, self.world))
        return True

    def _promote(self, service: Service) -> None:
        assert service.rollout is not None
        told = replace(service, rollout=replace(service.rollout, promoted=True))
        self._put(told)
        self.moments.append(Moment(self.now, self.world, promoted=service.id))

    # --- whether there is anything left

    def _settled(self) -> bool:
        return not self._due and not self._ending() and all(self._is_done(s) for s in self.world.services.values())

    def _is_done(self, service: Service) -> bool:
        live = [r for r in self.world.routings.values() if r.service_id == service.id and is_live(r)]
        exclusive = service.id in self.world.exclusive
        wanted = min(service.desired, 1) if exclusive else service.desired
        return service.rollout is None and len(live) == wanted and all(r.revision == service.revision for r in live)

    def _ending(self) -> bool:
        return any(r.stopping_since is not None for r in self._mine())

    def _starved(self) -> bool:
        """Somebody waits for capacity, and nothing is under way that would give any back."""
        return any(r.reservation is None and is_live(r) for r in self._mine())

    def _mine(self) -> list[Routing]:
        return [r for r in self.world.routings.values() if r.service_id in self.world.services]

    # --- what time brings

    def _settle_what_is_under_way(self) -> None:
        """Ends under way have ended; starts under way go on."""
        routings = dict(self.world.routings)
        for one in self._mine():
            if one.busy in ("stop", "fail"):
                routings[one.id] = replace(one, busy="", observed=None)
            elif one.stopping_since is not None:
                routings[one.id] = replace(one, busy="", sessions=0)
            elif is_live(one) and (one.busy == "start" or _loads(one)):
                self._due[one.id] = max(self.now, one.created_at + self._loads[one.service_id])
        self.world = replace(self.world, routings=routings)

    def _finish(self) -> None:
        """Starts that are due have become HEALTHY."""
        routings = dict(self.world.routings)
        for ident in [i for i, at in self._due.items() if at <= self.now]:
            del self._due[ident]
            if (one := routings.get(ident)) is not None and is_live(one):
                routings[ident] = _up(one, self.now)
        self.world = replace(self.world, routings=routings)

    def _answer(self) -> None:
        """Every routing has answered as many requests, as fast and without an error."""
        if not any(s.rollout is not None and s.rollout.strategy == "canary" for s in self.world.services.values()):
            return
        more = int((self.now - self._began) * RATE)
        known = {r.id: self._base.get(r.id, Traffic()) for r in self._mine()}
        traffic = {i: Traffic(t.requests + more, t.errors, 0.01) for i, t in known.items()}
        self.world = replace(self.world, traffic={**self.world.traffic, **traffic})

    # --- operations, as the scheduler carries them out

    def _apply(self, operation: Operation) -> None:
        match operation:
            case StartRouting() | Wait():
                self._start(operation)
            case Drain(routing=ident, cause=cause):
                self._due.pop(ident, None)
                self._lay(
                    replace(self.world.routings[ident], stopping_since=self.now, stop_cause=cause, busy="", sessions=0)
                )
            case Stop(routing=ident):
                self._lay(replace(self.world.routings[ident], observed=None, busy=""))
            case Fail():
                self._fail(operation)
            case Forget(routing=ident):
                self.world = replace(self.world, routings=_without(self.world.routings, ident))
            case ForgetService(service=ident):
                self.world = replace(self.world, services=_without(self.world.services, ident))
            case ResetAttempts(service=ident):
                self._put(replace(self.world.services[ident], attempts=Attempts()))
            case Advance() | Switch() | RollBack() | Accept():
                self._put(changed(self.world.services[operation.service], operation, self.now))
            case RemoveOrphan():
                pass
            case _:
                assert_never(operation)

    def _start(self, operation: StartRouting | Wait) -> None:
        of = self.world.services[operation.service]
        ident = operation.routing or self._new_id()
        one = self.world.routings.get(ident)
        one = one or Routing(ident, of.id, of.name, operation.revision, self.now)
        one = replace(one, cause=operation.cause)
        if isinstance(operation, StartRouting):
            one = replace(
                one, reservation=operation.reservation, side=operation.side, busy="start", created_at=self.now
            )
            self._due[ident] = self.now + self._loads[of.id]
        self._lay(one)

    def _fail(self, operation: Fail) -> None:
        one = self.world.routings[operation.routing]
        self._lay(replace(one, failure=operation.failure, observed=None, outcome=None, busy=""))
        if operation.failure.counts:
            of = self.world.services[one.service_id]
            self._put(replace(of, attempts=backoff.failed(of.attempts, of.revision, operation.failure.at)))

    def _new_id(self) -> str:
        self._next += 1
        return f"{MADE_UP}{self._next:05d}"

    def _lay(self, routing: Routing) -> None:
        self.world = replace(self.world, routings={**self.world.routings, routing.id: routing})

    def _put(self, service: Service) -> None:
        self.world = replace(self.world, services={**self.world.services, service.id: service})


def load_time(service: Service, world: World) -> float | None:
    """Seconds from the start of its newest HEALTHY routing to its first pass; None: there is none to tell by. Kept
    below the time that the service gives its routings."""
    took = [
        (r.created_at, r.probe.healthy_since - r.created_at)
        for r in world.routings.values()
        if r.service_id == service.id and r.probe.healthy and r.probe.healthy_since is not None
    ]
    if not took:
        return None
    limits = [service.spec.start_timeout, service.spec.update.progress_deadline or service.spec.start_timeout]
    return max(0.0, min(max(took)[1], *(limit / 2 for limit in limits)))


def awaits_promotion(service: Service) -> bool:
    """Blue-green: both sides are there, and only somebody's word brings it further."""
    rollout = service.rollout
    if rollout is None or rollout.phase != "ready" or rollout.promoted:
        return False
    return service.spec.update.promote_after is None


def _loads(routing: Routing) -> bool:
    return (
        routing.observed is not None
        and routing.observed.state == "running"
        and not routing.probe.passed_once
        and routing.probe.unhealthy_since is None
    )


def _up(routing: Routing, now: float) -> Routing:
    seen = Observed(routing.id, routing.service, routing.revision, "routing", routing.id, "running", "10.0.0.1", 1)
    probe = ProbeState(passed_once=True, healthy=True, healthy_since=now)
    return replace(
        routing, busy="", unit_created_at=now, started_at=now, observed=routing.observed or seen, probe=probe
    )


def _without(known: Mapping[str, Value], ident: str) -> dict[str, Value]:
    return {i: v for i, v in known.items() if i != ident}
