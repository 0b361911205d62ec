"""A gateway without a data path: it decides as HAProxy does (the same contract tests) and forwards nothing."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from uuid import uuid4

from orchestrator.auth import SigningKey, verify
from orchestrator.core.errors import NotAuthorised, Unavailable
from orchestrator.core.ports import Published, TakeRecords
from orchestrator.core.records import FORM, Field
from orchestrator.core.routes import Route, RouteTable, Traffic
from orchestrator.gateway.admission import Granted, admit, weights
from orchestrator.settings import GatewaySettings

HELD = (503, "holding")
RECORDS = 10_000
"""Records that are kept."""
_FORBIDDEN = ("token_other_service", "token_scope")
_AUTHORIZATION = re.compile(r"(?:bearer|backendai) +(\S+)", re.IGNORECASE)


class MemoryGateway:
    """`ask` says what a client would get at once, `answer` what it gets after waiting where it has to; `opened` and
    `counted` are what tests pretend is open on a routing, and was answered by it."""

    def __init__(
        self,
        keys: Callable[[], Sequence[SigningKey]] = tuple,
        wall: Callable[[], float] = time.time,
        settings: GatewaySettings | None = None,
    ) -> None:
        self._keys = keys
        self._wall = wall
        self._settings = settings or GatewaySettings()
        self._news = asyncio.Event()
        """Set, and another put in its place, when something was published."""
        self._waiting: Counter[str] = Counter()
        self._routes: tuple[Route, ...] = ()
        self._turns: Counter[str] = Counter()
        self._take: TakeRecords | None = None
        self._token = ""
        """Id of the one that the request had which is decided now."""
        self.running = False
        self.revoked: frozenset[str] = frozenset()
        self._kept: deque[bytes] = deque(maxlen=RECORDS)
        self.opened: Counter[str] = Counter()
        self.counted: dict[str, Traffic] = {}
        self.published: list[RouteTable] = []
        """Every table that was given, in order."""

    async def start(self) -> None:
        self.running = True

    async def publish(self, table: RouteTable) -> Published:
        self._require()
        ports = {r.port: r.service for r in self._routes if r.port is not None}
        hosts = {r.host: r.service for r in self._routes if r.host is not None}
        self._routes, problems = admit(table, {}, Granted(ports, hosts))
        self.published.append(table)
        self._news.set()
        self._news = asyncio.Event()
        return Published(problems, reloaded=False)

    async def revoke(self, tokens: Mapping[str, float]) -> None:
        self.revoked = frozenset(tokens)

    async def close_sessions_of_token(self, token: str) -> int:  # noqa: ARG002
        self._require()
        return 0

    async def token_uses(self) -> Mapping[str, float]:
        return {}

    async def sessions(self) -> Mapping[str, int]:
        self._require()
        return dict(self.opened)

    async def traffic(self) -> Mapping[str, Mapping[str, Traffic]]:
        self._require()
        return {"memory": dict(self.counted)}

    async def waiting(self) -> Mapping[str, int]:
        self._require()
        return {service.lower(): count for service, count in self._waiting.items()}

    async def records(self, take: TakeRecords) -> None:
        await asyncio.to_thread(take, "memory", tuple(self._kept), True)
        self._take = take
        try:
            await asyncio.Event().wait()
        finally:
            self._take = None

    def recorded(self, line: bytes) -> None:
        """As if this request had ended."""
        self._kept.append(line)
        if self._take is not None:
            self._take("memory", (line,), False)

    async def exporter(self) -> bytes:
        return b""

    async def close_sessions(self, routing: str) -> None:
        self._require()
        del self.opened[routing]

    async def check(self) -> Mapping[str, str]:
        self._require()
        return {"version": "memory"}

    async def stop(self) -> None:
        self.running = False

    async def close(self) -> None:
        """Nothing is held."""

    def _require(self) -> None:
        if not self.running:
            raise Unavailable("cannot reach the gateway: it does not run")

    async def answer(
        self, path: str, headers: Mapping[str, str] | None = None, *, host: str = "gateway", method: str = "GET"
    ) -> tuple[int, str]:
        """As `ask`, once the service holds no more."""
        found = self.ask(path, headers, host=host, method=method)
        if found != HELD:
            return found
        route = self._route(path, host)
        if route is None or self._waiting[route.service] >= self._settings.hold_requests:
            return 503, "hold_full"
        self._waiting[route.service] += 1
        try:
            async with asyncio.timeout(self._settings.hold_seconds):
                while (found := self.ask(path, headers, host=host, method=method)) == HELD:
                    await self._news.wait()
        except TimeoutError:
            return 503, "hold_timeout"
        finally:
            self._waiting[route.service] -= 1
        return found

    def ask(
        self, path: str, headers: Mapping[str, str] | None = None, *, host: str = "gateway", method: str = "GET"
    ) -> tuple[int, str]:
        """Status and the routing that would answer, or the error's code; `HELD` where it would wait."""
        status, said = found = self._decide(path, headers, host, method)
        if found != HELD and path.partition("?")[0] != "/-/healthy":
            route = self._route(path, host)
            self.recorded(self._record(path, method, status, said, route.service if route else ""))
        return found

    def _record(self, path: str, method: str, status: int, said: str, service: str) -> bytes:
        told: dict[Field, object] = dict.fromkeys(Field, 0)
        told |= {Field.FORM: FORM.decode(), Field.AT: round(self._wall() * 1000), Field.REQUEST: uuid4()}
        told |= {Field.SERVICE: service.lower() or "-", Field.ROUTING: said if status == 200 else "-"}
        told |= {Field.METHOD: method, Field.PATH: path.partition("?")[0], Field.STATUS: status, Field.END: "--"}
        told |= {Field.TOKEN: self._token or "-", Field.CLIENT: "127.0.0.1"}
        told |= dict.fromkeys((Field.HELD, Field.STREAM, Field.TRACE), "-")
        return "\t".join(str(told[field]) for field in Field).encode()

    def _decide(self, path: str, headers: Mapping[str, str] | None, host: str, method: str) -> tuple[int, str]:
        self._token = ""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        route = self._route(path, host)
        if route is None:
            return (200, "") if path.partition("?")[0] == "/-/healthy" else (404, "service_unknown")
        preflight = method == "OPTIONS" and "access-control-request-method" in given
        if not (route.open_to_public or preflight) and (code := self._refusal(given.get("authorization"), route)):
            return (403 if code in _FORBIDDEN else 401), code
        if route.state != "serving":
            return 503, route.state
        servers = [server for server in route.servers if server.side == route.side]
        able = [routing for routing, weight in weights(servers)[1].items() if weight]
        if not able:
            return 503, "no_healthy_routing"
        self._turns[route.service] += 1
        chosen = able[self._turns[route.service] % len(able)]
        before = self.counted.get(chosen, Traffic())
        self.counted[chosen] = replace(before, requests=before.requests + 1)
        return 200, chosen

    def _route(self, path: str, host: str) -> Route | None:
        own = next((r for r in self._routes if r.host == host.lower().partition(":")[0]), None)
        if own is not None:
            return own
        parts = path.partition("?")[0].split("/")
        if len(parts) < 3 or parts[:2] != ["", "inference"]:
            return None
        return next((r for r in self._routes if r.service == parts[2].lower()), None)

    def _refusal(self, authorization: str | None, route: Route) -> str:
        if authorization is None:
            return "token_missing"
        found = _AUTHORIZATION.fullmatch(authorization)
        if found is None:
            return "token_malformed"
        try:
            known = verify(found[1], self._keys(), service=route.service, now=self._wall(), revoked=self.revoked)
        except NotAuthorised as error:
            return error.code
        self._token = known.id
        return ""
