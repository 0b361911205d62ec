"""Small worlds for planner tests, and a simulator that carries plans out without any I/O."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

from orchestrator.core.definition import HealthCheck
from orchestrator.core.imagined import Imagined
from orchestrator.core.operations import Operation
from orchestrator.core.spec import RoutingSpec, ServiceSpec
from orchestrator.core.state import Good, Group, Observed, ProbeState, Reservation, Routing, Service, World
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
    """Carries operations out one by one on a world of values, which tests may replace between them. Starts stay under
    way until `finish`."""

    def __init__(self, start: World) -> None:
        self.world = start
        self._numbers = count()

    def apply(self, operation: Operation, now: float) -> None:
        imagined = Imagined(self.world, lambda: f"n{next(self._numbers):04d}")
        imagined.apply(operation, now)
        self.world = imagined.world

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
