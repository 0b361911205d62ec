"""Prometheus metrics of the control side. The data path's own come from the gateway's exporter."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from orchestrator.core.state import RoutingStatus, ServiceStatus

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


class Metrics:
    """One registry; counted by the loop as it goes, the gauges set when they are read."""

    def __init__(self, version: str) -> None:
        self._registry = CollectorRegistry()
        info = Gauge("orchestrator_build_info", "Version", ["version"], registry=self._registry)
        info.labels(version).set(1)
        self._services = Gauge("orchestrator_services", "Services", ["status"], registry=self._registry)
        self._routings = Gauge("orchestrator_routings", "Routings", ["status"], registry=self._registry)
        self._looks = Histogram(
            "orchestrator_reconcile_seconds", "One look of the loop", buckets=_SECONDS, registry=self._registry
        )
        self._operations = Counter(
            "orchestrator_operations", "Operations carried out", ["operation", "result"], registry=self._registry
        )
        self._failures = Counter("orchestrator_observe_failures", "Failed observations", registry=self._registry)

    def looked(self, seconds: float) -> None:
        self._looks.observe(seconds)

    def applied(self, operation: str, result: str) -> None:
        """`operation`: its class name; `result`: ok or the failure's code."""
        self._operations.labels(operation, result).inc()

    def observe_failed(self) -> None:
        self._failures.inc()

    def render(self, services: Iterable[ServiceStatus], routings: Iterable[RoutingStatus]) -> bytes:
        """Prometheus text with one gauge for every status, also those that nothing has."""
        _count(self._services, ServiceStatus, services)
        _count(self._routings, RoutingStatus, routings)
        return generate_latest(self._registry)


def _count(gauge: Gauge, kinds: Iterable[str], seen: Iterable[str]) -> None:
    counts = dict.fromkeys(kinds, 0)
    for status in seen:
        counts[status] += 1
    for status, count in counts.items():
        gauge.labels(str(status)).set(count)
