"""Prometheus metrics of the daemon: what the loop counts as it goes, and what is read when somebody asks.

The gateway's own (`haproxy_…`) and the routings' are put behind them by `app.observing`.
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from orchestrator.core.latency import BOUNDS
from orchestrator.core.ports import Usage
from orchestrator.core.state import RoutingStatus, ServiceStatus
from orchestrator.records import Totals

_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
_STARTS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)
_LES = (*(f"{bound / 1000:g}" for bound in BOUNDS), "+Inf")


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """One service as it is now; `open` and `queued`: requests."""

    name: str
    status: ServiceStatus
    desired: int
    healthy: int
    open: int = 0
    queued: int = 0


@dataclass(frozen=True, slots=True)
class Scraped:
    """What the metrics say besides what was counted. `totals` by the service's name in lower case, `usage` by service
    and routing. `tokens`: ids to names, None: they are not told apart. `dropped`: bytes of access entries that could
    not be written."""

    services: Sequence[ServiceFacts] = ()
    broken: int = 0
    routings: Iterable[RoutingStatus] = ()
    totals: Mapping[str, Totals] = field(default_factory=dict)
    usage: Mapping[tuple[str, str], Usage] = field(default_factory=dict)
    tokens: Mapping[str, str] | None = field(default_factory=dict)
    dropped: int = 0
    gateway_up: bool = True
    traces_lost: int = 0


class Metrics:
    """One registry; counted by the loop as it goes, the rest set when it is read."""

    def __init__(self, version: str) -> None:
        self._registry = registry = CollectorRegistry()
        self._scraped = _Scrape()
        registry.register(self._scraped)
        ProcessCollector(namespace="orchestrator", registry=registry)
        Gauge("orchestrator_build_info", "Version", ["version"], registry=registry).labels(version).set(1)
        self._looks = Histogram(
            "orchestrator_reconcile_seconds", "One look of the loop", buckets=_SECONDS, registry=registry
        )
        self._operations = Counter(
            "orchestrator_operations", "Operations carried out", ["operation", "result"], registry=registry
        )
        self._failures = Counter("orchestrator_observe_failures", "Failed observations", registry=registry)
        self._probes = Counter("orchestrator_probes", "Probes of routings", ["service", "result"], registry=registry)
        self._starts = Histogram(
            "orchestrator_start_seconds",
            "From a routing's creation to its first HEALTHY",
            ["service"],
            buckets=_STARTS,
            registry=registry,
        )

    def looked(self, seconds: float) -> None:
        self._looks.observe(seconds)

    def applied(self, operation: str, result: str) -> None:
        """`operation`: its class name; `result`: ok or the failure's code."""
        self._operations.labels(operation, result).inc()

    def observe_failed(self) -> None:
        self._failures.inc()

    def probed(self, service: str, passed: bool) -> None:
        self._probes.labels(service, "pass" if passed else "fail").inc()

    def became_healthy(self, service: str, seconds: float) -> None:
        """For the first time, so long after its creation."""
        self._starts.labels(service).observe(seconds)

    def forget(self, services: Collection[str]) -> None:
        """What is counted of other services than these goes."""
        for name in _labelled(self._starts) - set(services):
            self._starts.remove(name)
        for name in _labelled(self._probes) - set(services):
            for result in ("pass", "fail"):
                self._probes.remove(name, result)

    def render(self, scraped: Scraped) -> bytes:
        """Prometheus text with one gauge for every status, also those that nothing has."""
        self.forget([service.name for service in scraped.services])
        self._scraped.facts = scraped
        return generate_latest(self._registry)


def _labelled(metric: Counter | Histogram) -> set[str]:
    return {sample.labels["service"] for family in metric.collect() for sample in family.samples}


class _Scrape(Collector):
    def __init__(self) -> None:
        self.facts = Scraped()

    def collect(self) -> Iterator[Metric]:
        facts = self.facts
        statuses = Count(str(s.status) for s in facts.services) + Count({str(ServiceStatus.INVALID): facts.broken})
        yield _gauge("orchestrator_services", "Services", _each(ServiceStatus, statuses), "status")
        routings = Count(map(str, facts.routings))
        yield _gauge("orchestrator_routings", "Routings", _each(RoutingStatus, routings), "status")
        yield _gauge("orchestrator_gateway_up", "Whether the gateway answers", {(): float(facts.gateway_up)})
        yield from _of_services(facts.services)
        yield from _of_requests(facts)
        yield from _of_routings(facts.usage)
        lost = CounterMetricFamily("orchestrator_access_log_dropped_bytes", "Access entries that could not be written")
        lost.add_metric([], facts.dropped)
        spans = CounterMetricFamily("orchestrator_traces_lost", "Traced requests whose spans were not sent")
        spans.add_metric([], facts.traces_lost)
        yield from (lost, spans)


def _each(kinds: Iterable[str], seen: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    return {(str(kind),): seen.get(str(kind), 0) for kind in kinds}


def _gauge(name: str, said: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, said, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counter(name: str, said: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = CounterMetricFamily(name, said, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _of_services(services: Sequence[ServiceFacts]) -> Iterator[Metric]:
    status: dict[tuple[str, ...], float] = {(s.name, str(s.status)): 1.0 for s in services}
    yield _gauge("orchestrator_service_status", "1 for the status that it has", status, "service", "status")
    for what, said in (
        ("desired_routings", "Routings that are wanted"),
        ("healthy_routings", "Routings that are HEALTHY"),
        ("open_requests", "Requests that routings work on"),
        ("queued_requests", "Requests that wait in the gateway"),
    ):
        values: dict[tuple[str, ...], float] = {(s.name,): getattr(s, what.partition("_")[0]) for s in services}
        yield _gauge(f"orchestrator_service_{what}", said, values, "service")


def _of_requests(facts: Scraped) -> Iterator[Metric]:
    spelled = {s.name.lower(): s.name for s in facts.services}
    totals = {spelled.get(name, name): known for name, known in facts.totals.items()}
    requests: dict[tuple[str, ...], float] = {}
    for service, known in totals.items():
        for (status, token), count in known.statuses.items():
            key = (service, str(status), "" if facts.tokens is None else facts.tokens.get(token) or token)
            requests[key] = requests.get(key, 0) + count
    said = "Requests that have ended; code 0: no answer, service empty: there is none of that name"
    yield _counter("orchestrator_requests", said, requests, "service", "code", "token")
    for name, said, of in (
        ("orchestrator_request_bytes", "Bytes of requests", "bytes_in"),
        ("orchestrator_response_bytes", "Bytes of answers", "bytes_out"),
        ("orchestrator_streams", "Event streams and WebSockets that have ended", "streams"),
    ):
        yield _counter(name, said, {(s,): getattr(known, of) for s, known in totals.items()}, "service")
    for name, said, of in (
        ("orchestrator_request_seconds", "From a request's head to the end of its answer", "total"),
        ("orchestrator_first_byte_seconds", "From a routing's connection to the head of its answer", "first"),
    ):
        family = HistogramMetricFamily(name, said, labels=["service"])
        for service, known in totals.items():
            family.add_metric([service], _buckets(getattr(known, of)), getattr(known, f"{of}_sum"))
        yield family


def _buckets(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Cumulated, as Prometheus wants them."""
    found, sum_ = [], 0
    for le, count in zip(_LES, counts, strict=True):
        sum_ += count
        found.append((le, float(sum_)))
    return found


def _of_routings(usage: Mapping[tuple[str, str], Usage]) -> Iterator[Metric]:
    cpu: dict[tuple[str, ...], float] = {key: taken.cpu for key, taken in usage.items()}
    memory: dict[tuple[str, ...], float] = {key: taken.memory for key, taken in usage.items()}
    yield _counter("orchestrator_routing_cpu_seconds", "CPU that routings took", cpu, "service", "routing")
    yield _gauge("orchestrator_routing_memory_bytes", "Memory that routings take", memory, "service", "routing")
