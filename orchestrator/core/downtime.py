"""Whether requests are answered while a change is carried out, read off the real route table. Pure; part of
`core.preview`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.core.capacity import Ledger, short_of
from orchestrator.core.fitting import Host
from orchestrator.core.pending import Pending
from orchestrator.core.routes import RouteState
from orchestrator.core.simulation import Moment, load_time
from orchestrator.core.state import Service, World

NONE = "none"


@dataclass(frozen=True, slots=True)
class Downtime:
    """`text`: `none`, or in words why there is one. `seconds`: how long nothing is answered (None: not known, or for
    good)."""

    text: str = NONE
    seconds: float | None = 0.0


def downtime(before: World, after: World, pending: Pending, moments: Sequence[Moment], host: Host) -> Downtime:
    """`moments`: of the service, the first as it was taken over."""
    old, service = pending.before, after.services[pending.wanted.id]
    if old is None or moments[0].state != "serving":
        return Downtime()
    if service.removing or service.desired == 0:
        why = "the service ends" if service.removing else "no routing is wanted any more"
        return Downtime(f"for good: {why}", None)
    why = _why_not_beside(before, service, exclusive=pending.exclusive)
    start = f"revision {service.revision_number} starts" + (f" ({why})" if why else "")
    if moments[-1].state != "serving":
        return Downtime(f"until there is room: nothing serves while {start}", None)
    known = load_time(old, before) is not None
    if down := _lasting(moments, "no_healthy_routing"):
        told = f"about {down:.0f} s" if known else "as long as a routing takes to start"
        return Downtime(f"{told}: nothing serves while {start}", round(down, 3) if known else None)
    if held := _lasting(moments, "holding"):
        return _held(held if known else None, start, host)
    return Downtime()


def _held(seconds: float | None, start: str, host: Host) -> Downtime:
    """Requests wait, as long as the gateway lets them. `seconds`: that the start takes, where that is known."""
    text = f"requests wait at the gateway while {start}"
    if seconds is not None:
        text += f"; the last start took about {seconds:.0f} s"
    text += f"; after {host.hold_seconds:g} s (gateway.hold_seconds) they get 503"
    return Downtime(text, round(max(0.0, (seconds or 0.0) - host.hold_seconds), 3))


def _lasting(moments: Sequence[Moment], which: RouteState) -> float:
    """Seconds in that state, all together."""
    return sum(then.at - one.at for one, then in pairwise(moments) if one.state == which)


def _why_not_beside(before: World, service: Service, *, exclusive: bool) -> str:
    """Why old and new do not serve side by side; empty: they can."""
    if exclusive:
        return "its port is fixed: one routing at a time"
    if service.spec.update.strategy == "recreate":
        return "strategy recreate: the old routings end first"
    found = Ledger(before.groups, before.routings.values()).reserve(service.spec.routing)
    return "no room for both: " + short_of(found) if isinstance(found, str) else ""
