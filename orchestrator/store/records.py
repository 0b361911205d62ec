"""What the store answers with, besides the facts of `core.state`."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.spec import ServiceSpec
from orchestrator.core.state import Removed, Routing, Service


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that planning starts from. Of routings only the stored facts are set."""

    services: tuple[Service, ...]
    routings: tuple[Routing, ...]
    removed: tuple[Removed, ...]


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a service. `hash` is that of its routing spec; `spec` holds its hot part as last wanted."""

    number: int
    hash: str
    cause: str
    at: float
    """Wall seconds."""
    spec: ServiceSpec
