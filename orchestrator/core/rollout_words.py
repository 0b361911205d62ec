"""A rollout under way, and a revision that was rolled back, in one plain line each. Used by `core.present` and
`core.explain`; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.core.fleet import Fleet, canaries, other
from orchestrator.core.routes import Traffic
from orchestrator.core.state import Rollout, Routing, Service
from orchestrator.core.status import is_live
from orchestrator.core.table import is_holding
from orchestrator.core.updating import deadline
from orchestrator.core.verdict import served


def rollout_line(service: Service, routings: Sequence[Routing], traffic: Mapping[str, Traffic], now: float) -> str:
    """`revision 4 (canary): step 2 of 3, 25 % of the requests, …`; empty: none is under way. `routings`: all of the
    service; `traffic`: routing id to its counters; `now` in steady seconds."""
    rollout = service.rollout
    if rollout is None:
        return ""
    fleet = Fleet(service, [r for r in routings if is_live(r)], routings, False, now)
    way = "going back" if rollout.phase == "returning" else rollout.strategy.replace("_", "-")
    waits = "; requests wait at the gateway until a routing is HEALTHY" if is_holding(service, routings) else ""
    standing = f"{_standing(fleet, rollout, traffic)}{waits}{_stays(fleet, rollout)}"
    return f"revision {service.revision_number} ({way}): {standing}"


def _stays(fleet: Fleet, rollout: Rollout) -> str:
    """Of a rollout that has failed and is not given up."""
    service = fleet.service
    if service.spec.update.auto_rollback or rollout.phase == "returning" or service.good is None:
        return ""
    overdue = rollout.phase == "replacing" and fleet.now >= rollout.progress_at + deadline(service.spec)
    failed = service.attempts.revision == service.revision and service.attempts.count > 0
    return "; it has failed and stays as it is: auto_rollback is false" if overdue or failed else ""


def rejected_line(service: Service) -> str:
    """`revision 3 was rolled back: …`; empty: what runs is what the definition says, or it has not been refused."""
    rejected = service.rejected
    if rejected is None:
        return ""
    return f"revision {rejected.number} was rolled back: {rejected.cause}"


def rejected_hint(service: Service) -> str:
    mend = "change" if service.rejected is not None and service.rejected.by_hand else "mend"
    return f"{mend} the definition, or `orchestrator apply {service.name}` tries it again"


def _standing(fleet: Fleet, rollout: Rollout, traffic: Mapping[str, Traffic]) -> str:
    """One case a phase."""
    update = fleet.service.spec.update
    passed = max(0.0, fleet.now - rollout.phase_since)
    match rollout.phase:
        case "replacing" | "returning":
            return _replacing(fleet, rollout)
        case "ready":
            return f"both sides are HEALTHY; {_ready(fleet.service, rollout, passed)}"
        case "judging":
            return _judging(fleet, rollout, passed, traffic)
        case "baking" if update.bake:
            return f"it gets all requests and is watched, {min(passed, update.bake):.0f} s of {update.bake:g} s"
        case "baking":
            return "it gets all requests"


def _ready(service: Service, rollout: Rollout, passed: float) -> str:
    after = service.spec.update.promote_after
    if rollout.promoted:
        return "the requests are switched to it now"
    if after is None:
        return f"`orchestrator promote {service.name}` switches to it, `abort` gives it up"
    return f"it is switched to in {max(0.0, after - passed):.0f} s, by `orchestrator promote {service.name}` at once"


def _replacing(fleet: Fleet, rollout: Rollout) -> str:
    steps = fleet.service.spec.update.steps
    if rollout.strategy == "canary" and rollout.phase == "replacing" and rollout.step < len(steps):
        needed = min(canaries(fleet.service, fleet.desired, rollout.step), fleet.desired)
        ready = f"{min(fleet.ready, needed)} of {needed} new routings are ready"
        return (
            f"step {rollout.step + 1} of {len(steps)} is prepared, {rollout.weight} % of the requests so far, {ready}"
        )
    side = f" on the {other(fleet.service.side)} side" if rollout.strategy == "blue_green" else ""
    new = "" if rollout.phase == "returning" else "new "
    return f"{min(fleet.ready, fleet.desired)} of {fleet.desired} {new}routings{side} are ready"


def _judging(fleet: Fleet, rollout: Rollout, passed: float, traffic: Mapping[str, Traffic]) -> str:
    update = fleet.service.spec.update
    seen = served((r.id for r in fleet.current), rollout.base, traffic)
    failed = f"{seen.errors} of {seen.requests} failed" if seen else "the gateway's counters began anew"
    pause = f"{passed:.0f} s of {update.pause:g} s"
    if passed >= update.pause and seen and seen.requests < update.min_requests:
        pause = f"waits for {update.min_requests} requests"
    return f"step {rollout.step + 1} of {len(update.steps)}, {rollout.weight} % of the requests, {pause}; {failed}"
