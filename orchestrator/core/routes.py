"""The route table: which service is reached where, and by which routings. Derived; the gateway publishes it whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RouteState = Literal[
    "serving", "holding", "no_healthy_routing", "service_stopped", "service_invalid", "service_destroying"
]
"""`holding`: requests wait at the gateway (bounded in number and time) until the state is another. All but these two
answer 503 with the word as their `code`."""
Side = Literal["blue", "green"]
"""A service that is updated blue-green has two sets of routings, of which one gets all requests. Others: blue."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one routing has answered, as the gateway counted it; counters only grow, but for `latency`."""

    requests: int = 0
    errors: int = 0
    """Answers 5xx, refused or broken connections."""
    latency: float = 0.0
    """Mean seconds to the first byte, of its last requests (HAProxy: 1,024)."""


@dataclass(frozen=True, slots=True)
class Server:
    """One routing that may get requests. `draining`: none that are new, running ones finish."""

    routing: str
    host: str
    port: int
    weight: float = 1.0
    draining: bool = False
    side: Side = "blue"


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
    side: Side = "blue"
    """The side that gets the requests; a change of it takes effect for all of them at one instant."""
    two_sided: bool = False
    """Both sides are there: switching needs no reload."""
    weighted: bool = False
    """Its weights will differ: balanced so that they may change without a reload."""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """In order of service name, so that equal worlds give equal tables."""

    routes: tuple[Route, ...] = ()
