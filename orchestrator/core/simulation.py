"""What would happen: the planner's own operations, carried out on a copy of the facts, to the end. Pure.

`core.preview` asks it. What is assumed: starts succeed and take as long as the service's last one did, requests on
draining routings end at once, and a new revision answers as well as the old one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.core.fleet import count_wanted
from orchestrator.core.imagined import Imagined
from orchestrator.core.operations import Drain, Fail, Fetch, Forget, Operation, RemoveOrphan, StartRouting, Stop
from orchestrator.core.plan import plan
from orchestrator.core.rollout import awaits_promotion
from orchestrator.core.routes import RouteState, Traffic
from orchestrator.core.state import Observed, ProbeState, Routing, Service, World
from orchestrator.core.status import is_live
from orchestrator.core.table import route
from orchestrator.core.updating import deadline

LOAD = 1.0
"""Seconds that a start is taken to last where none was seen."""
TICK = 0.25
"""Seconds that pass where the planner asks for a look at once."""
RATE = 1000.0
"""Requests a second that every routing is taken to answer, for canaries that are judged by theirs."""
MOST_STEPS = 200_000
HORIZON = 30 * 86400.0
MADE_UP = "new-"
"""Ids of routings that are only imagined begin so."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One step of one service: by `operation`, or as time went on (None). `service` and `routings` (its own, by id)
    are as they are after it, `routing` is what the operation is about as it was before."""

    at: float
    service: Service | None
    routings: Mapping[str, Routing]
    state: RouteState | None
    """What the gateway does for it then; None: it does not know it."""
    operation: Operation | None = None
    routing: Routing | None = None
    promoted: bool = False
    """Somebody promotes its new side."""


def simulate(world: World, now: float) -> Mapping[str, tuple[Moment, ...]]:
    """The moments of each service by its id, the first as it is `now`; until nothing is left to do, nothing can go on,
    or the bounds are reached."""
    course = _Course(replace(world, observed_ok=True, orphans=()), now)
    course.run()
    return {ident: tuple(moments) for ident, moments in course.moments.items()}


class _Course:
    def __init__(self, world: World, now: float) -> None:
        self.now, self._began, self._steps = now, now, 0
        self._facts = Imagined(world, self._new_id)
        self._base = dict(world.traffic)
        self._loads = {s.id: load_time(s, world) or LOAD for s in world.services.values()}
        self._of: dict[str, dict[str, Routing]] = {ident: {} for ident in world.services}
        for routing in world.routings.values():
            if routing.service_id in self._of:
                self._of[routing.service_id][routing.id] = routing
        self._due: dict[str, float] = {}
        self._next = 0
        self._settle_what_is_under_way()
        self.moments: dict[str, list[Moment]] = {ident: [] for ident in world.services}
        for ident in self.moments:
            self._note(ident)

    def run(self) -> None:
        while self._steps < MOST_STEPS and self.now < self._began + HORIZON:
            made = plan(self._facts.world, self.now)
            for operation in made.operations:
                ident, routing = self._about(operation)
                self._apply(operation, ident)
                self._note(ident, operation, routing)
            if not made.operations and not self._go_on(made.wake_at):
                return

    def _about(self, operation: Operation) -> tuple[str, Routing | None]:
        match operation:
            case (
                Fetch(routing=ident)
                | Drain(routing=ident)
                | Stop(routing=ident)
                | Fail(routing=ident)
                | Forget(routing=ident)
            ):
                return self._facts.routings[ident].service_id, self._facts.routings[ident]
            case RemoveOrphan():
                return "", None
            case _:
                return operation.service, None

    def _note(
        self, ident: str, operation: Operation | None = None, routing: Routing | None = None, *, promoted: bool = False
    ) -> None:
        self._steps += 1
        service, mine = self._facts.services.get(ident), dict(self._of.get(ident, {}))
        state = route(service, list(mine.values())).state if service is not None else None
        moment = Moment(self.now, service, mine, state, operation, routing, promoted)
        self.moments.setdefault(ident, []).append(moment)

    def _go_on(self, wake_at: float | None) -> bool:
        """Let time pass until something is due, or somebody promote what waits for it; False: neither can be."""
        waiting = next((s for s in self._facts.services.values() if awaits_promotion(s)), None)
        if not self._due and not self._ending():
            if waiting is not None:
                self._promote(waiting)
                return True
            if self._settled():
                return False
        times = [*self._due.values(), *([] if wake_at is None else [wake_at])]
        if not times:
            return False
        self.now = max(min(times), self.now + TICK if wake_at is not None and wake_at <= self.now else self.now)
        self._steps += 1
        self._answer()
        for ident in self._finish():
            self._note(ident)
        return True

    def _promote(self, service: Service) -> None:
        assert service.rollout is not None
        promoted = replace(service, rollout=replace(service.rollout, promoted=True))
        self._facts.services[service.id] = promoted
        self._note(service.id, promoted=True)

    # --- whether there is anything left

    def _settled(self) -> bool:
        return all(self._is_done(service) for service in self._facts.services.values())

    def _is_done(self, service: Service) -> bool:
        live = [r for r in self._of[service.id].values() if is_live(r)]
        wanted = count_wanted(service, exclusive=service.id in self._facts.world.exclusive)
        return service.rollout is None and len(live) == wanted and all(r.revision == service.revision for r in live)

    def _ending(self) -> bool:
        return any(r.stopping_since is not None for r in self._mine())

    def _mine(self) -> list[Routing]:
        return [r for mine in self._of.values() for r in mine.values()]

    # --- what time brings

    def _settle_what_is_under_way(self) -> None:
        """Ends under way have ended; starts under way go on."""
        for one in self._mine():
            if one.busy in ("stop", "fail"):
                self._lay(replace(one, busy="", observed=None))
            elif one.busy == "fetch":
                self._lay(replace(one, busy="", fetched_at=self.now))
            elif one.stopping_since is not None:
                self._lay(replace(one, busy="", sessions=0))
            elif is_live(one) and (one.busy == "start" or _loads(one)):
                self._due[one.id] = max(self.now, one.created_at + self._loads[one.service_id])

    def _finish(self) -> set[str]:
        """Starts that are due have become HEALTHY; ids of the services that they are of."""
        of = set()
        for ident in [i for i, at in self._due.items() if at <= self.now]:
            del self._due[ident]
            if (one := self._facts.routings.get(ident)) is not None and is_live(one):
                self._lay(_up(one, self.now))
                of.add(one.service_id)
        return of

    def _answer(self) -> None:
        """Every routing has answered as many requests, as fast and without an error."""
        rollouts = [s.rollout for s in self._facts.services.values() if s.rollout is not None]
        if not any(rollout.strategy == "canary" for rollout in rollouts):
            return
        more = int((self.now - self._began) * RATE)
        known = {r.id: self._base.get(r.id, Traffic()) for r in self._mine()}
        traffic = {i: Traffic(t.requests + more, t.errors, 0.01) for i, t in known.items()}
        world = self._facts.world
        self._facts.world = replace(world, traffic={**world.traffic, **traffic})

    # --- operations

    def _apply(self, operation: Operation, of: str) -> None:
        """`of`: id of the service that it is about."""
        laid = self._facts.apply(operation, self.now)
        if laid is not None:
            self._of[of][laid.id] = laid
        match operation:
            case StartRouting() if laid is not None:
                self._due[laid.id] = self.now + self._loads[of]
            case Drain(routing=ident):
                self._due.pop(ident, None)
            case Forget(routing=ident):
                del self._of[of][ident]

    def _new_id(self) -> str:
        self._next += 1
        return f"{MADE_UP}{self._next:05d}"

    def _lay(self, routing: Routing) -> None:
        self._facts.routings[routing.id] = self._of[routing.service_id][routing.id] = routing


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
    limit = min(service.spec.start_timeout, deadline(service.spec))
    return max(0.0, min(max(took)[1], limit / 2))


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
