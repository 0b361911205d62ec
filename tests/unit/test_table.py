"""The route table of a service in the middle of a change: who gets which share of the requests, and who waits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from worlds import routing, service, spec, world

from orchestrator.core.definition import Update
from orchestrator.core.routes import Route
from orchestrator.core.state import Phase, Rollout, Routing, Service, Strategy
from orchestrator.core.table import Drawing, routes

CANARY = Update(strategy="canary", steps=(5, 50))
OLD = service("echo", desired=3, update=CANARY)
NEW = replace(OLD, spec=spec("echo", desired=3, image="i:2", update=CANARY), revision_number=2)
THREE = tuple(routing(OLD, name) for name in "abc")


def rolling_out(of: Service, strategy: Strategy = "canary", phase: Phase = "judging", **more: int) -> Service:
    return replace(of, rollout=Rollout(of.revision, strategy, "", 0.0, phase, **more))


def table(of: Service, *routings: Routing) -> Route:
    return routes(world(of, routings=routings)).routes[0]


def shares(route: Route) -> dict[str, float]:
    total = sum(s.weight for s in route.servers if not s.draining)
    return {s.routing: round(100 * s.weight / total, 1) for s in route.servers if not s.draining}


SHARES = {
    "before its first step a canary gets nothing": (
        table(rolling_out(NEW, phase="replacing"), *THREE, routing(NEW, "n")),
        {"a": 33.3, "b": 33.3, "c": 33.3, "n": 0.0},
    ),
    "a step's share, whatever the counts": (
        table(rolling_out(NEW, weight=5), *THREE, routing(NEW, "n")),
        {"a": 31.7, "b": 31.7, "c": 31.7, "n": 5.0},
    ),
    "within a revision by the ratios of its routings": (
        table(rolling_out(NEW, weight=50, step=1), *THREE, routing(NEW, "n", traffic_ratio=3.0), routing(NEW, "m")),
        {"a": 16.7, "b": 16.7, "c": 16.7, "n": 37.5, "m": 12.5},
    ),
    "after the last step the share grows with the count": (
        table(rolling_out(NEW, phase="replacing", weight=50, step=2), THREE[0], routing(NEW, "n"), routing(NEW, "m")),
        {"a": 33.3, "n": 33.3, "m": 33.3},
    ),
    "and never falls back": (
        table(rolling_out(NEW, phase="replacing", weight=50, step=2), *THREE, routing(NEW, "n")),
        {"a": 16.7, "b": 16.7, "c": 16.7, "n": 50.0},
    ),
    "all old ones are down: the canary serves": (
        table(rolling_out(NEW, weight=5), routing(OLD, "a", "unhealthy"), routing(NEW, "n")),
        {"n": 100.0},
    ),
    "it is rolled back: what is left counts as it is": (
        table(rolling_out(OLD, "rolling", "returning"), *THREE, routing(NEW, "n", stopping_since=1.0)),
        {"a": 33.3, "b": 33.3, "c": 33.3},
    ),
    "without a rollout by ratio": (
        table(OLD, routing(OLD, "a", traffic_ratio=3.0), routing(OLD, "b")),
        {"a": 75.0, "b": 25.0},
    ),
}


@pytest.mark.parametrize("name", SHARES)
def test_shares(name: str) -> None:
    route, expected = SHARES[name]
    assert shares(route) == expected


LEAVING = routing(OLD, "a", stopping_since=1.0)
STATES = {
    "swapped during a rollout: requests wait": (rolling_out(NEW, "rolling", "replacing"), LEAVING, "holding"),
    "the same without a rollout": (OLD, LEAVING, "no_healthy_routing"),
    "nothing is wanted": (
        replace(rolling_out(NEW, "rolling", "replacing"), override_desired=0),
        LEAVING,
        "service_stopped",
    ),
    "it is being removed": (replace(rolling_out(NEW), removing=True), LEAVING, "service_destroying"),
    "HEALTHY on the side that gets nothing": (rolling_out(NEW), routing(NEW, "n", side="green"), "holding"),
    "HEALTHY on the side that serves": (
        replace(rolling_out(NEW), side="green"),
        routing(NEW, "n", side="green"),
        "serving",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_states(name: str) -> None:
    of, one, expected = STATES[name]
    assert table(of, one).state == expected


def test_what_is_drawn_again_and_again_is_what_is_drawn_once() -> None:
    """Of a service or a routing that changed nothing old is left; of one that is the same nothing is lost."""
    ill = replace(THREE[0], probe=replace(THREE[0].probe, healthy=False, unhealthy_since=1.0))
    other = service("other")
    worlds = (
        world(OLD, other, routings=THREE),
        world(OLD, other, routings=(ill, *THREE[1:])),
        world(rolling_out(NEW, weight=5), other, routings=(*THREE, routing(NEW, "n"))),
        world(other),
        world(OLD, other, routings=THREE),
    )
    drawing = Drawing()
    assert [drawing.of(one) for one in worlds] == [routes(one) for one in worlds]
