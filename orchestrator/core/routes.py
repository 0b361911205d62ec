"""The route table: which service is reached where, and by which routings. Derived; the gateway publishes it whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RouteState = Literal["serving", "no_healthy_routing", "service_stopped", "service_invalid", "service_destroying"]
"""All but `serving` answer 503 with this word as their `code`."""


@dataclass(frozen=True, slots=True)
class Server:
    """One routing that may get requests. `draining`: none that are new, running ones finish."""

    routing: str
    host: str
    port: int
    weight: float = 1.0
    draining: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    service: str
    state: RouteState
    open_to_public: bool = False
    servers: tuple[Server, ...] = ()
    retry: bool = True
    """Requests whose routing dies before the first byte go to another one."""
    port: int | None = None
    """A listening port of its own, without prefix."""
    host: str | None = None
    """A host name of its own, without prefix."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """In order of service name, so that equal worlds give equal tables."""

    routes: tuple[Route, ...] = ()
