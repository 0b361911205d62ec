"""What would change if services were as they are wanted: fields, operations in order, downtime, room. Pure.

The operations are those of the real planner (`core.simulation`), and whether requests are served is read off the real
route table, so that the answer cannot differ from what happens then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from orchestrator.core.changes import FieldChange, field_changes
from orchestrator.core.downtime import Downtime, downtime
from orchestrator.core.fitting import Host, fetched, lacks
from orchestrator.core.narration import Narration
from orchestrator.core.operations import RollBack
from orchestrator.core.pending import Change, Pending, change_of, taken_over
from orchestrator.core.simulation import Moment, simulate
from orchestrator.core.state import Service, World
from orchestrator.core.status import is_live


@dataclass(frozen=True, slots=True)
class Preview:
    service: Service
    change: Change
    fields: tuple[FieldChange, ...]
    operations: tuple[str, ...]
    lacks: tuple[str, ...]
    downtime: Downtime
    notes: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return not self.lacks


def preview(before: World, after: World, changes: Sequence[Pending], now: float, host: Host) -> tuple[Preview, ...]:
    """`after`: `before` with the `changes` taken over. In the order of `changes`."""
    course = simulate(_relevant(after, changes), now)
    found = []
    for pending in changes:
        moments = course[pending.wanted.id]
        down = downtime(before, after, pending, moments, host)
        found.append(_preview(after, pending, moments, down, host))
    return tuple(found)


def _relevant(after: World, changes: Sequence[Pending]) -> World:
    """Only services that change, and those that wait for the same room: all others keep what they have."""
    waiting = {r.service_id for r in after.routings.values() if r.reservation is None and is_live(r)}
    ids = waiting | {p.wanted.id for p in changes}
    return replace(after, services={i: s for i, s in after.services.items() if i in ids})


def _preview(after: World, pending: Pending, moments: Sequence[Moment], down: Downtime, host: Host) -> Preview:
    service = after.services[pending.wanted.id]
    change = change_of(pending)
    before = pending.before.spec if pending.before is not None else None
    image, refused = fetched(pending, host), after.refused.get(service.id)
    missing = (*_starved(moments), *((refused,) if refused else ()), *lacks(pending, after.services.values(), host))
    return Preview(
        service=service,
        change=change,
        fields=() if service.removing else field_changes(before, service.spec),
        operations=_operations(pending, service, change, moments),
        lacks=tuple(dict.fromkeys(missing)),
        downtime=down,
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


def _starved(moments: Sequence[Moment]) -> list[str]:
    """Why routings of it still wait at the end, or when it is given up."""
    ends = [one for one, then in pairwise(moments) if isinstance(then.operation, RollBack)] or moments[-1:]
    return [r.cause for end in ends for r in end.routings.values() if r.reservation is None and is_live(r)]


def after_world(world: World, changes: Sequence[Pending]) -> Mapping[str, Service]:
    """All services by id as they would be."""
    return {**world.services, **{p.wanted.id: taken_over(p) for p in changes}}
