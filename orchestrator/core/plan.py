"""The planner: from facts and `now` to operations and the time to look again. Pure; told nothing else.

Each service is looked at by itself: first what its routings need (`core.tend`), then where its rollout stands
(`core.steer`), then whether there are too few or too many of them (`core.balance`). Services share only the ledger of
free capacity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.core import backoff
from orchestrator.core.balance import balance
from orchestrator.core.capacity import Ledger
from orchestrator.core.fleet import Fleet
from orchestrator.core.look import Look
from orchestrator.core.operations import Fail, Forget, ForgetService, Plan, RemoveOrphan, ResetAttempts
from orchestrator.core.state import Routing, Service, World
from orchestrator.core.status import is_live
from orchestrator.core.steer import steer
from orchestrator.core.tend import tend

RECORDS_KEPT = 5
"""Failure records kept a service."""


def plan(world: World, now: float) -> Plan:
    """What to do now. Without a successful observation nothing is decided from a container's absence: it waits."""
    look = Look(world, now, Ledger(world.groups, world.routings.values()))
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


def _service(look: Look, service: Service, routings: Sequence[Routing]) -> None:
    before = len(look.operations)
    decided = {r.id for r in routings if tend(look, service, r)}
    if any(isinstance(o, Fail) and o.failure.counts for o in look.operations[before:]):
        service = replace(service, attempts=backoff.failed(service.attempts, service.revision, look.now))
    live = [r for r in routings if is_live(r) and r.id not in decided]
    exclusive = service.id in look.world.exclusive
    service = steer(look, Fleet(service, live, routings, exclusive, look.now))
    balance(look, Fleet(service, live, routings, exclusive, look.now))
    _forgive(look, service, routings, live)
    forgotten = {o.routing for o in look.operations[before:] if isinstance(o, Forget)}
    if service.removing and forgotten.issuperset(r.id for r in routings):
        look.do(ForgetService(service.id, "removed, and none of its routings is left"))


# --- records --------------------------------------------------------------------------------------------------------


def _forgive(look: Look, service: Service, routings: Sequence[Routing], live: Sequence[Routing]) -> None:
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
