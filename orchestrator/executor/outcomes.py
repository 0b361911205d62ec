"""What became of an operation: facts for the next look."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.state import Failure


@dataclass(frozen=True, slots=True)
class Created:
    """The container exists; `at` in steady seconds."""

    routing: str
    at: float


@dataclass(frozen=True, slots=True)
class Started:
    """The pre-start actions are done and the start command runs."""

    routing: str
    at: float


@dataclass(frozen=True, slots=True)
class StartFailed:
    routing: str
    failure: Failure


@dataclass(frozen=True, slots=True)
class Recorded:
    """A failed routing's log was read and its container removed."""

    routing: str
    log_tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """Stopped and removed, as far as the engine let us; what is left is seen at the next look."""

    routing: str


Outcome = Created | Started | StartFailed | Recorded | Ended
