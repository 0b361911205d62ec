"""Tells that a status changed. Statuses are derived, never stored; what was told last is only remembered."""

from __future__ import annotations

from orchestrator.core.state import Routing, RoutingStatus
from orchestrator.core.status import routing_status, service_status
from orchestrator.scheduler.facts import Facts
from orchestrator.scheduler.journal import Journal

UNTOLD = ""
"""In place of the status of what was there before this daemon: what was told of it is in the event log already."""


class Telling:
    def __init__(self, facts: Facts, journal: Journal) -> None:
        self._facts = facts
        self._journal = journal
        self._shown: dict[str, str] = dict.fromkeys([*facts.services, *facts.routings], UNTOLD)

    async def routings(self) -> None:
        """HEALTHY and UNHEALTHY; the other statuses are told by the operations that lead to them."""
        for routing in list(self._facts.routings.values()):
            status, seen = routing_status(routing), routing.observed
            recovers = self._shown.get(routing.id) == RoutingStatus.UNHEALTHY
            news = self._is_news(routing.id, status)
            if not news or seen is None or seen.state == "exited":
                continue  # the end of what had run is told for itself
            if status is RoutingStatus.HEALTHY:
                await self._emit("routing.healthy", routing, "passes again" if recovers else _took(routing))
            elif status is RoutingStatus.UNHEALTHY:
                paused = "its container is paused" if seen.state == "paused" else ""
                await self._emit("routing.unhealthy", routing, paused or routing.probe.last_message)

    async def services(self) -> None:
        by_service = self._facts.by_service()
        for service in self._facts.services.values():
            status = service_status(service, by_service.get(service.id, ()))
            if self._is_news(service.id, status):
                await self._journal.emit("service.status", service.name, "", status, {"desired": service.desired})
        self._shown = {i: s for i, s in self._shown.items() if i in self._facts.services or i in self._facts.routings}

    def _is_news(self, id: str, status: str) -> bool:
        before = self._shown.get(id)
        if before != UNTOLD or self._facts.observed_ok:
            self._shown[id] = status
        return before not in (status, UNTOLD)

    async def _emit(self, kind: str, routing: Routing, cause: str) -> None:
        await self._journal.emit(kind, routing.service, routing.id, cause, {})


def _took(routing: Routing) -> str:
    """How long it took from its creation to HEALTHY."""
    if routing.probe.healthy_since is None or routing.unit_created_at is None:
        return "passed"
    return f"passed {routing.probe.healthy_since - routing.unit_created_at:.2f} s after its creation"
