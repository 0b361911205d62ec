"""The configuration as text: pure but for the template it reads once. `Structure` is what only a reload can change."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import jinja2

from orchestrator.auth import NEVER
from orchestrator.core.records import FORM, Field
from orchestrator.core.routes import Route, Server, Side
from orchestrator.gateway.admission import weights
from orchestrator.settings import GatewaySettings, address

MAPS = "maps"
HOLD = "hold.lua"
PREFIXES: Mapping[Side, str] = {"blue": "svc_", "green": "green_"}
"""Of names of backends. No two services' sides share one, since none is the beginning of another."""
USE_EXPIRY = 600
"""Seconds for which the last use of a token can be asked for."""
MAX_RELOADS = 30
"""Reloads that a worker with open streams outlives; more of them would cost 30 MB each."""
LONGEST_TOKEN = 8192
PATIENCE_WITH_TLS = 300.0
"""Seconds."""
SERVER_OPTIONS = "pool-purge-delay 1s"
"""Idle connections go long before a model server closes them just as the next request is on its way."""
_OWN_PORT = re.compile(r"^  bind \S*:([0-9]+)(?: ssl .*)? # own$", re.MULTILINE)
_CERTIFICATE = re.compile(r"^  bind \S+ ssl crt (\S+) ", re.MULTILINE)
RECORD: Mapping[Field, str] = {
    Field.FORM: FORM.decode(),
    Field.AT: "%[date(0,ms)]",
    Field.REQUEST: "%[var(txn.id)]",
    Field.SERVICE: "%[var(txn.known_service)]",
    Field.ROUTING: "%s",
    Field.TOKEN: "%[var(txn.jti)]",
    Field.METHOD: "%HM",
    Field.PATH: "%HPO",
    Field.STATUS: "%ST",
    Field.END: "%ts",
    Field.TOTAL: "%Ta",
    Field.HELD: "%[var(txn.held_ms)]",
    Field.QUEUE: "%Tw",
    Field.CONNECT: "%Tc",
    Field.FIRST: "%Tr",
    Field.IN: "%U",
    Field.OUT: "%B",
    Field.CLIENT: "%ci",
    Field.STREAM: "%[var(txn.stream)]",
    Field.TRACE: "%[var(txn.sampled)]",
}
"""How HAProxy writes each field of a record."""


@dataclass(frozen=True, slots=True)
class Backend:
    name: str
    balance: str
    retry: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One routing as HAProxy's server; `weight` 0: no new requests."""

    backend: str
    name: str
    address: str
    weight: int


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where it listens for itself and for the daemon: requests that old workers hand on, readers of records, and of
    its own metrics."""

    onward: str
    records: str
    metrics: str


@dataclass(frozen=True, slots=True)
class Structure:
    """Equal structures need no reload between them. `digest` names one; the running worker knows its own.
    `certificate`: its file's name; empty: plain http."""

    listen: str
    sockets: Sockets
    settings: GatewaySettings
    secrets: tuple[str, ...]
    ports: tuple[int, ...]
    backends: tuple[Backend, ...]
    certificate: str = ""
    tracing: float = 0.0
    """Share of the requests without a trace of their own that begin one; 0: no header is looked at."""

    @property
    def digest(self) -> str:
        return hashlib.sha256((repr(self) + _source() + hold_source()).encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Contents:
    """What may change between reloads: servers by backend and name, and the entries of each map."""

    members: Mapping[tuple[str, str], Member]
    maps: Mapping[str, Mapping[str, str]]


def contents(routes: Sequence[Route]) -> Contents:
    return Contents(members(routes), maps(routes))


def structure(
    routes: Sequence[Route],
    settings: GatewaySettings,
    secrets: Sequence[str],
    sockets: Sockets,
    certificate: str = "",
    tracing: float = 0.0,
) -> Structure:
    backends = tuple(_backend(route, side) for route in routes for side in _sides(route))
    ports = tuple(sorted(r.port for r in routes if r.port is not None))
    listen = bind(*address(settings.listen))
    return Structure(listen, sockets, settings, tuple(secrets), ports, backends, certificate, tracing)


def _sides(route: Route) -> tuple[Side, ...]:
    """Those it needs a backend for. One that may switch has both at all times; one that switched once and does not any
    more has both while green is in use."""
    green = route.two_sided or route.side == "green" or any(server.side == "green" for server in route.servers)
    return ("blue", "green") if green else ("blue",)


def _on(route: Route, side: Side) -> list[Server]:
    return [server for server in route.servers if server.side == side]


def _backend(route: Route, side: Side) -> Backend:
    """Least connections bring no exact shares: only where all shares are equal, and are to stay so."""
    equal = not route.weighted and weights(_on(route, side))[0]
    return Backend(PREFIXES[side] + route.service, "leastconn" if equal else "roundrobin", route.retry)


def members(routes: Sequence[Route]) -> dict[tuple[str, str], Member]:
    """By backend and name."""
    found: dict[tuple[str, str], Member] = {}
    for route in routes:
        for side in _sides(route):
            backend, weight = PREFIXES[side] + route.service, weights(_on(route, side))[1]
            for server in _on(route, side):
                at = bind(server.host, server.port)
                found[backend, server.routing] = Member(backend, server.routing, at, weight[server.routing])
    return found


def maps(routes: Sequence[Route]) -> dict[str, dict[str, str]]:
    """Name of a map to its entries; all of them change at run time, in this order."""
    return {
        "backend": {r.service: PREFIXES[r.side] + r.service for r in routes},
        "state": {r.service: r.state for r in routes},
        "public": {r.service: "yes" for r in routes if r.open_to_public},
        "ports": {str(r.port): r.service for r in routes if r.port is not None},
        "hosts": {r.host: r.service for r in routes if r.host is not None},
    }


def map_text(entries: Mapping[str, str]) -> str:
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def render(wanted: Structure, servers: Mapping[tuple[str, str], Member]) -> str:
    """The whole file. It holds the signing keys."""
    by_backend: dict[str, list[Member]] = {}
    for member in servers.values():
        by_backend.setdefault(member.backend, []).append(member)
    settings = wanted.settings
    return _template().render(
        digest=wanted.digest,
        listen=wanted.listen,
        host=wanted.listen.rsplit(":", 1)[0],
        ports=wanted.ports,
        onward=wanted.sockets.onward,
        records=wanted.sockets.records,
        metrics=wanted.sockets.metrics,
        records_buffer=settings.records_buffer,
        record="\\t".join(RECORD[field] for field in Field),
        tracing=max(1, round(wanted.tracing * 10_000)) if wanted.tracing > 0 else 0,
        secrets=wanted.secrets,
        maps=MAPS,
        scheme="https" if wanted.certificate or settings.public_url.startswith("https:") else "http",
        tls=f" ssl crt {wanted.certificate} ssl-min-ver TLSv1.2 alpn http/1.1" if wanted.certificate else "",
        connect_timeout=_ms(settings.connect_timeout),
        first_byte_timeout=_ms(settings.first_byte_timeout),
        idle_timeout=_ms(settings.idle_timeout),
        # who waits with a body half sent must not be taken for silent
        client_timeout=_ms(max(_client_timeout(wanted), settings.hold_seconds + 1)),
        hold=HOLD,
        hold_seconds=settings.hold_seconds,
        hold_requests=settings.hold_requests,
        retry_body=settings.retry_body,
        # a request is retried only if it fits one buffer whole: its body, its headers and what rewriting adds
        bufsize=settings.retry_body + 16384 + 1024,
        max_reloads=MAX_RELOADS,
        use_expiry=USE_EXPIRY,
        longest_token=LONGEST_TOKEN,
        never=NEVER,
        options=SERVER_OPTIONS,
        backends=[
            {"name": b.name, "balance": b.balance, "retry": b.retry, "servers": by_backend.get(b.name, ())}
            for b in wanted.backends
        ],
    )


def _client_timeout(wanted: Structure) -> float:
    """Seconds of silence of a client that has something to send or to read; streams without news are not meant. It
    counts for a handshake that does not come, too, and HAProxy 2.8 has no other word for that."""
    idle = wanted.settings.idle_timeout
    return min(idle, PATIENCE_WITH_TLS) if wanted.certificate else idle


def certificate_of(text: str) -> str:
    """The certificate's file that a rendered file asks for; empty: none."""
    found = _CERTIFICATE.search(text)
    return found[1] if found else ""


def own_ports(text: str) -> list[int]:
    """Ports of services that a rendered file asks for."""
    return [int(port) for port in _OWN_PORT.findall(text)]


def without_ports(text: str, ports: Sequence[int]) -> str:
    """The file without some services' ports; its digest no longer counts, so that the next publish looks again."""
    kept = _OWN_PORT.sub(lambda line: "" if int(line[1]) in ports else line[0], text)
    return re.sub(r"^  description .*$", "  description reduced", kept, count=1, flags=re.MULTILINE)


def bind(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


@cache
def hold_source() -> str:
    return resources.files(__package__).joinpath(HOLD).read_text()


@cache
def _source() -> str:
    return resources.files(__package__).joinpath("haproxy.cfg.j2").read_text()


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    return environment.from_string(_source())
