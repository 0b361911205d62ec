"""What a simulated course does to one service, in words and in order. Pure; part of `core.preview`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestrator.core.operations import (
    Accept,
    Advance,
    Drain,
    Fail,
    ForgetService,
    Operation,
    RollBack,
    StartRouting,
    Switch,
    Wait,
)
from orchestrator.core.simulation import MADE_UP, Moment
from orchestrator.core.state import Rollout, Service, World
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
        before: World | None = None
        for moment in moments:
            if moment.promoted == self.service.id:
                self.lines.append(f"wait for `orchestrator promote {self.service.name}`")
            elif moment.operation is not None and before is not None:
                line = self._line(moment.operation, before, moment.world)
                self.lines += [line] if line else []
            before = moment.world
        return tuple(self.lines)

    def _line(self, operation: Operation, before: World, after: World) -> str:
        match operation:
            case StartRouting(service=ident, revision=revision) if ident == self.service.id:
                return self._start(revision, after)
            case Wait(service=ident, revision=revision, cause=cause) if ident == self.service.id:
                return self._wait(revision, cause)
            case Drain(routing=ident, cause=cause) if self._is_mine(ident, before):
                return f"drain and end {self._name(ident, before)}: {cause}"
            case Fail(routing=ident, cause=cause) if self._is_mine(ident, before):
                return f"give up {self._name(ident, before)}: {cause}"
            case Advance(service=ident, rollout=rollout, cause=cause) if ident == self.service.id:
                return self._advance(rollout, cause)
            case Switch(service=ident, side=side) if ident == self.service.id:
                number = self._number(after.services[ident].revision)
                return f"switch all requests at once to revision {number} ({side})"
            case RollBack(service=ident, cause=cause) if ident == self.service.id:
                return f"roll back: {cause}"
            case Accept(service=ident) if ident == self.service.id:
                return f"revision {self._number(before.services[ident].revision)} counts as good"
            case ForgetService(service=ident) if ident == self.service.id:
                return "forget the service"
            case _:
                return ""

    def _start(self, revision: str, after: World) -> str:
        number = self._number(revision)
        there = sum(
            is_live(r) for r in after.routings.values() if self._is_mine(r.id, after) and r.revision == revision
        )
        wanted = max(there, after.services[self.service.id].desired)
        return f"start routing {there} of {wanted} on revision {number}"

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

    def _is_mine(self, ident: str, world: World) -> bool:
        return ident in world.routings and world.routings[ident].service_id == self.service.id

    def _name(self, ident: str, world: World) -> str:
        routing = world.routings[ident]
        number = self._number(routing.revision)
        if routing.reservation is None:
            return f"the routing of revision {number} that waits"
        is_new = ident.startswith(MADE_UP)
        return f"a routing of revision {number}" if is_new else f"routing {ident} of revision {number}"
