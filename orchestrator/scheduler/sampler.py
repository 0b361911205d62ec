"""How much is asked of each service, how fast it answers and what it takes: now (`top`), and over the last hour.

Every `STEP` seconds, and at most once a second while somebody looks, a reading is made: the recorder's totals, open and
waiting requests at the gateway, CPU and memory of the routings. Two readings give rates. Nothing of this is a fact that
anything is decided by: what cannot be read is shown as unknown.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.latency import quantile
from orchestrator.core.ports import Clock, Gateway, Runtime, Usage
from orchestrator.core.state import Routing, RoutingStatus
from orchestrator.core.status import routing_status, service_status
from orchestrator.core.traffic_views import SeriesView, TopView
from orchestrator.records import Recorder, Totals
from orchestrator.records.series import STEP, Series
from orchestrator.scheduler.facts import Facts

LOG = structlog.get_logger("orchestrator")
FRESH = 1.0
"""Seconds for which a reading is not made again."""
RATE_OVER = 5.0
"""Seconds that a rate is taken over at least, once there are readings that far apart."""
KEPT = 30.0
AT_ONCE = 50
"""Services after which the loop gets its turn."""
USAGE_LIMIT = 8.0
ALL = ""
"""Name of the series of all services together."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`at` in steady seconds. `open` and `waiting` by service in lower case, `usage` by routing."""

    at: float
    totals: Mapping[str, Totals]
    open: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one service between two readings. `counts`: answers by bucket of their latency."""

    requests: float
    errors: float
    sent: float
    counts: list[int]

    def quantiles(self) -> dict[str, float | None]:
        return {name: quantile(self.counts, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}


class Sampler:
    def __init__(self, facts: Facts, gateway: Gateway, runtime: Runtime, recorder: Recorder, clock: Clock) -> None:
        self._facts = facts
        self._gateway = gateway
        self._runtime = runtime
        self._recorder = recorder
        self._clock = clock
        self._readings: deque[Reading] = deque()
        self._series: dict[str, Series] = {}
        self._one = asyncio.Lock()

    async def run(self) -> None:
        """Keeps the series. The first reading waits for what the gateway had kept meanwhile: it is no rate of now."""
        await asyncio.sleep(FRESH)
        before, due = None, self._clock.now()
        while True:
            await asyncio.sleep(max(0.0, due - self._clock.now()))
            due = max(due + STEP, self._clock.now())  # what was missed is not made up for
            try:
                now = await self.read()
                if before is not None:
                    await self._keep(before, now)
                before = now
            except Exception:  # charts are not worth a daemon
                LOG.exception("sampling.broke")

    async def read(self) -> Reading:
        """A reading that is at most `FRESH` seconds old."""
        async with self._one:
            now = self._clock.now()
            if self._readings and now - self._readings[-1].at < FRESH:
                return self._readings[-1]
            open_, waiting = await self._at_gateway()
            usage = await self._usage()
            made = Reading(self._clock.now(), self._recorder.totals(), open_, waiting, usage)
            self._readings.append(made)
            while self._readings[0].at < now - KEPT and len(self._readings) > 1:
                self._readings.popleft()
            return made

    async def _at_gateway(self) -> tuple[dict[str, int], dict[str, int]]:
        try:
            sessions = await self._gateway.sessions()
            waiting = await self._gateway.waiting()
        except OrchestratorError:
            return {}, {}
        found: Counter[str] = Counter()
        for routing, count in sessions.items():
            known = self._facts.routings.get(routing)
            if known is not None:
                found[known.service.lower()] += count
        return dict(found), dict(waiting)

    async def _usage(self) -> Mapping[str, Usage]:
        with suppress(OrchestratorError, TimeoutError):
            async with asyncio.timeout(USAGE_LIMIT):
                found = await self._runtime.usage()
                return {id: self._not_less(id, taken) for id, taken in found.items()}
        return {}

    def _not_less(self, routing: str, taken: Usage) -> Usage:
        """A process that ended may have taken its CPU time along; a counter that falls is one that began anew."""
        before = self._readings[-1].usage.get(routing) if self._readings else None
        return taken if before is None else replace(taken, cpu=max(taken.cpu, before.cpu))

    # --- what is told -----------------------------------------------------------------------------------------------

    async def top(self) -> list[TopView]:
        """All services, by name."""
        now = await self.read()
        before = next((r for r in reversed(self._readings) if now.at - r.at >= RATE_OVER), self._readings[0])
        by_service = self._facts.by_service()
        services = sorted(self._facts.services.values(), key=lambda s: s.name.lower())
        found = []
        for number, service in enumerate(services):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            routings = by_service.get(service.id, [])
            key, rates = service.name.lower(), _rates(before, now, service.name.lower())
            cpu, memory = _taken(before, now, routings)
            found.append(
                TopView(
                    service=service.name,
                    status=service_status(service, routings),
                    desired=service.desired,
                    healthy=_healthy(routings),
                    requests_per_second=round(rates.requests, 3),
                    errors_per_second=round(rates.errors, 3),
                    open=now.open.get(key, 0),
                    queued=now.waiting.get(key, 0),
                    bytes_per_second=round(rates.sent, 1),
                    cpu=cpu,
                    memory=memory,
                    **rates.quantiles(),
                )
            )
        return found

    def series(self, service: str, window: float) -> SeriesView:
        """`service`: its name; empty: all together."""
        kept = self._series.get(service.lower())
        points = kept.points(self._clock.wall() - window) if kept is not None else []
        return SeriesView(service=service, step=STEP, points=tuple(points))

    @property
    def last(self) -> Reading | None:
        return self._readings[-1] if self._readings else None

    async def _keep(self, before: Reading, now: Reading) -> None:
        """A point for every service that there is, and for all together."""
        at, by_service = self._clock.wall(), self._facts.by_service()
        names = {s.name.lower(): s for s in self._facts.services.values()}
        self._series = {name: kept for name, kept in self._series.items() if name in names or name == ALL}
        sums: dict[str, float] = dict.fromkeys(("requests", "errors", "open", "queued", "desired", "healthy"), 0.0)
        merged: list[int] = []
        takes: list[tuple[float | None, int | None]] = []
        for number, (name, service) in enumerate(names.items()):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            routings, rates = by_service.get(service.id, []), _rates(before, now, name)
            took = _taken(before, now, routings)
            values: dict[str, float | None] = {
                "requests": rates.requests,
                "errors": rates.errors,
                "open": now.open.get(name, 0),
                "queued": now.waiting.get(name, 0),
                "desired": service.desired,
                "healthy": _healthy(routings),
            }
            for key in sums:
                sums[key] += values[key] or 0.0
            takes.append(took)
            merged = [a + b for a, b in zip(merged, rates.counts, strict=True)] if merged else rates.counts
            values |= {**rates.quantiles(), "cpu": took[0], "memory": took[1]}
            self._series.setdefault(name, Series()).add(at, values)
        spent = Rates(0, 0, 0, merged)
        cpu = [one for one, _ in takes if one is not None]
        memory = [one for _, one in takes if one is not None]
        total = {"cpu": sum(cpu) if cpu else None, "memory": sum(memory) if memory else None}
        self._series.setdefault(ALL, Series()).add(at, {**sums, **spent.quantiles(), **total})


def _rates(before: Reading, now: Reading, service: str) -> Rates:
    a, b = before.totals.get(service, Totals()), now.totals.get(service, Totals())
    if b.requests < a.requests:  # it was removed in between, and another has its name
        a = Totals()
    seconds = max(now.at - before.at, 1e-3)
    if now is before:
        return Rates(0.0, 0.0, 0.0, [0] * len(b.total))
    counts = [max(0, y - x) for x, y in zip(a.total, b.total, strict=True)]
    requests, errors, sent = b.requests - a.requests, b.errors - a.errors, b.bytes_out - a.bytes_out
    return Rates(requests / seconds, errors / seconds, sent / seconds, counts)


def _taken(before: Reading, now: Reading, routings: list[Routing]) -> tuple[float | None, int | None]:
    """Cores and bytes of a service's routings; None: nothing of them could be read."""
    seen = [r for r in routings if r.id in now.usage]
    if not seen:
        return None, None
    seconds, new = now.at - before.at, Usage(0.0, 0)
    began = {r.id: before.usage.get(r.id) or (new if r.created_at >= before.at else None) for r in seen}
    spent = [max(0.0, now.usage[id].cpu - a.cpu) for id, a in began.items() if a is not None]
    cpu = round(sum(spent) / seconds, 4) if seconds > 0 and spent else None
    return cpu, sum(now.usage[r.id].memory for r in seen)


def _healthy(routings: list[Routing]) -> int:
    return sum(routing_status(r) is RoutingStatus.HEALTHY for r in routings)
