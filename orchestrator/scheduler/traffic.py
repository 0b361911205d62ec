"""Counts of routings that outlive the gateway's workers, made of what `Gateway.traffic` says. Rollouts are judged by
them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from orchestrator.core.routes import Traffic

GONE = 32
"""Workers that are gone whose readings are kept apart, should one only have been overlooked."""


class TrafficCounts:
    """A reload brings a worker whose counters begin at 0. What others have counted is kept, and added to it."""

    def __init__(self) -> None:
        self._last: dict[str, dict[str, Traffic]] = {}
        """Worker to routing to its last reading; those seen last come last."""
        self._ended: dict[str, Traffic] = {}
        """Routing to what workers counted that will not be seen again."""

    def add(self, seen: Mapping[str, Mapping[str, Traffic]]) -> Mapping[str, Traffic]:
        """One reading (`Gateway.traffic`); the totals by routing, over all workers there ever were."""
        for worker, counts in seen.items():
            last = self._last.pop(worker, {})
            if _began_anew(last, counts):
                self._end(last)
                last = {}
            self._last[worker] = last | {routing: _grown(last.get(routing), now) for routing, now in counts.items()}
        for worker in list(self._last)[: -GONE - len(seen)]:
            self._end(self._last.pop(worker))
        return self._totals()

    def forget(self, routings: Collection[str]) -> None:
        """Keep the counts of these only: those that exist."""
        for counts in (self._ended, *self._last.values()):
            for gone in counts.keys() - set(routings):
                del counts[gone]

    def _end(self, counts: Mapping[str, Traffic]) -> None:
        for routing, count in counts.items():
            self._ended[routing] = _sum(self._ended.get(routing, Traffic()), count)

    def _totals(self) -> dict[str, Traffic]:
        totals = dict(self._ended)
        for counts in self._last.values():
            for routing, count in counts.items():
                totals[routing] = _sum(totals.get(routing, Traffic()), count)
        return totals


def _began_anew(last: Mapping[str, Traffic], now: Mapping[str, Traffic]) -> bool:
    """Another process got the same id: its requests are fewer. (Errors may be a little fewer in the same process.)"""
    return any(count.requests < last[routing].requests for routing, count in now.items() if routing in last)


def _grown(last: Traffic | None, now: Traffic) -> Traffic:
    return now if last is None else Traffic(now.requests, max(last.errors, now.errors), now.latency)


def _sum(one: Traffic, other: Traffic) -> Traffic:
    requests = one.requests + other.requests
    latency = (one.latency * one.requests + other.latency * other.requests) / requests if requests else 0.0
    return Traffic(requests, one.errors + other.errors, latency)
