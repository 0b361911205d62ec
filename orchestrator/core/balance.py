"""Too few or too many routings of a service: who leaves, who starts, who gives way. A step of `core.plan`."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core import backoff
from orchestrator.core.capacity import holds, short_of
from orchestrator.core.fleet import Fleet, Targets, is_healthy, targets
from orchestrator.core.look import Look
from orchestrator.core.operations import Fetch, StartRouting, Wait
from orchestrator.core.routes import Side
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Routing, RoutingStatus, Service
from orchestrator.core.status import is_live, routing_status

PREPARED_FIRST = "its image is made present before others give way to it"


def balance(look: Look, fleet: Fleet) -> None:
    """Bring the routings of the service to what its targets say."""
    wanted = targets(fleet)
    surplus = max(0, len(fleet.current) - fleet.desired)
    for routing in sorted(fleet.current, key=_expendable)[:surplus]:
        look.drain(routing, _surplus_cause(fleet))
    leaving = _leaving(fleet, wanted)
    if _ends_before_any_starts(fleet, leaving) and not _is_fetched(look, fleet, wanted.side):
        return
    for routing in leaving:
        look.drain(routing, _leave_cause(fleet, routing))
    if surplus or not wanted.new or (fleet.exclusive and not fleet.others_gone):
        return  # the end of the routing that is in the way wakes the loop
    crowded = _start(look, fleet, fleet.service.spec.routing, fleet.current, wanted.new, wanted.side)
    if crowded and not leaving:
        _make_room(look, fleet, wanted, crowded)
    good = fleet.service.good
    if good is not None and wanted.heal:
        staying = [r for r in fleet.old if r not in leaving]
        _start(look, fleet, good.routing, staying, wanted.heal, fleet.service.side)


# --- who leaves -----------------------------------------------------------------------------------------------------


def _leaving(fleet: Fleet, wanted: Targets) -> list[Routing]:
    """Old ones that serve nothing go at once (but where they are still wanted), the others as far as new ones are
    ready; of those the ones that never were good first."""
    serving = {r.id for r in fleet.serving_old}
    good = fleet.service.good.routing.revision if fleet.service.good else ""
    idle = [r for r in fleet.old if r.id not in serving]
    if wanted.stable:
        awaited = [r for r in idle if r.revision == good]
        room = max(0, wanted.keep - len(serving))
        idle = [r for r in idle if r.revision != good] + sorted(awaited, key=_expendable)[: max(0, len(awaited) - room)]
    order = sorted(fleet.serving_old, key=lambda r: (r.revision == good, *_expendable(r)))
    return [*idle, *order[: max(0, len(serving) - wanted.keep)]]


def _expendable(routing: Routing) -> tuple[int, float, str]:
    """PROVISIONING first, then UNHEALTHY, then the newest."""
    order = {RoutingStatus.PROVISIONING: 0, RoutingStatus.UNHEALTHY: 1}
    return (order.get(routing_status(routing), 2), -routing.created_at, routing.id)


def _surplus_cause(fleet: Fleet) -> str:
    return "the service is being removed" if fleet.service.removing else f"{fleet.desired} wanted"


def _leave_cause(fleet: Fleet, routing: Routing) -> str:
    service = fleet.service
    if not fleet.desired:
        return _surplus_cause(fleet)
    rejected = service.rejected
    if rejected is not None and rejected.revision == routing.revision:
        return f"revision {rejected.number} was rolled back"
    return f"replaced by revision {service.revision_number}"


# --- who starts -----------------------------------------------------------------------------------------------------


def _start(look: Look, fleet: Fleet, spec: RoutingSpec, known: Sequence[Routing], count: int, side: Side) -> str:
    """Routings of one revision up to `count`; `known` are there or wait. In words what there is no room for, unless
    one could be started."""
    service = fleet.service
    waiting = [r for r in known if r.reservation is None and not r.busy]
    new = max(0, count - len(known))
    if not waiting and not new:
        return ""
    at = _not_before(service, spec.revision, fleet.routings)
    if at > look.now:
        look.wake(at)
        return ""
    crowded, started, cause = "", False, _start_cause(fleet, spec.revision)
    for routing_id, said in [*((r.id, r.cause) for r in waiting), *(("", "") for _ in range(new))]:
        refused = look.world.refused.get(service.id)
        found = refused or look.ledger.reserve(spec)
        if isinstance(found, str):
            crowded = "" if refused else found
            if found != said:
                look.do(Wait(service.id, spec.revision, found, routing_id, side))
        else:
            look.do(StartRouting(service.id, spec.revision, found, cause, routing_id, side))
            started = True
    return "" if started else crowded


def _not_before(service: Service, revision: str, routings: Sequence[Routing]) -> float:
    """When the next start may be tried: after the back-off, and not in haste while the engine comes and goes."""
    refused = [r.failure.at + 1 for r in routings if r.failure is not None and r.failure.code == "engine_unavailable"]
    return max(backoff.next_try_at(service.attempts, revision, service.id), *refused, 0.0)


def _start_cause(fleet: Fleet, revision: str) -> str:
    service, routings = fleet.service, fleet.routings
    if service.rollout is not None and service.rollout.phase == "returning":
        return "the last good revision is wanted again"
    takes_over = service.rollout is not None or any(r.revision != revision and is_live(r) for r in routings)
    if revision == service.revision and takes_over:
        return f"revision {service.revision_number} takes over"
    last = max((r.failure for r in routings if r.failure is not None), key=lambda f: f.at, default=None)
    if last is not None and last.at > max(service.cleared_at, *(r.created_at for r in routings)):
        return f"replaces one that failed: {last.message}"
    return f"{fleet.desired} wanted"


# --- who takes another's place --------------------------------------------------------------------------------------


def _ends_before_any_starts(fleet: Fleet, leaving: Sequence[Routing]) -> bool:
    serve = any(r in fleet.serving_old for r in leaving)
    return serve and fleet.desired > 0 and not any(r.reservation is not None for r in fleet.current)


def _is_fetched(look: Look, fleet: Fleet, side: Side) -> bool:
    """Whether the image of one that waits is there: nothing that serves is given up for an image that may take long to
    come, or never does."""
    service, waiting = fleet.service, [r for r in fleet.current if r.reservation is None]
    if any(r.fetched_at is not None for r in waiting):
        return True
    at = _not_before(service, service.revision, fleet.routings)
    if at > look.now:
        look.wake(at)
        return False
    refused = look.world.refused.get(service.id, "")
    cause = refused or PREPARED_FIRST
    if not waiting or (refused and waiting[0].cause != refused):
        look.do(Wait(service.id, service.revision, cause, waiting[0].id if waiting else "", side))
    elif not refused and not any(r.busy for r in waiting):
        look.do(Fetch(waiting[0].id, cause))
    return False


# --- no room --------------------------------------------------------------------------------------------------------


def _make_room(look: Look, fleet: Fleet, wanted: Targets, crowded: str) -> None:
    """No room beside the old routings: they give way one at a time, if that makes room at all and none that ends is
    about to. Where the last one that serves does, the gateway holds requests until a new one is HEALTHY; a canary or
    the other side needs one beside."""
    old = [r for r in fleet.old if r.reservation is not None and not r.busy]
    others = fleet.serving + len(fleet.serving_old) - 1
    if not old or (wanted.stable and others < 1):
        return
    live = {r.id for r in fleet.live}
    ending = any(r.reservation is not None and holds(r) for r in fleet.routings if r.id not in live)
    starting = any(r.reservation and not is_healthy(r) and not r.probe.passed_once for r in fleet.current)
    held = [r.reservation for r in old if r.reservation is not None]
    if ending or starting or not look.ledger.fits_without(fleet.service.spec.routing, held):
        return
    told = any(r.reservation is None for r in fleet.current)  # else this look has just recorded that one waits
    if not told or not _is_fetched(look, fleet, wanted.side):
        return
    waits = "" if others >= 1 else "; requests wait at the gateway meanwhile"
    look.drain(
        min(old, key=_expendable), f"gives its slots to the new revision: no room for both ({short_of(crowded)}){waits}"
    )
