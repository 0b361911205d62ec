"""What would change if services were as they are wanted: fields, operations in order, downtime, room. Pure.

The operations are those of the real planner (`core.simulation`), and whether requests are served is read off the real
route table, so that the answer cannot differ from what happens then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from orchestrator.core.capacity import Ledger
from orchestrator.core.changes import FieldChange, field_changes
from orchestrator.core.fitting import Host, fetched, lacks
from orchestrator.core.narration import Narration
from orchestrator.core.pending import Change, Pending, change_of
from orchestrator.core.routes import RouteState
from orchestrator.core.simulation import Moment, load_time, simulate
from orchestrator.core.state import Service, World
from orchestrator.core.status import is_live
from orchestrator.core.table import routes

NONE = "none"


@dataclass(frozen=True, slots=True)
class Preview:
    """`downtime`: `none`, or in words why there is one; `seconds`: how long nothing answers (None: not known, or for
    good)."""

    service: Service
    change: Change
    fields: tuple[FieldChange, ...]
    operations: tuple[str, ...]
    lacks: tuple[str, ...]
    downtime: str
    seconds: float | None = 0.0
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.lacks


def taken_over(pending: Pending) -> Service:
    """The service after the change was taken over, numbered as it then would be."""
    before, wanted = pending.before, pending.wanted
    number = 1 if before is None else before.revision_number + (before.revision != wanted.revision)
    return replace(wanted, revision_number=number, rejected=None, vanished_since=None, held="")


def preview(before: World, after: World, changes: Sequence[Pending], now: float, host: Host) -> tuple[Preview, ...]:
    """`after`: `before` with the `changes` taken over. In the order of `changes`."""
    moments = simulate(_relevant(after, changes), now)
    return tuple(_preview(before, after, pending, moments, host) for pending in changes)


def _relevant(after: World, changes: Sequence[Pending]) -> World:
    """Only services that change, and those that wait for the same room: all others keep what they have."""
    waiting = {r.service_id for r in after.routings.values() if r.reservation is None and is_live(r)}
    ids = waiting | {p.wanted.id for p in changes}
    return replace(after, services={i: s for i, s in after.services.items() if i in ids})


def _preview(before: World, after: World, pending: Pending, moments: Sequence[Moment], host: Host) -> Preview:
    service = after.services[pending.wanted.id]
    alone = service.id in after.exclusive
    change = change_of(pending, one_at_a_time=alone)
    spec = None if pending.wanted.removing else service.spec
    fields = field_changes(pending.before.spec if pending.before else None, spec)
    if spec is None:
        fields = ()
    states = _states(service, moments)
    downtime, seconds = _downtime(before, pending, service, states, alone=alone)
    image = fetched(pending, host)
    room = _starved(service, moments[-1].world)
    refused = after.refused.get(service.id)
    return Preview(
        service=service,
        change=change,
        fields=fields,
        operations=_operations(pending, service, change, moments),
        lacks=(
            *dict.fromkeys([*room, *([refused] if refused else []), *lacks(pending, after.services.values(), host)]),
        ),
        downtime=downtime,
        seconds=seconds,
        notes=(f"image {image} will be fetched first",) if image else (),
    )


def _operations(pending: Pending, service: Service, change: Change, moments: Sequence[Moment]) -> tuple[str, ...]:
    numbers = {service.revision: service.revision_number}
    if pending.before is not None:
        numbers = {pending.before.revision: pending.before.revision_number, **numbers}
        good = pending.before.good
        numbers = ({good.routing.revision: good.number} if good is not None else {}) | numbers
    told = Narration(service, numbers).tell(moments)
    return ("change it at once, on what runs", *told) if change == "hot" else told


# --- who serves meanwhile -------------------------------------------------------------------------------------------


def _states(service: Service, moments: Sequence[Moment]) -> list[tuple[float, RouteState | None]]:
    """At which time the gateway does what for the service: only changes, the first at the beginning."""
    found: list[tuple[float, RouteState | None]] = []
    seen: tuple[object, ...] = ()
    for moment in moments:
        mine = _alone(service, moment.world)
        now = (mine.services.get(service.id), *mine.routings.values())
        if now == seen and found:
            continue
        seen = now
        table = routes(mine).routes
        state = table[0].state if table else None
        if not found or found[-1][1] != state:
            found.append((moment.at, state))
    return found


def _alone(service: Service, world: World) -> World:
    services = {service.id: world.services[service.id]} if service.id in world.services else {}
    mine = {i: r for i, r in world.routings.items() if r.service_id == service.id}
    return replace(world, services=services, routings=mine, broken=())


def _downtime(
    before: World, pending: Pending, service: Service, states: Sequence[tuple[float, RouteState | None]], *, alone: bool
) -> tuple[str, float | None]:
    old = pending.before
    now_serving = old is not None and any(r.state == "serving" for r in routes(_alone(old, before)).routes)
    if old is None or not now_serving:
        return NONE, 0.0
    if service.removing or service.desired == 0:
        return f"for good: {'the service ends' if service.removing else 'no routing is wanted any more'}", None
    why = _why(before, service, alone=alone)
    start = f"revision {service.revision_number} starts" + (f" ({why})" if why else "")
    if states[-1][1] != "serving":
        return f"until there is room: nothing serves while {start}", None
    down = _lasting(states, "no_healthy_routing")
    if down > 0:
        known = load_time(old, before)
        told = f"about {down:.0f} s" if known else "as long as a routing takes to start"
        return f"{told}: nothing serves while {start}", round(down, 3) if known else None
    if any(state == "holding" for _, state in states):
        return f"requests wait at the gateway while {start}", 0.0
    return NONE, 0.0


def _lasting(states: Sequence[tuple[float, RouteState | None]], which: RouteState) -> float:
    """Seconds in that state, all together."""
    return sum(then - at for (at, state), (then, _) in pairwise(states) if state == which)


def _why(before: World, service: Service, *, alone: bool) -> str:
    """Why old and new do not serve side by side; empty: they can."""
    if alone:
        return "its port is fixed: one routing at a time"
    if service.spec.update.strategy == "recreate":
        return "strategy recreate: the old routings end first"
    found = Ledger(before.groups, before.routings.values()).reserve(service.spec.routing)
    return "no room for both: " + found.removeprefix("no capacity: ") if isinstance(found, str) else ""


def _starved(service: Service, world: World) -> list[str]:
    """Why routings of it still wait at the end."""
    mine: Iterable[str] = (
        r.cause for r in world.routings.values() if r.service_id == service.id and r.reservation is None and is_live(r)
    )
    return list(dict.fromkeys(mine))


def fits(previews: Sequence[Preview]) -> bool:
    return all(p.fits for p in previews)


def after_world(world: World, changes: Sequence[Pending]) -> Mapping[str, Service]:
    """All services by id as they would be."""
    return {**world.services, **{p.wanted.id: taken_over(p) for p in changes}}
