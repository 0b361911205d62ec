"""Probes: one task a routing, on its own schedule, reporting each result. A slow routing delays nobody else."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import structlog

from orchestrator.core.definition import HealthCheck
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.health import ProbeResult, fold, gap
from orchestrator.core.listening import misplaced
from orchestrator.core.ports import Clock, Runtime
from orchestrator.core.state import ProbeState
from orchestrator.core.symptoms import probe_symptom

LOG = structlog.get_logger("orchestrator")
CONNECT_TIMEOUT = 5.0
HANG_UP = 0.05
"""Seconds in which a proxy in front of nothing (docker-proxy) hangs up after it accepted."""
LOOK_AFTER = 3.0
"""Seconds after its start from which a routing that refuses is looked at: where does it listen instead?"""
LONGEST_LOOK = 60.0
"""Seconds from one such look to the next, at most: it takes a walk through the machine's processes."""
JITTER = 0.1
"""Part of the interval by which a probe may come early, so that routings do not probe in step."""


@dataclass(frozen=True, slots=True)
class Target:
    """What to probe: a routing whose start command runs since `started_at`."""

    routing: str
    host: str
    port: int
    check: HealthCheck | None
    started_at: float


class Prober:
    def __init__(self, runtime: Runtime, clock: Clock, report: Callable[[str, ProbeResult], None]) -> None:
        self._runtime = runtime
        self._clock = clock
        self._report = report
        self._tasks: dict[str, tuple[Target, asyncio.Task[None]]] = {}
        self._session: aiohttp.ClientSession | None = None
        self._looking = asyncio.Semaphore(1)
        self._looks: dict[str, tuple[float, str]] = {}
        """By routing: when to look again where it listens, and what was wrong with it."""

    def sync(self, targets: Mapping[str, tuple[Target, ProbeState]]) -> None:
        """Probe these from now on, and no others."""
        for routing in [r for r, (target, _) in self._tasks.items() if self._is_new(r, target, targets)]:
            self._tasks.pop(routing)[1].cancel()
        for routing, (target, state) in targets.items():
            if routing not in self._tasks and gap(state, target.check, target.started_at, 0.0) is not None:
                task = asyncio.create_task(self._probe_on(target, state), name=f"probe:{routing}")
                self._tasks[routing] = (target, task)
        self._looks = {routing: look for routing, look in self._looks.items() if routing in self._tasks}

    async def close(self) -> None:
        tasks = [task for _, task in self._tasks.values()]
        self.sync({})
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def _is_new(self, routing: str, target: Target, targets: Mapping[str, tuple[Target, ProbeState]]) -> bool:
        return routing not in targets or targets[routing][0] != target

    async def _probe_on(self, target: Target, state: ProbeState) -> None:
        """Probe until no further probe is needed."""
        while (wait := gap(state, target.check, target.started_at, self._clock.now())) is not None:
            if state.last_at is not None:
                await asyncio.sleep(wait * (1 - JITTER * random.random()))
            result = await self.probe(target, owned=not state.passed_once)
            state = fold(state, result, target.check, target.started_at)
            self._report(target.routing, result)

    async def probe(self, target: Target, *, owned: bool) -> ProbeResult:
        """One probe. `owned`: a pass counts only if the socket that listens belongs to the routing."""
        try:
            if target.check is not None:
                message = await self._fetch(target, target.check)
            else:
                message = await _connect(target.host, target.port)
            if not message and owned and not await self._runtime.owns_listener(target.routing, target.port):
                message = f"port {target.port} is held by a process that is not the routing's"
            if owned and _is_refused(message):
                message += await self._elsewhere(target)
        except OrchestratorError as error:
            message = error.message
        except Exception as error:  # its task would end, and the routing keep for ever the state that it has
            LOG.exception("probe.broke", routing=target.routing)
            message = f"cannot be probed: {type(error).__name__}: {error}"
        return ProbeResult(not message, self._clock.now(), message or "passed")

    async def _elsewhere(self, target: Target) -> str:
        """Where it listens instead, to be added to the message; empty: not known, or too early to say."""
        now = self._clock.now()
        age = now - target.started_at
        look_at, said = self._looks.get(target.routing, (target.started_at + LOOK_AFTER, ""))
        if now >= look_at:
            wrong = await self._misplaced(target)
            said = f"; {wrong}" if wrong else ""
            self._looks[target.routing] = (now + min(max(LOOK_AFTER, age), LONGEST_LOOK), said)
        return said

    async def _misplaced(self, target: Target) -> str:
        try:
            async with self._looking:
                found = await self._runtime.listeners(target.routing)
        except OrchestratorError:  # that it was refused is known all the same
            return ""
        return misplaced(found, target.host, target.port) if found is not None else ""

    async def _fetch(self, target: Target, check: HealthCheck) -> str:
        """Why the check does not pass; empty: it does. Only the status is read."""
        session = self._open()
        host = f"[{target.host}]" if ":" in target.host else target.host
        where = f"GET {check.path} on port {target.port}"
        timeout = aiohttp.ClientTimeout(total=check.max_wait_time, connect=min(CONNECT_TIMEOUT, check.max_wait_time))
        try:
            async with session.get(
                f"http://{host}:{target.port}{check.path}", timeout=timeout, allow_redirects=False
            ) as answer:
                if any(low <= answer.status <= high for low, high in check.expected_status_code):
                    return ""
                wanted = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in check.expected_status_code)
                return f"{where} answered {answer.status}, expected {wanted}"
        except TimeoutError:
            return f"{where} had no answer within {check.max_wait_time:g} s"
        except aiohttp.ClientConnectorError as error:
            return f"{where} failed: {_reason(error.os_error)}"
        except aiohttp.ClientResponseError as error:
            return f"{where} failed: its answer cannot be read: {error.message[:200]}"
        except (aiohttp.ClientError, ValueError, OSError) as error:
            return f"{where} failed: {str(error)[:200] or type(error).__name__}"

    def _open(self) -> aiohttp.ClientSession:
        """One session for all; every probe has a connection of its own, as a new client would."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"User-Agent": "orchestrator-probe"},
            )
        return self._session


def _reason(error: OSError) -> str:
    """In the system's words; asyncio has its own for a connection that fails."""
    return os.strerror(error.errno) if error.errno else str(error)


def _is_refused(message: str) -> bool:
    sight = probe_symptom(message)
    return sight is not None and sight.code == "health_refused"


async def _connect(host: str, port: int) -> str:
    """Why the port does not accept connections; empty: it does."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port)
        with suppress(TimeoutError):
            async with asyncio.timeout(HANG_UP):
                if not await reader.read(1):
                    return f"port {port} accepts and hangs up at once"
    except TimeoutError:
        return f"port {port} does not accept connections within {CONNECT_TIMEOUT:g} s"
    except OSError as error:
        return f"port {port} does not accept connections: {_reason(error)}"
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    return ""
