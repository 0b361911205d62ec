"""What the planner asks for: a closed union. The executor carries each out and reports; it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.routes import Side
from orchestrator.core.state import Failure, Observed, Reservation, Rollout


@dataclass(frozen=True, slots=True)
class StartRouting:
    """Start a new routing, or the waiting one `routing`, with the slots reserved for it."""

    service: str
    """Id of the service."""
    revision: str
    reservation: Reservation
    cause: str
    routing: str = ""
    """Id of a routing that waited for capacity; empty: a new one."""
    side: Side = "blue"

    def __str__(self) -> str:
        return f"start {self.service} {self.revision} {self.routing}".rstrip() + f" ({self.cause})"


@dataclass(frozen=True, slots=True)
class Wait:
    """Record that a routing is wanted for which there is no room (again: with another cause)."""

    service: str
    revision: str
    cause: str
    routing: str = ""
    side: Side = "blue"

    def __str__(self) -> str:
        return f"wait {self.service} {self.revision} {self.routing}".rstrip() + f" ({self.cause})"


@dataclass(frozen=True, slots=True)
class Fetch:
    """Make the image of a routing that waits present, before others give way to it."""

    routing: str
    cause: str

    def __str__(self) -> str:
        return f"fetch {self.routing} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Drain:
    """Take it out of rotation; it is stopped once no request is open on it or its grace is over."""

    routing: str
    cause: str

    def __str__(self) -> str:
        return f"drain {self.routing} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Stop:
    """SIGTERM, SIGKILL after `grace` seconds, then remove its container."""

    routing: str
    grace: float
    cause: str

    def __str__(self) -> str:
        return f"stop {self.routing} within {self.grace:g} s ({self.cause})"


@dataclass(frozen=True, slots=True)
class Fail:
    """Record the failure with the tail of its log, then remove its container."""

    routing: str
    failure: Failure
    cause: str

    def __str__(self) -> str:
        return f"fail {self.routing} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Forget:
    """Nothing of it is left on the runtime: delete its record."""

    routing: str
    cause: str

    def __str__(self) -> str:
        return f"forget {self.routing} ({self.cause})"


@dataclass(frozen=True, slots=True)
class ForgetService:
    """A service that is removed and has no routings left."""

    service: str
    cause: str

    def __str__(self) -> str:
        return f"forget service {self.service} ({self.cause})"


@dataclass(frozen=True, slots=True)
class RemoveOrphan:
    """A container of ours that no record claims."""

    observed: Observed
    cause: str

    def __str__(self) -> str:
        return f"remove orphan {self.observed.routing} ({self.cause})"


@dataclass(frozen=True, slots=True)
class ResetAttempts:
    """Ten minutes of HEALTHY: the failed attempts are forgiven."""

    service: str
    cause: str

    def __str__(self) -> str:
        return f"reset attempts {self.service} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Advance:
    """The rollout of a service begins, or comes one phase or step further; None: it ends without a verdict."""

    service: str
    rollout: Rollout | None
    cause: str

    def __str__(self) -> str:
        return f"advance {self.service} to {self.rollout.phase if self.rollout else 'no rollout'} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Switch:
    """Blue-green: all requests go to the other side, at one instant; `rollout` as it is afterwards."""

    service: str
    side: Side
    rollout: Rollout
    cause: str

    def __str__(self) -> str:
        return f"switch {self.service} to {self.side} ({self.cause})"


@dataclass(frozen=True, slots=True)
class RollBack:
    """The rollout failed for `cause`: the last good revision is wanted again, and the failed one is not tried by
    itself."""

    service: str
    cause: str

    def __str__(self) -> str:
        return f"roll back {self.service} ({self.cause})"


@dataclass(frozen=True, slots=True)
class Accept:
    """The revision reached the end of its rollout: it is the good one now."""

    service: str
    cause: str

    def __str__(self) -> str:
        return f"accept {self.service} ({self.cause})"


Operation = (
    StartRouting
    | Wait
    | Fetch
    | Drain
    | Stop
    | Fail
    | Forget
    | ForgetService
    | RemoveOrphan
    | ResetAttempts
    | Advance
    | Switch
    | RollBack
    | Accept
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Operations in order, and when to look again at the latest (None: nothing is due by itself)."""

    operations: tuple[Operation, ...] = ()
    wake_at: float | None = None

    def __str__(self) -> str:
        lines = [str(o) for o in self.operations] or ["nothing to do"]
        return "\n".join(lines) + (f"\nlook again at {self.wake_at:g}" if self.wake_at is not None else "")
