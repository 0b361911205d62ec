"""What of a route table the gateway can serve as it is; pure. The rest is told as problems, by service.

Names, hosts and ports go into a configuration file and onto a command line: nothing unexpected may pass here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import TypeVar

from orchestrator.core.naming import is_service_name
from orchestrator.core.routes import Route, RouteTable, Server

_ROUTING = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(r"(?!(?:.*\.)?[0-9]+$)[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
MAX_WEIGHT = 256
T = TypeVar("T", int, str)


@dataclass(frozen=True, slots=True)
class Granted:
    """What services have now: their own ports and host names, to lower-case service name."""

    ports: Mapping[int, str] = field(default_factory=dict)
    hosts: Mapping[str, str] = field(default_factory=dict)


def admit(
    table: RouteTable,
    taken: Mapping[int, str],
    granted: Granted = Granted(),
    taken_hosts: Mapping[str, str] = MappingProxyType({}),
) -> tuple[tuple[Route, ...], dict[str, str]]:
    """The routes with lower-case names, each without what cannot be granted; and by service name why not.

    Who asks for what it has been granted keeps it; else the first by name gets it. `taken`: ports that no service may
    have, and who has them; `taken_hosts`: host names, in lower case.
    """
    admitted: dict[str, Route] = {}
    ports = _kept(granted.ports, {(r.service.lower(), r.port) for r in table.routes}) | dict(taken)
    hosts = _kept(granted.hosts, {(r.service.lower(), (r.host or "").lower()) for r in table.routes}) | dict(
        taken_hosts
    )
    problems: dict[str, list[str]] = {}
    for route in table.routes:
        name = route.service.lower()
        if not is_service_name(name) or name in admitted:
            why = "another service has this name" if name in admitted else "it cannot stand in an address"
            problems.setdefault(route.service, []).append(f"cannot serve {route.service!r}: {why}")
            continue
        wrong = problems.setdefault(route.service, [])
        admitted[name] = replace(
            route,
            service=name,
            port=_claim(route.port, 0 < (route.port or 1) < 65536, ports, "port", name, wrong),
            host=_host(route.host, hosts, name, wrong),
            servers=_servers(route.servers, wrong),
        )
    return tuple(admitted.values()), {name: "; ".join(found) for name, found in problems.items() if found}


def _kept(granted: Mapping[T, str], asked: Set[tuple[str, object]]) -> dict[T, str]:
    return {what: f"service {name}" for what, name in granted.items() if (name, what) in asked}


def _host(host: str | None, hosts: dict[str, str], name: str, wrong: list[str]) -> str | None:
    lowered = host.lower() if host is not None else None
    return _claim(lowered, lowered is None or bool(_HOST.fullmatch(lowered)), hosts, "host", name, wrong)


def _claim(wanted: T | None, valid: bool, held: dict[T, str], what: str, name: str, wrong: list[str]) -> T | None:
    """`wanted` if it is valid and free or its own already; no longer free afterwards."""
    if wanted is None:
        return None
    if not valid:
        wrong.append(f"cannot listen on {what} {wanted}: it is no {what}")
        return None
    if (holder := held.setdefault(wanted, f"service {name}")) != f"service {name}":
        wrong.append(f"cannot listen on {what} {wanted}: {holder} has it")
        return None
    return wanted


def _servers(servers: Sequence[Server], wrong: list[str]) -> tuple[Server, ...]:
    kept: dict[str, Server] = {}
    for server in servers:
        if not _ROUTING.fullmatch(server.routing) or not 0 < server.port < 65536 or not _is_ip(server.host):
            wrong.append(f"cannot reach routing {server.routing!r} at {server.host!r} port {server.port}")
        else:
            kept[server.routing] = server
    return tuple(kept.values())


@lru_cache(8192)
def _is_ip(host: str) -> bool:
    try:
        return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False


def weights(servers: Sequence[Server]) -> tuple[bool, dict[str, int]]:
    """Whether all that get requests get equally many, and by routing whole weights that keep the ratios.

    0: no new requests. Of 1 … 256 as the largest weight the one that comes nearest to the ratios asked for is taken,
    the largest of equals: HAProxy's turns miss 3:19:19:19 by 2 %, 39:247:247:247 by 0.1 %.
    """
    asked = {s.routing: 0.0 if s.draining else max(s.weight, 0.0) for s in servers}
    positive = {routing: weight for routing, weight in asked.items() if weight > 0}
    if len(set(positive.values())) <= 1:
        return True, {routing: int(routing in positive) for routing in asked}
    top = max(positive.values())
    shares = [weight / top for weight in positive.values()]

    def error(scale: int) -> float:
        return max(abs(max(1, round(share * scale)) / (share * scale) - 1) for share in shares)

    scale = min(range(1, MAX_WEIGHT + 1), key=lambda scale: (round(error(scale), 3), -scale))
    return False, {r: max(1, round(w / top * scale)) if w > 0 else 0 for r, w in asked.items()}
