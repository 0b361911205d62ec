"""What became of an operation: facts for the next look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.core.state import Failure


@dataclass(frozen=True, slots=True)
class Created:
    """The container exists; `at` in steady seconds."""

    routing: str
    at: float


@dataclass(frozen=True, slots=True)
class Started:
    """The pre-start actions are done and the start command runs. `image`: digest or id of what it was created from;
    `files`: path to the text that its actions wrote there, without secrets."""

    routing: str
    at: float
    image: str = ""
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The image of a routing that waits is present."""

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


Outcome = Created | Started | Fetched | StartFailed | Recorded | Ended
