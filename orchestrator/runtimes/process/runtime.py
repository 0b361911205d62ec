"""Routings as processes of this machine: for trusted definitions, laptops and hosts with no engine.

It isolates little: limits on memory and cores are not enforced, and nothing keeps a routing from reading what the
daemon's user may read. The truth is on disk and in the kernel; any daemon on the same state directory adopts it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from orchestrator.core.errors import NotFound, RuntimeFailure, Unavailable
from orchestrator.core.listening import Listener
from orchestrator.core.paths import host_paths, to_host
from orchestrator.core.port_use import uses_port
from orchestrator.core.ports import (
    Command,
    Created,
    Invocation,
    LogLine,
    PullProgress,
    RuntimeInfo,
    Unit,
    Unpacked,
    Usage,
)
from orchestrator.core.state import Observed
from orchestrator.runtimes.changes import Changes
from orchestrator.runtimes.host import host_capacity
from orchestrator.runtimes.process import files
from orchestrator.runtimes.process.environment import command_argv, environment, host_argv, unit_environ
from orchestrator.runtimes.process.execution import LocalExecution, execute
from orchestrator.runtimes.process.failures import on_disk
from orchestrator.runtimes.process.free_port import free_port, is_taken
from orchestrator.runtimes.process.logfile import LogCursor
from orchestrator.runtimes.process.processes import end_all, holder, listening, listens, members, usages
from orchestrator.runtimes.process.sandbox import LocalSandbox
from orchestrator.runtimes.process.starting import spawn
from orchestrator.runtimes.process.units import Record, UnitFolder, all_folders, folder_of, make, sweep, unmake
from orchestrator.runtimes.process.watch import Watch

_AFTER_GRACE = 6.0
"""Seconds that a supervisor has, after the grace, to end what SIGKILL must end."""
_FOLLOW = 0.2
"""Seconds between two looks into a log that is followed."""


class ProcessRuntime:
    """Folders in `state_dir`/routings, one a routing."""

    name = "process"
    exclusive_ports = True

    def __init__(self, installation: str, state_dir: Path) -> None:
        self._installation = installation
        self._routings = state_dir.absolute() / "routings"
        self._changes = Changes()
        self._watch = Watch(self._changes.tell)
        self._allocating = asyncio.Lock()

    async def info(self) -> RuntimeInfo:
        detail = {"isolation": "little: trusted definitions only", "python": sys.executable}
        return RuntimeInfo(self.name, sys.version.split()[0], await host_capacity(), detail)

    async def observe(self) -> Sequence[Observed]:
        try:
            found = await on_disk("observe the routings", self._look)
        except RuntimeFailure as error:
            raise Unavailable(error.message, hint=error.hint) from error
        for seen, supervisor in found:
            if seen.state in ("running", "paused"):
                self._watch.follow(seen.routing, supervisor)
        return [seen for seen, _ in found]

    def _look(self) -> list[tuple[Observed, Mapping[str, Any]]]:
        if not self._routings.exists():
            return []
        folders = all_folders(self._routings)
        seen = ((f.observe(self._installation), f.recorded().get("supervisor", {})) for f in folders if f.exists)
        return [(observed, supervisor) for observed, supervisor in seen if observed]

    async def events(self) -> AsyncIterator[str]:
        await self.observe()  # what runs already is watched from here on
        async for unit_id in self._changes.listen():
            yield unit_id

    async def ensure_image(self, unit: Unit, progress: Callable[[PullProgress], None]) -> str:  # noqa: ARG002
        return ""

    async def has_image(self, image: str) -> bool:  # noqa: ARG002
        return True

    async def create(self, unit: Unit) -> Created:
        _refuse_what_only_containers_grant(unit)
        folder = folder_of(self._routings, unit.id)
        await self.remove(unit.id)
        async with self._allocating:
            record = await on_disk(f"create {unit.id}", lambda: self._make(folder, unit))
        self._changes.tell(unit.id)
        return Created(record.runtime_id, record.port)

    def _make(self, folder: UnitFolder, unit: Unit) -> Record:
        self._routings.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._routings)
        spec, fixed = unit.spec, not uses_port(unit.spec)
        paths = host_paths(spec, str(folder.home))
        record = Record(
            id=unit.id,
            installation=self._installation,
            service=unit.service,
            revision=spec.revision,
            kind=unit.kind,
            runtime_id=f"process-{uuid4().hex[:12]}",
            port=spec.port if fixed else free_port(self._reserved()),
            fixed_port=fixed,
            cwd=spec.model_path,
            paths=paths,
            read_only=_read_only(unit),
            environ=unit_environ(unit),
            labels=spec.labels,
        )
        make(folder, record)
        return record

    def _reserved(self) -> set[int]:
        """Ports of all routings on this state directory, running or not."""
        ports = set()
        for folder in all_folders(self._routings):
            with suppress(OSError, ValueError):
                ports.add(folder.record().port)
        return ports

    def _holder(self, port: int) -> str:
        """Who listens there, in words, as far as it may be seen."""
        for folder in all_folders(self._routings):
            with suppress(OSError, ValueError):
                record = folder.record()
                if record.port == port and listens(members(folder.path, folder.recorded()), port):
                    return f"the routing {record.id} of {record.service}"
        return holder(port) or "something else on this machine"

    def _existing(self, unit_id: str) -> UnitFolder:
        folder = folder_of(self._routings, unit_id)
        if not folder.exists:
            raise NotFound(f"cannot find the routing {unit_id} among the local processes")
        return folder

    def sandbox(self, unit_id: str) -> LocalSandbox:
        folder = self._existing(unit_id)
        return LocalSandbox(folder, folder.record())

    async def start(self, unit_id: str, command: Command) -> None:
        folder = self._existing(unit_id)
        record = await on_disk(f"start {unit_id}", folder.record)
        if record.fixed_port and is_taken(record.port) and not await self.owns_listener(unit_id, record.port):
            who = await on_disk(f"look for who has port {record.port}", lambda: self._holder(record.port))
            raise RuntimeFailure(
                f"cannot start: port {record.port} is taken by {who}",
                hint="end what listens there, or let the start command listen on {port}",
                code="port_taken",
            )
        argv = command_argv(command)
        order = {
            "argv": await on_disk(f"start {unit_id}", lambda: host_argv(argv, folder, record)),
            "cwd": to_host(record.cwd, record.paths),
            "environ": environment(folder, record),
        }
        try:
            await on_disk(f"start {unit_id}", lambda: spawn(folder, order))
        finally:
            self._watch.follow(unit_id, folder.recorded().get("supervisor", {}))
            self._changes.tell(unit_id)

    async def stop(self, unit_id: str, grace: float) -> None:
        folder = folder_of(self._routings, unit_id)
        recorded = folder.recorded()
        ended = self._watch.follow(unit_id, recorded.get("supervisor", {}))
        if not ended.is_set():
            await on_disk(f"stop {unit_id}", lambda: _note_grace(folder, grace))
            self._watch.send(unit_id, signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace + _AFTER_GRACE):
                    await ended.wait()
        if not await on_disk(f"stop {unit_id}", lambda: end_all(folder.path, recorded)):
            hint = "a process that the kernel holds (a hung disk or device) ends only with its cause"
            raise Unavailable(f"cannot stop {unit_id}: some of its processes survive SIGKILL", hint=hint)

    async def remove(self, unit_id: str) -> None:
        folder = folder_of(self._routings, unit_id)
        if not folder.exists:
            return
        await self.stop(unit_id, 0.0)
        self._watch.release(unit_id)
        await on_disk(f"remove {unit_id}", lambda: unmake(folder))
        self._changes.tell(unit_id)

    async def execute(self, unit_id: str, invocation: Invocation) -> LocalExecution:
        folder = self._existing(unit_id)
        if folder.state() != "running":
            raise RuntimeFailure(f"cannot run a command in {unit_id}: it does not run", code="not_running")
        record = await on_disk(f"read the record of {unit_id}", folder.record)
        return await execute(folder, record, invocation)

    async def archive(self, unit_id: str, path: str) -> AsyncIterator[bytes]:
        folder = self._existing(unit_id)
        record = await on_disk(f"read the record of {unit_id}", folder.record)
        async with aclosing(files.archive(folder, record, path)) as blocks:
            async for block in blocks:
                yield block

    async def unpack(self, unit_id: str, path: str, archive: AsyncIterator[bytes], *, folder: bool) -> Unpacked:
        unit = self._existing(unit_id)
        record = await on_disk(f"read the record of {unit_id}", unit.record)
        return await files.unpack(unit, record, path, archive, whole=folder)

    async def owns_listener(self, unit_id: str, port: int) -> bool:
        folder = self._existing(unit_id)
        return await on_disk(
            f"look for the listener of {unit_id}", lambda: listens(members(folder.path, folder.recorded()), port)
        )

    async def listeners(self, unit_id: str) -> Sequence[Listener]:
        folder = self._existing(unit_id)
        return await on_disk(
            f"look for what {unit_id} listens on", lambda: listening(members(folder.path, folder.recorded()))
        )

    async def usage(self) -> Mapping[str, Usage]:
        return await on_disk("look at what the routings take", self._takes)

    def _takes(self) -> dict[str, Usage]:
        if not self._routings.exists():
            return {}
        seen = ((folder, folder.observe(self._installation)) for folder in all_folders(self._routings))
        running = {o.routing: (f.path, f.recorded()) for f, o in seen if o is not None and o.state == "running"}
        return usages(running)

    async def logs(
        self, unit_id: str, *, follow: bool = False, tail: int | None = None, since: float | None = None
    ) -> AsyncIterator[LogLine]:
        folder = self._existing(unit_id)
        doing = f"read the log of {unit_id}"
        cursor = await on_disk(doing, lambda: LogCursor(folder.path, tail))
        try:
            while True:
                last = not follow or not _may_write(folder)
                while (lines := await on_disk(doing, cursor.more)) is not None:
                    for line in lines:
                        if since is None or line.time >= since:
                            yield line
                if last:
                    return
                await asyncio.sleep(_FOLLOW)
        finally:
            cursor.close()

    async def clear(self) -> None:
        """It has nothing besides its units."""

    async def close(self) -> None:
        self._watch.close()
        self._changes.close()


def _may_write(folder: UnitFolder) -> bool:
    return folder.exists and folder.state() != "exited"


def _note_grace(folder: UnitFolder, grace: float) -> None:
    (folder.path / ".stop.new").write_text(str(grace))
    (folder.path / ".stop.new").replace(folder.path / "stop")


def _read_only(unit: Unit) -> tuple[str, ...]:
    spec = unit.spec
    folder = (spec.model_folder,) if spec.model_read_only else ()
    return (*folder, *(mount.source for mount in spec.mounts if mount.read_only))


def _refuse_what_only_containers_grant(unit: Unit) -> None:
    spec = unit.spec
    asked = {
        "user": spec.user,
        "network": spec.network,
        "devices": spec.devices,
        "capabilities": spec.capabilities,
        "cluster_size above 1": spec.cluster_size > 1,
    }
    for key, value in asked.items():
        if value:
            raise RuntimeFailure(
                f"cannot create {unit.service}: the process runtime does not grant {key}",
                hint=f"leave {key.split()[0]} out, or use the Docker runtime",
                code="unsupported",
            )
