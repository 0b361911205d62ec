"""The planner: from facts and `now` to operations and the time to look again. Pure; told nothing else.

Each service is looked at by itself: first what its routings need (`_tend`), then whether there are too few or too
many of them (`_balance`). Services share only the ledger of free capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core import backoff
from orchestrator.core.capacity import Ledger
from orchestrator.core.operations import (
    Drain,
    Fail,
    Forget,
    ForgetService,
    Operation,
    Plan,
    RemoveOrphan,
    ResetAttempts,
    StartRouting,
    Stop,
    Wait,
)
from orchestrator.core.state import Failure, Routing, RoutingStatus, Service, World
from orchestrator.core.status import is_live, routing_status

RECORDS_KEPT = 5
"""Failure records kept a service."""
DRAIN_LOOK = 0.25
"""Seconds between looks at the requests that are still open on a draining routing."""


@dataclass(slots=True)
class _Look:
    """One look at the world: what has been decided so far."""

    world: World
    now: float
    ledger: Ledger
    operations: list[Operation] = field(default_factory=list)
    wake_at: float | None = None

    def do(self, operation: Operation) -> None:
        self.operations.append(operation)

    def wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def drain(self, routing: Routing, cause: str) -> None:
        self.do(Drain(routing.id, cause))
        self.wake(self.now + DRAIN_LOOK)


def plan(world: World, now: float) -> Plan:
    """What to do now. Without a successful observation nothing is decided from a container's absence: it waits."""
    look = _Look(world, now, Ledger(world.groups, world.routings.values()))
    if not world.observed_ok:
        return Plan()
    by_service: dict[str, list[Routing]] = {}
    for routing in world.routings.values():
        by_service.setdefault(routing.service_id, []).append(routing)
    for service in sorted(world.services.values(), key=lambda s: _turn(s, by_service.get(s.id, ()))):
        _service(look, service, sorted(by_service.get(service.id, ()), key=lambda r: (r.created_at, r.id)))
    for orphan in world.orphans:
        look.do(RemoveOrphan(orphan, "no record claims this container"))
    return Plan(tuple(look.operations), look.wake_at)


def _turn(service: Service, routings: Sequence[Routing]) -> tuple[float, str]:
    """Who has waited longest for capacity is served first; then by name."""
    waiting = [r.created_at for r in routings if r.reservation is None and is_live(r)]
    return (min(waiting, default=float("inf")), service.name)


def _service(look: _Look, service: Service, routings: Sequence[Routing]) -> None:
    before = len(look.operations)
    decided = {r.id for r in routings if _tend(look, service, r)}
    if any(isinstance(o, Fail) and o.failure.counts for o in look.operations[before:]):
        service = replace(service, attempts=backoff.failed(service.attempts, service.revision, look.now))
    live = [r for r in routings if is_live(r) and r.id not in decided]
    _balance(look, service, live, routings)
    _forgive(look, service, routings, live)
    forgotten = {o.routing for o in look.operations[before:] if isinstance(o, Forget)}
    if service.removing and forgotten.issuperset(r.id for r in routings):
        look.do(ForgetService(service.id, "removed, and none of its routings is left"))


# --- one routing ----------------------------------------------------------------------------------------------------


def _tend(look: _Look, service: Service, routing: Routing) -> bool:
    """What this routing needs by itself; True: it no longer counts."""
    if routing.busy:
        return False
    if routing.failure is not None:
        return _clean(look, routing)
    if routing.stopping_since is not None:
        return _end(look, service, routing)
    if routing.reservation is None:
        return False
    failure = _failure(look, service, routing)
    if failure is None:
        return False
    counts = failure.counts and routing.revision == service.revision
    look.do(Fail(routing.id, replace(failure, at=look.now, counts=counts), failure.message))
    return True


def _clean(look: _Look, routing: Routing) -> bool:
    if routing.observed is not None:
        look.do(Stop(routing.id, 0.0, "what is left of a failed routing"))
    return True


def _end(look: _Look, service: Service, routing: Routing) -> bool:
    """Draining, then stopping, within one budget of `stop_grace` seconds."""
    assert routing.stopping_since is not None
    if routing.observed is None:
        look.do(Forget(routing.id, routing.stop_cause))
        return True
    end = routing.stopping_since + service.spec.stop_grace
    idle = routing.sessions == 0 or not routing.probe.passed_once or routing.observed.state != "running"
    if idle or look.now >= end:
        look.do(Stop(routing.id, max(0.0, end - look.now), routing.stop_cause))
    else:
        look.wake(min(end, look.now + DRAIN_LOOK))
    return True


def _failure(look: _Look, service: Service, routing: Routing) -> Failure | None:
    """Why this routing is to be given up now, if it is. One case a branch."""
    now, seen = look.now, routing.observed
    if routing.outcome is not None:
        return routing.outcome
    if routing.started_at is None:
        return Failure("interrupted", "its start was interrupted (the daemon ended)", now, counts=False)
    if seen is None:
        return Failure("removed", "its container was removed by hand", now, counts=False)
    if seen.state == "exited":
        return _exit(routing, now)
    if seen.state == "created":
        return Failure("stopped", "its container is there but does not run", now, counts=False)
    return _overdue(look, service, routing)


def _exit(routing: Routing, now: float) -> Failure:
    seen = routing.observed
    assert seen is not None
    if routing.lost_with_engine:
        return Failure("engine_lost", "it ended together with the container engine", now, counts=False)
    ended = f"it ended with exit code {seen.exit_code}" if seen.exit_code is not None else "it ended, nobody saw how,"
    what = "it was killed for lack of memory" if seen.oom else ended
    since = routing.probe.healthy_since
    long_enough = since is not None and now - since >= backoff.LONG_ENOUGH
    when = "after it had been HEALTHY" if routing.probe.passed_once else "before its first pass"
    code = "oom_killed" if seen.oom else "exited"
    return Failure(code, f"{what} {when}", now, exit_code=seen.exit_code, oom=seen.oom, counts=not long_enough)


def _overdue(look: _Look, service: Service, routing: Routing) -> Failure | None:
    """Never HEALTHY within start_timeout, or UNHEALTHY for longer than unhealthy_timeout."""
    spec, probe = service.spec, routing.probe
    if not probe.passed_once:
        end = (routing.unit_created_at or routing.created_at) + spec.start_timeout
        if look.now >= end:
            text = f"not HEALTHY within {spec.start_timeout:g} s: {probe.last_message or 'no probe has ended'}"
            return Failure("start_timeout", text, look.now)
        look.wake(end)
    elif probe.unhealthy_since is not None:
        end = probe.unhealthy_since + spec.unhealthy_timeout
        if look.now >= end:
            return Failure("unhealthy", f"UNHEALTHY for {spec.unhealthy_timeout:g} s: {probe.last_message}", look.now)
        look.wake(end)
    return None


# --- how many -------------------------------------------------------------------------------------------------------


def _balance(look: _Look, service: Service, live: Sequence[Routing], routings: Sequence[Routing]) -> None:
    current = [r for r in live if r.revision == service.revision]
    old = [r for r in live if r.revision != service.revision]
    desired = min(service.desired, 1) if service.id in look.world.exclusive else service.desired
    surplus = len(current) - desired
    if surplus > 0:
        for routing in sorted(current, key=_expendable)[:surplus]:
            look.drain(routing, _surplus_cause(service, desired))
    giving_way = _replace(look, service, current, old, desired)
    waiting = [r for r in current if r.reservation is None and not r.busy]
    new = max(0, -surplus)
    if (waiting or new) and surplus <= 0:
        _start(look, service, waiting, new, () if giving_way else old, routings)


def _expendable(routing: Routing) -> tuple[int, float, str]:
    """PROVISIONING first, then UNHEALTHY, then the newest."""
    order = {RoutingStatus.PROVISIONING: 0, RoutingStatus.UNHEALTHY: 1}
    return (order.get(routing_status(routing), 2), -routing.created_at, routing.id)


def _surplus_cause(service: Service, desired: int) -> str:
    return "the service is being removed" if service.removing else f"{desired} wanted"


def _replace(look: _Look, service: Service, current: Sequence[Routing], old: Sequence[Routing], desired: int) -> bool:
    """Old routings serve until as many new ones as are wanted are HEALTHY; those that serve nothing go at once.
    True: some of them give way now."""
    if not old:
        return False
    exclusive = service.id in look.world.exclusive
    healthy_new = sum(routing_status(r) is RoutingStatus.HEALTHY for r in current)
    keep = 0 if exclusive else max(0, desired - healthy_new)
    ready = [r for r in old if routing_status(r) is RoutingStatus.HEALTHY]
    idle = [r for r in old if routing_status(r) is not RoutingStatus.HEALTHY]
    cause = f"replaced by revision {service.revision_number}" if desired else _surplus_cause(service, desired)
    leaving = [*idle, *sorted(ready, key=_expendable)[: max(0, len(ready) - keep)]]
    for routing in leaving:
        look.drain(routing, cause)
    return bool(leaving)


def _start(
    look: _Look,
    service: Service,
    waiting: Sequence[Routing],
    new: int,
    old: Sequence[Routing],
    routings: Sequence[Routing],
) -> None:
    if service.id in look.world.exclusive and any(r.observed is not None or r.busy for r in routings):
        return  # its port is still held; the end of that routing wakes the loop
    at = _not_before(service, routings)
    if at > look.now:
        look.wake(at)
        return
    crowded, cause = "", _start_cause(service, routings)
    for routing_id, said in [*((r.id, r.cause) for r in waiting), *(("", "") for _ in range(new))]:
        found = look.world.refused.get(service.id) or look.ledger.reserve(service.spec.routing)
        if isinstance(found, str):
            crowded = found
            if found != said:
                look.do(Wait(service.id, service.revision, found, routing_id))
        else:
            look.do(StartRouting(service.id, service.revision, found, cause, routing_id))
    if crowded and service.id not in look.world.refused:
        _make_room(look, old, routings)


def _not_before(service: Service, routings: Sequence[Routing]) -> float:
    """When the next start may be tried: after the back-off, and not in haste while the engine comes and goes."""
    refused = [r.failure.at + 1 for r in routings if r.failure is not None and r.failure.code == "engine_unavailable"]
    return max(backoff.next_try_at(service.attempts, service.revision, service.id), *refused, 0.0)


def _make_room(look: _Look, old: Sequence[Routing], routings: Sequence[Routing]) -> None:
    """No room beside the old routings (those that do not give way yet): they do so one at a time."""
    if not old:
        return
    ending = any(r.stopping_since is not None for r in routings)
    beside = {r.id for r in routings} - {r.id for r in old}
    starting = any(is_live(r) and r.reservation and not r.probe.passed_once for r in routings if r.id in beside)
    if not ending and not starting:
        look.drain(min(old, key=_expendable), "gives its slots to the new revision: no room for both")


def _start_cause(service: Service, routings: Sequence[Routing]) -> str:
    if any(r.revision != service.revision and is_live(r) for r in routings):
        return f"revision {service.revision_number} takes over"
    last = max((r.failure for r in routings if r.failure is not None), key=lambda f: f.at, default=None)
    if last is not None and last.at > max(service.cleared_at, *(r.created_at for r in routings)):
        return f"replaces one that failed: {last.message}"
    return f"{service.desired} wanted"


# --- records --------------------------------------------------------------------------------------------------------


def _forgive(look: _Look, service: Service, routings: Sequence[Routing], live: Sequence[Routing]) -> None:
    """Ten minutes of HEALTHY forgive failed attempts; only the newest records are kept, none of a service that ends."""
    records = [r for r in routings if r.failure is not None and r.observed is None and not r.busy]
    kept = 0 if service.removing else RECORDS_KEPT
    for record in records[: max(0, len(records) - kept)]:
        look.do(Forget(record.id, "an old failure record"))
    if not service.attempts.count:
        return
    healthy = [r.probe.healthy_since for r in live if r.revision == service.revision and r.probe.healthy]
    since = min((s for s in healthy if s is not None), default=None)
    if since is None:
        return
    if look.now >= since + backoff.FORGIVEN_AFTER:
        look.do(ResetAttempts(service.id, "HEALTHY for ten minutes"))
    else:
        look.wake(since + backoff.FORGIVEN_AFTER)
