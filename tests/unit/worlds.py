"""Small worlds for planner tests, and a simulator that carries plans out without any I/O."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.core import backoff
from orchestrator.core.definition import HealthCheck
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
from orchestrator.core.rollout import changed
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import Attempts, Good, Group, Observed, ProbeState, Reservation, Routing, Service, World
from orchestrator.core.status import is_live


def spec(name: str = "echo", *, desired: int = 1, image: str = "i:1", **more: Any) -> ServiceSpec:
    """A service spec; `resources` go to the routing, the rest to the service."""
    routing = RoutingSpec(
        model_name=name,
        model_folder=f"/models/{name}",
        model_path="/models",
        model_mount="/models",
        image=image,
        port=8000,
        resources=more.pop("resources", {}),
        health=more.pop("health", HealthCheck()),
    )
    return ServiceSpec(name=name, model_name=name, routing=routing, desired=desired, **more)


def service(name: str = "echo", **more: Any) -> Service:
    """Its revision is known to be good unless `good` says otherwise."""
    facts = {k: more.pop(k) for k in list(more) if k in Service.__dataclass_fields__}
    what = facts.pop("spec", None) or spec(name, **more)
    facts.setdefault("good", Good(1, what.routing))
    return Service(
        id=f"id-{name}",
        name=name,
        source="folder",
        folder=f"/models/{name}",
        model=name,
        spec=what,
        revision_number=1,
        created_at=0.0,
        **facts,
    )


def routing(of: Service, ident: str, state: str = "healthy", at: float = 0.0, **more: Any) -> Routing:
    """`state`: waiting, starting, loading, healthy, unhealthy, paused, exited, gone."""
    base = Routing(
        ident, of.id, of.name, of.revision, at, reservation=Reservation(slots=dict(of.spec.routing.resources))
    )
    if state == "waiting":
        return replace(base, reservation=None, **more)
    if state == "starting":
        return replace(base, busy="start", **more)
    up = replace(base, unit_created_at=at, started_at=at, observed=seen(of, ident))
    probes = {
        "loading": ProbeState(),
        "unhealthy": ProbeState(passed_once=True, failures=99, unhealthy_since=at),
    }
    up = replace(up, probe=probes.get(state, ProbeState(passed_once=True, healthy=True, healthy_since=at)))
    if state in ("paused", "exited"):
        up = replace(up, observed=seen(of, ident, state=state, exit_code=1 if state == "exited" else None))
    if state == "gone":
        up = replace(up, observed=None)
    return replace(up, **more)


def seen(of: Service, ident: str, **more: Any) -> Observed:
    told: dict[str, Any] = {"state": "running", "host": "10.0.0.1", "port": 8000, **more}
    return Observed(ident, of.name, of.revision, "routing", f"c-{ident}", **told)


def world(*services: Service, routings: tuple[Routing, ...] = (), **more: Any) -> World:
    groups = more.pop("groups", {"default": Group("default", {"cpu": 100.0})})
    return World({s.id: s for s in services}, {r.id: r for r in routings}, groups, **more)


class Simulator:
    """Carries operations out on a world as executor and loop would. Starts stay under way until `finish`."""

    def __init__(self, start: World) -> None:
        self.world = start
        self._next = 0

    def apply(self, operation: Operation, now: float) -> None:
        services, routings = dict(self.world.services), dict(self.world.routings)
        match operation:
            case StartRouting() | Wait():
                of = services[operation.service]
                known = routings.get(operation.routing)
                ident = operation.routing or f"n{self._next:04d}"
                self._next += not operation.routing
                one = known or Routing(ident, of.id, of.name, operation.revision, now, side=operation.side)
                if isinstance(operation, Wait):
                    routings[ident] = replace(one, cause=operation.cause)
                else:
                    routings[ident] = replace(one, reservation=operation.reservation, busy="start", created_at=now)
            case Drain():
                one = routings[operation.routing]
                routings[operation.routing] = replace(one, stopping_since=now, busy="", sessions=0)
            case Stop():
                routings[operation.routing] = replace(routings[operation.routing], observed=None)
            case Fail():
                one = routings[operation.routing]
                routings[one.id] = replace(one, failure=operation.failure, observed=None, outcome=None)
                if operation.failure.counts:
                    of = services[one.service_id]
                    attempts = backoff.failed(of.attempts, of.revision, operation.failure.at)
                    services[of.id] = replace(of, attempts=attempts)
            case Forget():
                del routings[operation.routing]
            case ForgetService():
                del services[operation.service]
            case ResetAttempts():
                services[operation.service] = replace(services[operation.service], attempts=Attempts())
            case RemoveOrphan():
                left = tuple(o for o in self.world.orphans if o != operation.observed)
                self.world = replace(self.world, orphans=left)
            case Advance() | Switch() | RollBack() | Accept():
                of = changed(services[operation.service], operation, now)
                number = of.revision_number + (of.revision != services[of.id].revision)
                services[of.id] = replace(of, revision_number=number)
        self.world = replace(self.world, services=services, routings=routings)

    def finish(self, now: float) -> bool:
        """All starts under way succeed, what runs passes its check, and what is paused fails it."""
        routings = dict(self.world.routings)
        for one in self.world.routings.values():
            of, state = self.world.services.get(one.service_id), one.observed.state if one.observed else ""
            loads = not one.probe.passed_once and state == "running"
            if of is not None and is_live(one) and (one.busy == "start" or loads):
                up = routing(
                    of, one.id, "healthy", now, revision=one.revision, reservation=one.reservation, side=one.side
                )
                routings[one.id] = replace(up, created_at=one.created_at)
            elif state == "paused" and one.probe.healthy:
                routings[one.id] = replace(one, probe=replace(one.probe, healthy=False, unhealthy_since=now))
        changed = routings != self.world.routings
        self.world = replace(self.world, routings=routings)
        return changed

    def interrupt(self) -> None:
        """The daemon dies and comes back: nothing is under way any more."""
        self.world = replace(
            self.world, routings={i: replace(r, busy="", outcome=None) for i, r in self.world.routings.items()}
        )
