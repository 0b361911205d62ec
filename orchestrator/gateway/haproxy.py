"""HAProxy behind the Gateway Protocol: what is wanted is written down, then brought to the running process.

The files come first, so that a HAProxy that dies in between starts with the truth; what a worker has is asked, never
remembered, so that the next publish repairs whatever was cut off. One change at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from orchestrator.auth import Certificate, SigningKey, private
from orchestrator.core.errors import Unavailable
from orchestrator.core.ports import Published, TakeRecords
from orchestrator.core.routes import Route, RouteTable, Traffic
from orchestrator.gateway import listening, process, runtime, starting
from orchestrator.gateway.admission import Granted, admit
from orchestrator.gateway.binary import binary
from orchestrator.gateway.counting import Counting
from orchestrator.gateway.exporter import exported
from orchestrator.gateway.files import files
from orchestrator.gateway.master import Down, Master, Processes, Unasked
from orchestrator.gateway.records import RecordReader
from orchestrator.gateway.render import (
    MAPS,
    USE_EXPIRY,
    Contents,
    Structure,
    contents,
    render,
    structure,
)
from orchestrator.settings import GatewaySettings, address, own_hosts

LOG = structlog.get_logger(__name__)
START_LIMIT = 5.0
"""Seconds from its launch to its first answer."""
Keys = Callable[[], Sequence[SigningKey]]


class HAProxyGateway:
    """`settings.managed` False: the process belongs to a unit of its own; here it is only told what to serve.
    `certificate` None: plain http; another one than before is a reload, which ends no connection.
    `tracing`: share of the requests that begin a trace; 0: none."""

    def __init__(
        self,
        settings: GatewaySettings,
        state_dir: Path,
        keys: Keys,
        certificate: Certificate | None = None,
        *,
        tracing: float = 0.0,
    ) -> None:
        self._settings = settings
        self._state_dir = state_dir
        self._keys = keys
        self._certificate = certificate
        self._files = files(state_dir)
        self._master = Master(self._files.master)
        self._counting = Counting(self._master, self._files.onward)
        self._records = RecordReader(self._files.records, self._master, settings.records_buffer)
        self._tracing = tracing
        self._one = asyncio.Lock()
        self._failed: tuple[str, str] = ("", "")
        """Digest of a structure that could not be loaded, and why: it is not tried again unchanged."""
        self._uses: dict[str, float] = {}
        """Last uses as seen before reloads: a worker takes its own to the grave."""
        self._kept_down: Unavailable | None = None
        """Why the last start failed: what is to be said for as long as it does not run."""

    # --- the process ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Adopt the one that runs, or start it with all that was published last."""
        async with self._one:
            if await self._answers():
                await self._renew()
                return
            self._failed = ("", "")
            try:
                if self._settings.managed:
                    files(self._state_dir)  # made again where something cleaned them away
                    given = (self._settings, self._files, self._secrets(), self._certificate)
                    await asyncio.to_thread(starting.launch, *given)
                await self._await_answer()
            except Unavailable as error:
                self._kept_down = error
                raise
            LOG.info("gateway.started", listen=self._settings.listen)

    async def _renew(self) -> None:
        """The binary that the next reload or start executes is the one of this version."""
        try:
            await asyncio.to_thread(binary, self._settings.haproxy, self._files.folder)
        except Unavailable as error:
            LOG.warning("gateway.not_renewed", cause=error.message, hint=error.hint)

    async def _await_answer(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not await self._answers():
            if time.monotonic() > deadline:
                hint = "see `orchestrator doctor`" if self._settings.managed else "start the gateway's own unit"
                raise Unavailable(f"cannot reach the gateway: no answer within {START_LIMIT:g} s", hint=hint)
            await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            return (await self._master.processes()).worker is not None
        except Unasked:  # it may serve as ever: who takes it for dead ends it
            raise
        except Unavailable:
            return False

    async def check(self) -> Mapping[str, str]:
        try:
            found = await self._processes()
        except Unavailable:  # nobody listens on the socket while it is reloaded
            async with self._one:
                found = await self._processes()
        return {
            "listen": self._settings.listen,
            "version": found.version,
            "pid": str(found.master),
            "worker": str(found.worker),
            "old_workers": str(len(found.old)),
            "reloads": str(found.reloads),
        }

    async def stop(self) -> None:
        if not self._settings.managed:
            return
        async with self._one:
            self._counting.close()
            await asyncio.to_thread(process.end, self._files)
            self._files.drop_sockets()

    async def close(self) -> None:
        """Every question is a connection of its own: only workers that were kept are let go."""
        self._counting.close()

    # --- what is served ---------------------------------------------------------------------------------------------

    async def publish(self, table: RouteTable) -> Published:
        async with self._one:
            found = await self._processes()
            host, port = address(self._settings.listen)
            hosts = dict.fromkeys(own_hosts(self._settings), "the gateway")
            routes, problems = admit(table, {port: "the gateway"}, await self._granted(found), hosts)
            routes, refused = await self._grant(host, routes, found)
            names = {route.service.lower(): route.service for route in table.routes}
            name = await asyncio.to_thread(self._files.write_certificate, self._certificate)
            wanted = structure(routes, self._settings, self._secrets(), self._files.told, name, self._tracing)
            reloaded = await self._bring(wanted, contents(routes), found)
            return Published(problems | {names[name]: why for name, why in refused.items()}, reloaded)

    def _secrets(self) -> list[str]:
        return [key.secret for key in self._keys()]

    async def _processes(self) -> Processes:
        try:
            found = await self._master.processes()
        except Down:
            if self._kept_down is not None:
                raise self._kept_down from None
            raise
        self._kept_down = None
        if found.worker is None:
            raise Unavailable("cannot reach the gateway: it has no worker")
        return found

    async def _granted(self, found: Processes) -> Granted:
        """Asked of the worker: it outlives the daemon."""
        ports = await self._map(found.workers[0], "ports")
        hosts = await self._map(found.workers[0], "hosts")
        return Granted({int(port): name for port, name in ports.items() if port.isdecimal()}, hosts)

    async def _grant(
        self, host: str, routes: Sequence[Route], found: Processes
    ) -> tuple[tuple[Route, ...], dict[str, str]]:
        """The routes without the ports that something else listens on."""
        ports = [route.port for route in routes if route.port is not None]
        if not ports:
            return tuple(routes), {}
        ours = {found.master, *found.workers}
        taken = await asyncio.to_thread(listening.refused, host, ports, ours)
        kept = tuple(_without_port(route) if route.port in taken else route for route in routes)
        return kept, {
            r.service: f"cannot listen on port {r.port}: {taken[r.port]}" for r in routes if r.port in taken and r.port
        }

    async def _bring(self, wanted: Structure, inside: Contents, found: Processes) -> bool:
        """Whether it took a reload."""
        worker = found.workers[0]
        same = _description(await self._master.ask(worker, "show info")) == wanted.digest
        try:
            await (self._write(wanted, inside) if same else self._reload(wanted, inside, worker))
        except Unavailable:
            await self._apply(worker, inside)  # what needs neither disk nor reload is served in any case
            raise
        if same:
            await self._apply(worker, inside)
        return not same

    async def _write(self, wanted: Structure, inside: Contents) -> None:
        await asyncio.to_thread(lambda: self._put(render(wanted, inside.members), inside.maps))

    def _put(self, text: str, entries: Mapping[str, Mapping[str, str]]) -> None:
        for name, mapped in entries.items():
            self._files.write_map(name, mapped)
        self._files.write_config(text)

    async def _reload(self, wanted: Structure, inside: Contents, worker: int) -> None:
        if self._failed[0] == wanted.digest:
            raise _not_loaded(self._failed[1])
        text = await asyncio.to_thread(render, wanted, inside.members)
        with suppress(Unavailable):
            await self.token_uses()
        before = await asyncio.to_thread(self._exchange, text, inside.maps)
        self._failed = (wanted.digest, "it was not done within the time limit")
        await self._counting.keep(worker)
        if why := await self._master.reload():
            self._failed = (wanted.digest, why)
            self._counting.release(worker)
            await asyncio.to_thread(self._files.write_config, before)
            raise _not_loaded(why)
        self._failed = ("", "")
        await asyncio.to_thread(self._files.drop_certificates, wanted.certificate)
        self._records.renew()
        LOG.info("gateway.reloaded", services=len(inside.maps["state"]))

    def _exchange(self, text: str, entries: Mapping[str, Mapping[str, str]]) -> str:
        """Put the new configuration in place once HAProxy has read it; the one before."""
        before = self._files.read_config()
        private.replace(self._files.candidate, text)
        self._files.complete()
        process.check(binary(self._settings.haproxy, self._files.folder), self._files, self._files.candidate)
        self._put(text, entries)
        self._files.candidate.unlink(missing_ok=True)
        return before

    async def _apply(self, worker: int, inside: Contents) -> None:
        """Bring a worker to these contents, as far as its structure has them."""
        for _ in range(2):
            left = await self._missing(worker, inside)
            if not left:
                return
            await self._master.tell(worker, left)
        if left := [line for line in await self._missing(worker, inside) if not line.startswith("del server ")]:
            raise Unavailable(f"cannot bring the gateway to what is wanted: it refused `{left[0]}`")

    async def _missing(self, worker: int, inside: Contents) -> list[str]:
        running = runtime.servers(await self._master.ask(worker, "show servers state"))
        shown = {name: await self._master.ask(worker, f"show map {MAPS}/{name}.map") for name in inside.maps}
        known = {name: runtime.entries(answer) for name, answer in shown.items() if runtime.knows_map(answer)}
        backends = {line.strip() for line in (await self._master.ask(worker, "show backend")).splitlines()}
        wanted = {key: member for key, member in inside.members.items() if key[0] in backends}
        return runtime.commands(running, wanted, known, inside.maps)

    async def _map(self, worker: int, name: str) -> dict[str, str]:
        return runtime.entries(await self._master.ask(worker, f"show map {MAPS}/{name}.map"))

    # --- tokens -----------------------------------------------------------------------------------------------------

    async def revoke(self, tokens: Mapping[str, float]) -> None:
        """In the file and in the worker when this returns. A HAProxy that is down reads the file when it starts, and a
        worker that is being replaced decides nothing."""
        entries = {token: "yes" for token in tokens if runtime.is_token(token)}
        async with self._one:
            await asyncio.to_thread(self._files.write_map, "revoked", entries)
            try:
                worker = (await self._master.processes()).worker
            except Down:
                return
            if worker is not None:
                known = await self._map(worker, "revoked")
                await self._master.tell(worker, runtime.remap("revoked", known, entries))

    async def close_sessions_of_token(self, token: str) -> int:
        tables = await self._master.ask_all("show table gateway")
        shown = await self._master.ask_all("show sess")
        closed = 0
        for worker in tables.keys() & shown.keys():
            used = runtime.uses(tables[worker])
            marks = {f"src={use.client}" for use in used if use.token == token and use.running}
            closed += await self._end(worker, shown[worker], marks)
        return closed

    async def _end(self, worker: int, shown: str, marks: set[str]) -> int:
        """By stream, whose id is that of the next one as soon as it has ended by itself."""
        found = runtime.streams(shown, marks)
        await self._master.tell(worker, [f"shutdown session {stream}" for stream in found])
        return len(found)

    async def token_uses(self) -> Mapping[str, float]:
        """Token id to its last use (wall seconds), of those used in the last ten minutes."""
        now = time.time()
        last = {token: at for token, at in self._uses.items() if at > now - USE_EXPIRY}
        for answer in (await self._master.ask_all("show table gateway")).values():
            for use in runtime.uses(answer):
                last[use.token] = max(last.get(use.token, 0.0), now - use.age)
        self._uses = last
        return dict(last)

    # --- sessions ---------------------------------------------------------------------------------------------------

    async def sessions(self) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for answer in (await self._master.ask_all(runtime.STATISTICS)).values():
            found.update(runtime.open_on(answer))
        return found

    async def traffic(self) -> Mapping[str, Mapping[str, Traffic]]:
        return await self._counting.read()

    # --- what is measured -------------------------------------------------------------------------------------------

    async def waiting(self) -> Mapping[str, int]:
        found: Counter[str] = Counter()
        for answer in (await self._master.ask_all("show held")).values():
            found.update(runtime.held(answer))
        return found

    async def records(self, take: TakeRecords) -> None:
        await self._records.run(take)

    async def exporter(self) -> bytes:
        return await exported(self._files.metrics)

    async def close_sessions(self, routing: str) -> None:
        """By server, so that no other's can be meant. A worker that is being replaced takes no commands on those."""
        current = (await self._master.processes()).worker
        for worker, shown in (await self._master.ask_all("show sess")).items():
            if worker == current:
                names = runtime.asked(shown, routing)
                await self._master.tell(worker, [f"shutdown sessions server {name}" for name in names])
            else:
                await self._end(worker, shown, {f"srv={routing}"})


def _without_port(route: Route) -> Route:
    return replace(route, port=None)


def _description(answer: str) -> str:
    line = next((line for line in answer.splitlines() if line.startswith("description: ")), "")
    return line.removeprefix("description: ").strip()


def _not_loaded(why: str) -> Unavailable:
    return Unavailable(
        f"cannot load the gateway's new configuration: {why}",
        hint="what was served before goes on; it is tried again when something changes",
    )
