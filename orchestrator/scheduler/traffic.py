"""What routings answered, over all workers of the gateway: a reload brings new counters, and loses none."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.core.routes import Traffic


class TrafficCounts:
    """Remembers the last reading of each worker, so that one that is gone still counts."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, Traffic]] = {}
        """Name of a worker to routing id to its counters as last read."""
        self._ended: dict[str, Traffic] = {}
        """Routing id to what workers counted whose names came up anew, with smaller counters."""

    def add(self, seen: Mapping[str, Mapping[str, Traffic]]) -> Mapping[str, Traffic]:
        """Totals by routing, this reading included. `seen`: what `Gateway.traffic` answered."""
        for worker, counters in seen.items():
            known = self._seen.setdefault(worker, {})
            for routing, now in counters.items():
                before = known.get(routing, Traffic())
                if now.requests < before.requests or now.errors < before.errors:
                    self._ended[routing] = _sum((self._ended.get(routing, Traffic()), before))
                known[routing] = now
        return self._totals()

    def keep(self, routings: Collection[str]) -> None:
        """Forget all other routings."""
        self._seen = {w: {r: t for r, t in known.items() if r in routings} for w, known in self._seen.items()}
        self._seen = {worker: known for worker, known in self._seen.items() if known}
        self._ended = {r: t for r, t in self._ended.items() if r in routings}

    def _totals(self) -> dict[str, Traffic]:
        parts: dict[str, list[Traffic]] = {r: [t] for r, t in self._ended.items()}
        for known in self._seen.values():
            for routing, counted in known.items():
                parts.setdefault(routing, []).append(counted)
        return {routing: _sum(tuple(counted)) for routing, counted in parts.items()}


def _sum(parts: tuple[Traffic, ...]) -> Traffic:
    requests = sum(p.requests for p in parts)
    seconds = sum(p.requests * p.latency for p in parts)
    return Traffic(requests, sum(p.errors for p in parts), seconds / requests if requests else 0.0)
