"""How far a change that was taken over is, and what a plan was made from: read off the facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.core.fleet import count_wanted
from orchestrator.core.pending import Pending
from orchestrator.core.plan_views import BaseView, ProgressState
from orchestrator.core.rollout import awaits_promotion
from orchestrator.core.rollout_words import rejected_line
from orchestrator.core.spec import digest
from orchestrator.core.state import Routing, RoutingStatus, Service
from orchestrator.core.status import is_live, routing_status


def progress(
    service: Service | None, routings: Sequence[Routing], revision: str, *, exclusive: bool
) -> tuple[ProgressState, str]:
    """Of the change to `revision` (empty: of the end of the service), and in words what it waits for or came to."""
    if service is None or (service.removing and revision):
        return ("superseded", "it was removed meanwhile") if revision else ("done", "it is gone")
    if not revision:
        left = len([r for r in routings if r.failure is None])
        return (
            ("under_way", _routings(left, "ends", "end"))
            if service.removing
            else ("superseded", "its removal was undone")
        )
    if service.rejected is not None and service.rejected.revision == revision:
        return "rolled_back", rejected_line(service)
    if service.revision != revision:
        return "superseded", f"another change took over: revision {service.revision_number}"
    if awaits_promotion(service):
        return "waits", f"both revisions are HEALTHY: `orchestrator promote {service.name}` switches to the new one"
    return _of_routings(service, routings, exclusive=exclusive)


def _of_routings(service: Service, routings: Sequence[Routing], *, exclusive: bool) -> tuple[ProgressState, str]:
    wanted = count_wanted(service, exclusive=exclusive)
    mine = [r for r in routings if is_live(r) and r.revision == service.revision]
    others = [r for r in routings if r.failure is None and r not in mine]
    healthy = sum(routing_status(r) is RoutingStatus.HEALTHY for r in mine)
    if healthy >= wanted and len(mine) == wanted and not others and service.rollout is None:
        return "done", f"{_routings(healthy, 'is', 'are')} HEALTHY on revision {service.revision_number}"
    told = f"{healthy} of {wanted} routings are HEALTHY on revision {service.revision_number}"
    if service.rollout is not None and service.rollout.phase == "judging":
        told += f", which is judged with {service.rollout.weight} % of the requests"
    elif service.rollout is not None and service.rollout.phase == "baking":
        told += ", which is watched"
    why = next((r.cause for r in mine if r.reservation is None), "")
    ended = [r.failure for r in routings if r.failure is not None and r.revision == service.revision]
    failed = max(ended, key=lambda f: f.at, default=None)
    if not why and failed is not None and failed.at > service.cleared_at and healthy < wanted:
        why = f"the last start failed: {failed.message}"
    return "under_way", f"{told}; {why}" if why else told


def _routings(count: int, one: str = "", more: str = "") -> str:
    return f"{count} routing {one}".rstrip() if count == 1 else f"{count} routings {more}".rstrip()


# --- what a plan was made from --------------------------------------------------------------------------------------


def base(services: Iterable[Service], changes: Iterable[Pending]) -> dict[str, BaseView]:
    """By name. Health is not in it: what fails and recovers makes no plan void."""
    planned = {p.before.id for p in changes if p.before is not None}
    return {
        s.name: BaseView(
            revision=s.revision_number,
            desired=s.desired,
            spec=digest(s.spec.model_dump(mode="json")),
            definition=s.digest if s.id in planned else "",
        )
        for s in sorted(services, key=lambda s: s.name)
    }


def moved(
    before: Mapping[str, BaseView], now: Mapping[str, BaseView], planned: Mapping[str, str], wanted: Mapping[str, str]
) -> list[str]:
    """In words, what is not any more as it was when a plan was saved. `planned`, `wanted`: service name to the mark of
    what was planned, and of what would be done now."""
    found = list(_moved(before, now))
    found += [f"nothing is to be changed of {name} any more" for name in sorted(planned.keys() - wanted.keys())]
    found += [f"a change of {name} came since" for name in sorted(wanted.keys() - planned.keys())]
    changed = [name for name in sorted(planned.keys() & wanted.keys()) if planned[name] != wanted[name]]
    return [*found, *(f"something else is wanted of {name}" for name in changed)]


def _moved(before: Mapping[str, BaseView], now: Mapping[str, BaseView]) -> Iterator[str]:
    for name in sorted(before.keys() | now.keys()):
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            yield f"{name} {'is gone' if new is None else 'is new'}"
        elif old.revision != new.revision:
            yield f"{name} is at revision {new.revision}, not {old.revision}"
        elif old.desired != new.desired:
            yield f"{name} is to have {_routings(new.desired)}, not {old.desired}"
        elif old.spec != new.spec:
            yield f"{name} was changed"
        elif old.definition != new.definition and old.definition:
            yield f"the definition of {name} was changed"
