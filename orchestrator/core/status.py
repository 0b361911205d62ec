"""Statuses: always derived from facts, never stored."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.problems import is_valid
from orchestrator.core.state import Routing, RoutingStatus, Service, ServiceStatus


def routing_status(routing: Routing) -> RoutingStatus:
    if routing.failure is not None:
        return RoutingStatus.FAILED_TO_START
    if routing.stopping_since is not None:
        return RoutingStatus.TERMINATING
    if routing.probe.healthy and is_up(routing):
        return RoutingStatus.HEALTHY
    if routing.probe.passed_once or routing.probe.unhealthy_since is not None:
        return RoutingStatus.UNHEALTHY
    return RoutingStatus.PROVISIONING


def is_up(routing: Routing) -> bool:
    """It runs, as far as is known: its container is there, neither paused nor ended."""
    return routing.observed is not None and routing.observed.state == "running"


def is_shown(routing: Routing, service: Service) -> bool:
    """A failure record is shown until it is cleared; one of a routing that had been HEALTHY is history only."""
    if routing.failure is None:
        return True
    return routing.failure.at > service.cleared_at and not routing.probe.passed_once


def is_live(routing: Routing) -> bool:
    """Counts toward the desired count."""
    return routing.failure is None and routing.stopping_since is None


def service_status(service: Service, routings: Iterable[Routing]) -> ServiceStatus:
    """`routings`: all of this service, records included."""
    if service.removing:
        return ServiceStatus.DESTROYING
    mine = list(routings)
    if not is_valid(service.problems) and not any(r.failure is None for r in mine):
        return ServiceStatus.INVALID
    if service.desired == 0:
        return ServiceStatus.STOPPED
    statuses = [routing_status(r) for r in mine if is_shown(r, service)]
    healthy = statuses.count(RoutingStatus.HEALTHY)
    if healthy >= service.desired:
        return ServiceStatus.HEALTHY
    if healthy:
        return ServiceStatus.DEGRADED
    if RoutingStatus.UNHEALTHY in statuses or RoutingStatus.FAILED_TO_START in statuses:
        return ServiceStatus.UNHEALTHY
    return ServiceStatus.PROVISIONING
