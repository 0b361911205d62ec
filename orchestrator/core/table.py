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
    by_service: dict[str, list[Routing]] = {}
    for routing in world.routings.values():
        by_service.setdefault(routing.service_id, []).append(routing)
    services = sorted(world.services.values(), key=lambda s: s.name.lower())
    known = [_route(s, by_service.get(s.id, [])) for s in services]
    names = {s.name.lower() for s in services}
    broken = [Route(name, "service_invalid") for name in world.broken if name.lower() not in names]
    return RouteTable(tuple(sorted([*known, *broken], key=lambda r: r.service.lower())))


def _route(service: Service, routings: Sequence[Routing]) -> Route:
    servers = tuple(s for r in sorted(routings, key=lambda r: r.id) if (s := _server(r)) is not None)
    serving = any(not s.draining for s in servers)
    state = "serving" if serving else STATES.get(service_status(service, routings), "no_healthy_routing")
    spec = service.spec
    return Route(
        service=service.name,
        state=state,
        open_to_public=spec.open_to_public,
        servers=servers,
        retry=spec.retry,
        port=spec.endpoint.port,
        host=spec.endpoint.host,
    )


def _server(routing: Routing) -> Server | None:
    """HEALTHY ones get requests; one that drains keeps those it has, also when it was never HEALTHY."""
    if routing.observed is None or not routing.observed.port:
        return None
    draining = routing.stopping_since is not None and routing.probe.passed_once and is_up(routing)
    if not draining and routing_status(routing) is not RoutingStatus.HEALTHY:
        return None
    host, port = routing.observed.host, routing.observed.port
    return Server(routing.id, host, port, routing.traffic_ratio, draining)
