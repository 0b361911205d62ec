"""`apply(operation) -> Outcome`: one operation on runtime and gateway, its errors turned into outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestrator.actions import ActionFailed
from orchestrator.core.errors import OrchestratorError, Unavailable
from orchestrator.core.ports import Clock, EventSink, Gateway, Runtime
from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Failure, Reservation, Routing
from orchestrator.executor.launch import Launch, Launcher
from orchestrator.executor.outcomes import Created, Ended, Fetched, Outcome, Recorded, Started, StartFailed
from orchestrator.executor.pulls import Pulls

EVENTS = {"image": "routing.image", "create": "routing.created", "start": "routing.started"}
"""Step of a launch to the kind of its event; actions have kinds of their own."""


class Executor:
    def __init__(self, runtime: Runtime, gateway: Gateway, launcher: Launcher, clock: Clock, emit: EventSink) -> None:
        self._runtime = runtime
        self._gateway = gateway
        self._launcher = launcher
        self._clock = clock
        self._emit = emit
        self.pulls = Pulls(clock, emit)

    async def start(self, routing: Routing, spec: ServiceSpec, report: Callable[[Created], None]) -> Outcome:
        """Launch it. `report` hears of the created container before its actions run."""

        async def step(name: str, cause: str, detail: Mapping[str, object]) -> None:
            if name == "create":
                report(Created(routing.id, self._clock.now()))
            await self._emit(EVENTS.get(name, name), routing.service, routing.id, cause, detail)

        assert routing.reservation is not None
        launch = Launch(routing.id, routing.service, spec.routing, routing.reservation, spec.stop_grace)
        try:
            launched = await self._launcher.launch(launch, step, self.pulls.of(routing))
        except OrchestratorError as error:
            return StartFailed(routing.id, await self._failure(routing, spec, error))
        finally:
            self.pulls.over(routing)
        return Started(routing.id, self._clock.now(), launched.image, launched.files)

    async def fetch(self, routing: Routing, spec: ServiceSpec) -> Outcome:
        """Make present what its start will need: the image, and the secrets."""
        launch = Launch(routing.id, routing.service, spec.routing, Reservation(), spec.stop_grace)
        try:
            await self._launcher.fetch(launch, self.pulls.of(routing))
        except OrchestratorError as error:
            return StartFailed(routing.id, await self._failure(routing, spec, error))
        finally:
            self.pulls.over(routing)
        return Fetched(routing.id, self._clock.now())

    async def fail(self, routing: Routing, spec: ServiceSpec) -> Outcome:
        """Read the end of its log, then remove it. Requests that are still open get the rest of its grace first."""
        tail = await self._launcher.log_tail(routing.id, spec.routing)
        await self.end(routing, spec.stop_grace if _runs(routing) and routing.started_at else 0.0)
        return Recorded(routing.id, tail)

    async def end(self, routing: Routing, grace: float) -> Outcome:
        """Stop within `grace` seconds and remove. What the engine refuses is seen, and tried again, at a later look.
        Requests that still try to reach a dead container are left to the gateway: it brings them elsewhere."""
        try:
            if grace <= 0 and _runs(routing):
                await self._gateway.close_sessions(routing.id)
        except OrchestratorError as error:
            await self._emit("gateway.failed", routing.service, routing.id, error.message, {"code": error.code})
        await self.remove(routing.id, grace, routing.service)
        return Ended(routing.id)

    async def remove(self, unit: str, grace: float, service: str = "") -> None:
        try:
            await self._runtime.stop(unit, grace)
            await self._runtime.remove(unit)
        except OrchestratorError as error:
            await self._emit("routing.stop_failed", service, unit, error.message, {"code": error.code})

    async def _failure(self, routing: Routing, spec: ServiceSpec, error: OrchestratorError) -> Failure:
        if isinstance(error, ActionFailed):
            return error.failure(self._clock.now())
        unavailable = isinstance(error, Unavailable) and error.code != "image_unreachable"
        return Failure(
            code="engine_unavailable" if unavailable else error.code,
            message=self._launcher.masked(spec.routing, error.message),
            at=self._clock.now(),
            hint=error.hint,
            log_tail=() if unavailable else await self._launcher.log_tail(routing.id, spec.routing),
            counts=not unavailable,
        )


def _runs(routing: Routing) -> bool:
    return routing.observed is not None and routing.observed.state in ("running", "paused")
