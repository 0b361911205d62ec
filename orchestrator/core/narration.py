"""What a simulated course does to one service, in words and in order. Pure; part of `core.preview`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.balance import PREPARED_FIRST
from orchestrator.core.operations import (
    Accept,
    Advance,
    Drain,
    Fail,
    Fetch,
    ForgetService,
    RollBack,
    StartRouting,
    Switch,
    Wait,
)
from orchestrator.core.simulation import MADE_UP, Moment
from orchestrator.core.state import Rollout, Routing, Service
from orchestrator.core.status import is_live


@dataclass(slots=True)
class Narration:
    """`numbers`: revision hash to number."""

    service: Service
    numbers: Mapping[str, int]
    lines: list[str] = field(default_factory=list)
    _waited: set[str] = field(default_factory=set)
    _told: Rollout | None = None

    def tell(self, moments: Iterable[Moment]) -> tuple[str, ...]:
        """`moments`: of the service."""
        for moment in moments:
            if line := self._line(moment):
                self.lines.append(line)
        return tuple(self.lines)

    def _line(self, moment: Moment) -> str:
        match moment.operation:
            case None:
                return f"wait for `orchestrator promote {self.service.name}`" if moment.promoted else ""
            case StartRouting(revision=revision):
                return self._start(revision, moment)
            case Wait(revision=revision, cause=cause):
                return self._wait(revision, cause) if cause != PREPARED_FIRST else ""
            case Fetch():
                assert moment.routing is not None
                return f"prepare revision {self._number(moment.routing.revision)}: its image and secrets"
            case Drain(cause=cause):
                return f"drain and end {self._name(moment.routing)}: {cause}"
            case Fail(cause=cause):
                return f"give up {self._name(moment.routing)}: {cause}"
            case Advance(rollout=rollout, cause=cause):
                return self._advance(rollout, cause)
            case Switch(rollout=rollout, side=side):
                stays = self._stays(rollout)
                return f"switch all requests at once to revision {self._number(rollout.revision)} ({side}){stays}"
            case RollBack(cause=cause):
                return f"roll back: {cause}"
            case Accept():
                assert moment.service is not None
                return f"revision {self._number(moment.service.revision)} counts as good"
            case ForgetService():
                return "forget the service"
            case _:
                return ""

    def _stays(self, rollout: Rollout) -> str:
        bake = self.service.spec.update.bake
        return f"; the other side stays for {bake:g} s" if bake and rollout.phase == "baking" else ""

    def _start(self, revision: str, moment: Moment) -> str:
        started = [r for r in moment.routings.values() if is_live(r) and r.reservation is not None]
        there = sum(r.revision == revision for r in started)
        wanted = max(there, self.service.desired)
        return f"start routing {there} of {wanted} on revision {self._number(revision)}"

    def _wait(self, revision: str, cause: str) -> str:
        """The same lack is told once."""
        line = f"wait with a routing of revision {self._number(revision)}: {cause}"
        if line in self._waited:
            return ""
        self._waited.add(line)
        return line

    def _advance(self, rollout: Rollout | None, cause: str) -> str:
        known, self._told = self._told, rollout
        if rollout is None:
            return f"end the rollout: {cause}"
        number, update = self._number(rollout.revision), self.service.spec.update
        same = known is not None and (known.phase, known.step, known.weight) == (
            rollout.phase,
            rollout.step,
            rollout.weight,
        )
        if same:
            return ""
        match rollout.phase:
            case "replacing":
                return f"begin to replace by revision {number}, {rollout.strategy}" if known is None else ""
            case "ready":
                after = update.promote_after
                return f"both revisions are HEALTHY: switch after {after:g} s" if after is not None else ""
            case "judging":
                share = f"{rollout.weight} % of the requests"
                return f"judge revision {number} with {share} for {update.pause:g} s at least"
            case "baking":
                return f"watch revision {number}, which serves alone, for {update.bake:g} s"
            case "returning":
                return f"return to revision {number}: {cause}"

    def _number(self, revision: str) -> str:
        return str(self.numbers.get(revision, revision))

    def _name(self, routing: Routing | None) -> str:
        assert routing is not None
        number = self._number(routing.revision)
        if routing.reservation is None:
            return f"the routing of revision {number} that waits"
        is_new = routing.id.startswith(MADE_UP)
        return f"a routing of revision {number}" if is_new else f"routing {routing.id} of revision {number}"
