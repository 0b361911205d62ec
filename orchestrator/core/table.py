"""The route table, derived from the world: which service is served by which routings, or why by none."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.core.routes import Route, RouteState, RouteTable, Server
from orchestrator.core.state import Routing, RoutingStatus, Service, ServiceStatus, World
from orchestrator.core.status import is_up, routing_status, service_status

STATES: dict[ServiceStatus, RouteState] = {
    ServiceStatus.INVALID: "service_invalid",
    ServiceStatus.STOPPED: "service_stopped",
    ServiceStatus.DESTROYING: "service_destroying",
}


def routes(world: World) -> RouteTable:
    """Equal worlds give equal tables: in order of service name, servers in order of routing id."""
    return Drawing().of(world)


class Drawing:
    """`routes` of one world after another: what a service has is drawn anew only where something of it changed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Service, Sequence[Routing], Route]] = {}
        """By id of the service: what its route was made of, and the route."""

    def of(self, world: World) -> RouteTable:
        by_service: dict[str, list[Routing]] = {}
        for routing in world.routings.values():
            by_service.setdefault(routing.service_id, []).append(routing)
        drawn = {s.id: self._drawn(s, by_service.get(s.id, [])) for s in world.services.values()}
        self._known = drawn
        names = {s.name.lower() for s in world.services.values()}
        broken = [Route(name, "service_invalid") for name in world.broken if name.lower() not in names]
        known = [route for _, _, route in drawn.values()]
        return RouteTable(tuple(sorted([*known, *broken], key=lambda r: r.service.lower())))

    def _drawn(self, service: Service, routings: Sequence[Routing]) -> tuple[Service, Sequence[Routing], Route]:
        """Facts are values that are replaced, never changed: the same ones are compared at once."""
        known = self._known.get(service.id)
        if known is not None and known[0] == service and known[1] == routings:
            return known
        return service, routings, route(service, routings)


def route(service: Service, routings: Sequence[Routing]) -> Route:
    """`routings`: all of the service."""
    weights = _weights(service, routings)
    servers = tuple(
        s for r in sorted(routings, key=lambda r: r.id) if (s := _server(r, weights.get(r.id, 0.0))) is not None
    )
    spec = service.spec
    return Route(
        service=service.name,
        state=_state(service, routings, servers),
        open_to_public=spec.open_to_public,
        servers=servers,
        retry=spec.retry,
        port=spec.endpoint.port,
        host=spec.endpoint.host,
        side=service.side,
        two_sided=spec.update.strategy == "blue_green",
        weighted=spec.update.strategy == "canary",
    )


def is_holding(service: Service, routings: Sequence[Routing]) -> bool:
    """Nothing serves for a moment of a rollout: the gateway lets requests wait."""
    return service.rollout is not None and route(service, routings).state == "holding"


def _state(service: Service, routings: Sequence[Routing], servers: Sequence[Server]) -> RouteState:
    """While a rollout is under way a moment in which nothing serves passes: requests wait for its end."""
    if any(not s.draining and s.side == service.side for s in servers):
        return "serving"
    if service.rollout is not None and service.desired and not service.removing:
        return "holding"
    return STATES.get(service_status(service, routings), "no_healthy_routing")


def _weights(service: Service, routings: Sequence[Routing]) -> dict[str, float]:
    """Routing id to its share of the requests against the others: its own ratio, within the share of its revision
    while a canary is judged."""
    ratios = {r.id: r.traffic_ratio for r in routings}
    share = _canary_share(service, routings)
    if share is None:
        return ratios
    serving = [r for r in routings if routing_status(r) is RoutingStatus.HEALTHY]
    for mine, part in ((True, share), (False, 1 - share)):
        group = [r for r in serving if (r.revision == service.revision) is mine]
        total = sum(r.traffic_ratio for r in group)
        ratios |= {r.id: part * r.traffic_ratio / total if total else 0.0 for r in group}
    return ratios


def _canary_share(service: Service, routings: Sequence[Routing]) -> float | None:
    """The new revision's part of the requests, 0 to 1; None: it is not weighted. After its last step the part grows
    with the number of new routings, and never falls back."""
    rollout = service.rollout
    if rollout is None or rollout.strategy != "canary":
        return None
    serving = [r for r in routings if routing_status(r) is RoutingStatus.HEALTHY]
    new = sum(r.revision == service.revision for r in serving)
    if not new or new == len(serving):
        return None
    weight = rollout.weight / 100
    return weight if rollout.step < len(service.spec.update.steps) else max(weight, new / len(serving))


def _server(routing: Routing, weight: float) -> Server | None:
    """HEALTHY ones get requests; one that drains keeps those it has, also when it was never HEALTHY."""
    if routing.observed is None or not routing.observed.port:
        return None
    draining = routing.stopping_since is not None and routing.probe.passed_once and is_up(routing)
    if not draining and routing_status(routing) is not RoutingStatus.HEALTHY:
        return None
    host, port = routing.observed.host, routing.observed.port
    return Server(routing.id, host, port, weight, draining, routing.side)
