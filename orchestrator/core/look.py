"""One look of the planner at the world: what has been decided so far. Shared by the steps of `core.plan`."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.core.capacity import Ledger
from orchestrator.core.operations import Drain, Fail, Operation
from orchestrator.core.state import Failure, Routing, World

DRAIN_LOOK = 0.25
"""Seconds between looks at the requests that are still open on a draining routing."""


@dataclass(slots=True)
class Look:
    """`operations` in order; `wake_at` is the earliest time that anything asked for."""

    world: World
    now: float
    ledger: Ledger
    operations: list[Operation] = field(default_factory=list)
    wake_at: float | None = None
    failures: dict[str, Failure] = field(default_factory=dict)
    """Routing id to why this look found it failed."""

    def do(self, operation: Operation) -> None:
        self.operations.append(operation)
        if isinstance(operation, Fail):
            self.failures[operation.routing] = operation.failure

    def wake(self, at: float) -> None:
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    def drain(self, routing: Routing, cause: str) -> None:
        self.do(Drain(routing.id, cause))
        self.wake(self.now + DRAIN_LOOK)
