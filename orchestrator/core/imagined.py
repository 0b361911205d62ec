"""Operations carried out on a copy of the facts, as `scheduler.work` does on the real ones. Pure; `core.simulation`
lets time pass on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from orchestrator.core import backoff
from orchestrator.core.operations import (
    Accept,
    Advance,
    Drain,
    Fail,
    Fetch,
    Forget,
    ForgetService,
    Operation,
    RemoveOrphan,
    ResetAttempts,
    RollBack,
    StartRouting,
    Stop,
    Switch,
    Wait,
)
from orchestrator.core.rollout import changed, number_after
from orchestrator.core.state import Attempts, Routing, Service, World


class Imagined:
    """`services` and `routings` are its own, so that a step costs as little as it changes; `world` shows them.

    Starts stay under way; ends, and requests on what drains, are over at once. `name_new`: gives a new routing its id.
    """

    def __init__(self, world: World, name_new: Callable[[], str]) -> None:
        self.services, self.routings = dict(world.services), dict(world.routings)
        self.world = replace(world, services=self.services, routings=self.routings)
        self._name_new = name_new

    def apply(self, operation: Operation, now: float) -> Routing | None:
        """The routing that was changed; None: it was the service, or is gone."""
        match operation:
            case StartRouting() | Wait():
                return self._start(operation, now)
            case Fetch(routing=ident):
                return self._lay(replace(self.routings[ident], fetched_at=now))
            case Drain(routing=ident, cause=cause):
                draining = replace(self.routings[ident], stopping_since=now, stop_cause=cause, busy="", sessions=0)
                return self._lay(draining)
            case Stop(routing=ident):
                return self._lay(replace(self.routings[ident], observed=None, busy=""))
            case Fail():
                return self._fail(operation)
            case Forget(routing=ident):
                del self.routings[ident]
            case ForgetService(service=ident):
                del self.services[ident]
            case ResetAttempts(service=ident):
                self.services[ident] = replace(self.services[ident], attempts=Attempts())
            case Advance() | Switch() | RollBack() | Accept():
                before = self.services[operation.service]
                after = changed(before, operation, now)
                self.services[before.id] = replace(after, revision_number=number_after(before, after))
            case RemoveOrphan(observed=observed):
                left = tuple(o for o in self.world.orphans if o != observed)
                self.world = replace(self.world, orphans=left)
            case _:
                assert_never(operation)
        return None

    def _start(self, operation: StartRouting | Wait, now: float) -> Routing:
        of = self.services[operation.service]
        one = self.routings.get(operation.routing) or self._new(of, operation, now)
        one = replace(one, cause=operation.cause)
        if isinstance(operation, StartRouting):
            one = replace(one, reservation=operation.reservation, busy="start", created_at=now)
        return self._lay(one)

    def _new(self, of: Service, operation: StartRouting | Wait, now: float) -> Routing:
        return Routing(self._name_new(), of.id, of.name, operation.revision, now, side=operation.side)

    def _fail(self, operation: Fail) -> Routing:
        one = self.routings[operation.routing]
        if operation.failure.counts:
            of = self.services[one.service_id]
            attempts = backoff.failed(of.attempts, of.revision, operation.failure.at)
            self.services[of.id] = replace(of, attempts=attempts)
        return self._lay(replace(one, failure=operation.failure, observed=None, outcome=None, busy=""))

    def _lay(self, routing: Routing) -> Routing:
        self.routings[routing.id] = routing
        return routing
