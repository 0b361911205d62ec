"""What the API says of requests: rates, series, usage, access entries, metrics; and the level of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import aiohttp

from orchestrator.api.metrics import Scraped, ServiceFacts
from orchestrator.app import logging
from orchestrator.app.parts import Parts
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.exposition import merged
from orchestrator.core.state import Routing, RoutingStatus, Service
from orchestrator.core.status import is_shown, routing_status, service_status
from orchestrator.core.traffic_views import (
    AccessEntry,
    LogLevel,
    LogLevelView,
    SeriesView,
    TopView,
    UsageView,
)
from orchestrator.records.entries import entry
from orchestrator.scheduler.facts import Facts

SCRAPE_LIMIT = 2.0
"""Seconds for a routing's own metrics."""
SCRAPED_MOST = 2 << 20
"""Bytes of them."""
SCRAPED_AT_ONCE = 32


class Observing:
    """The part of `api.control.Control` that measures. Nothing of it changes a fact."""

    _parts: Parts
    _facts: Facts

    async def top(self) -> Sequence[TopView]:
        return await self._parts.sampler.top()

    async def series(self, service: str | None, window: float) -> SeriesView:
        name = self._facts.find(service).name if service else ""
        return self._parts.sampler.series(name, window)

    async def usage(self, service: str | None, token: str | None, days: int) -> Sequence[UsageView]:
        await self._parts.accounting.flush()
        since = (datetime.now(UTC).date() - timedelta(days=days - 1)).isoformat()
        return await self._parts.store.usage(since=since, service=service or "", token=token or "")

    async def access(self, ref: str, *, tail: int, follow: bool) -> AsyncIterator[AccessEntry]:
        service, recorder = self._facts.find(ref).name, self._parts.recorder
        queue = recorder.follow(service) if follow else None
        try:
            written = await asyncio.to_thread(recorder.files.tail, service.lower(), tail)
            for line in written:
                if found := entry(line):
                    yield found
            had = set(written[-1000:])  # one that was written between the two was told to both
            while queue is not None:
                line = (await queue.get()).rstrip(b"\n")
                if line not in had and (found := entry(line)):
                    yield found
        finally:
            if queue is not None:
                recorder.leave(queue)

    async def log_level(self) -> LogLevelView:
        return LogLevelView(level=logging.level())

    async def set_log_level(self, level: LogLevel) -> LogLevelView:
        before = logging.level()
        logging.set_level(level)
        await self._parts.journal.emit("log.level", "", "", f"from {before} to {level}", {"level": level})
        return LogLevelView(level=level)

    # --- metrics ----------------------------------------------------------------------------------------------------

    async def metrics(self) -> bytes:
        parts = self._parts
        await parts.sampler.read()
        own = await asyncio.to_thread(parts.metrics.render, self._scraped())  # 0.5 s with 1,000 services
        return b"".join([own, await self._of_gateway(), await self._of_routings()])

    def _scraped(self) -> Scraped:
        parts, by_service = self._parts, self._facts.by_service()
        reading = parts.sampler.last
        services = [self._service_facts(s, by_service.get(s.id, [])) for s in self._facts.services.values()]
        names = {r.id: r.service for r in self._facts.routings.values()}
        usage = reading.usage if reading is not None else {}
        return Scraped(
            services=services,
            broken=len(self._facts.broken),
            routings=self._routing_statuses(),
            totals=parts.recorder.totals(),
            usage={(names[id], id): taken for id, taken in usage.items() if id in names},
            tokens=parts.accounting.names if parts.settings.metrics.tokens else None,
            dropped=parts.recorder.files.dropped,
            gateway_up=not parts.loop.seen.gateway_error,
            traces_lost=parts.traces.lost if parts.traces is not None else 0,
        )

    def _service_facts(self, service: Service, routings: list[Routing]) -> ServiceFacts:
        reading, key = self._parts.sampler.last, service.name.lower()
        healthy = sum(routing_status(r) is RoutingStatus.HEALTHY for r in routings)
        return ServiceFacts(
            service.name,
            service_status(service, routings),
            service.desired,
            healthy,
            reading.open.get(key, 0) if reading is not None else 0,
            reading.waiting.get(key, 0) if reading is not None else 0,
        )

    def _routing_statuses(self) -> list[RoutingStatus]:
        """Of those that `ps` shows."""
        of = self._facts.services
        shown = [r for r in self._facts.routings.values() if r.service_id in of and is_shown(r, of[r.service_id])]
        return [routing_status(r) for r in shown]

    async def _of_gateway(self) -> bytes:
        if not self._parts.settings.metrics.gateway:
            return b""
        try:
            return await self._parts.gateway.exporter()
        except OrchestratorError:
            return b""  # `orchestrator_gateway_up` says it

    async def _of_routings(self) -> bytes:
        """Those of the HEALTHY ones, as far as they answer in time."""
        settings = self._parts.settings.metrics
        if not settings.routings:
            return b""
        turn = asyncio.Semaphore(SCRAPED_AT_ONCE)
        timeout = aiohttp.ClientTimeout(total=SCRAPE_LIMIT)
        async with aiohttp.ClientSession(timeout=timeout, auto_decompress=True) as session:

            async def scrape(routing: Routing) -> tuple[dict[str, str], str]:
                labels, seen = {"service": routing.service, "routing": routing.id}, routing.observed
                if seen is None or routing_status(routing) is not RoutingStatus.HEALTHY:
                    return labels, ""
                host = f"[{seen.host}]" if ":" in seen.host else seen.host
                url = f"http://{host}:{seen.port}{settings.routings_path}"
                try:
                    async with turn, session.get(url, allow_redirects=False) as answer:
                        data = await _body(answer) if answer.status == 200 else b""
                except (aiohttp.ClientError, OSError, ValueError):
                    return labels, ""
                return labels, data.decode("utf-8", "replace")

            found = await asyncio.gather(*map(scrape, self._facts.routings.values()))
        return (await asyncio.to_thread(merged, found)).encode()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    data = b""
    while len(data) < SCRAPED_MOST and (more := await answer.content.read(SCRAPED_MOST - len(data))):
        data += more
    return data
