"""What the store answers with, besides the facts of `core.state`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Removed, Routing, Service


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that planning starts from. Of routings only the stored facts are set."""

    services: tuple[Service, ...]
    routings: tuple[Routing, ...]
    removed: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a service, without its texts: immutable, but that `image` is set once and `outcome` when it is
    known. `hash` is that of `routing`. Times in wall seconds."""

    number: int
    hash: str
    cause: str
    at: float
    routing: RoutingSpec
    by: str = ""
    """Who asked for it; empty: not known."""
    outcome: str = ""
    """`good`, or `rolled back: …`; empty: neither yet."""
    outcome_at: float | None = None
    image: str = ""
    """Digest or id of the image that its first routing ran; empty: none has started, or the runtime has no images."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of revision `number`, at wall time `at`."""

    number: int
    told: str
    at: float


@dataclass(frozen=True, slots=True)
class Texts:
    """What one revision was read from and what it wrote."""

    definition: Mapping[str, str]
    """Name of the definition's file, and of the one beside it, to its text; empty: not known."""
    files: Mapping[str, str] | None
    """Path to the text that pre-start actions of its first routing wrote there; None: none has started."""
