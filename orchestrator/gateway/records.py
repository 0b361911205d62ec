"""Reads what HAProxy writes down of each request (`core.records`), from every worker, in a thread of its own.

The records wait in a ring in the worker's memory; reading takes nothing out of it. The thread holds a connection to
each worker and reads what has come every `PAUSE`. The connection keeps a worker that is replaced from ending before its
last records were read; it is let go once that worker has no client any more. A daemon that begins reads the whole ring:
who takes the lines knows which ones it has had. Workers that were replaced before it began are only reached through the
master, which cannot follow a ring: theirs is read whole whenever another of their requests has ended.
"""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.ports import TakeRecords
from orchestrator.core.records import FORM
from orchestrator.gateway.master import Master

LOG = structlog.get_logger(__name__)
PAUSE = 0.05
"""Seconds between two reads: many records are cheaper together."""
RETRY = 0.5
QUIET = 0.5
"""Seconds without a word after which all that a ring had is taken to be told."""
WATCH = 1.0
"""Seconds between looks for workers that were replaced, or have no client any more."""
BATCH = 512
"""Records that are given at a time: the daemon's loop gets its turn in between."""
CHUNK = 1 << 20
FOLLOW = b"show info;show events requests -w\n"
WHOLE = "show events requests"
_PID = re.compile(rb"^Pid: (\d+)$", re.MULTILINE)
_STATE = "show stat -1 1 -1"


@dataclass(slots=True)
class _Connection:
    """To one worker, made at wall time `since` (ms). `worker` 0: it has not said yet which one it is. `backlog`: all
    that the ring had when we came; None: it was given. `heard`: steady seconds of its last word."""

    socket: socket.socket
    since: int
    worker: int = 0
    rest: bytes = b""
    backlog: list[bytes] | None = field(default_factory=list)
    heard: float = field(default_factory=time.monotonic)
    ending: bool = False
    """Its worker has no client any more: what comes now is the last."""


class RecordReader:
    """`path`: the socket on which the worker that takes connections answers; `limit`: bytes of its ring."""

    def __init__(self, path: Path, master: Master, limit: int) -> None:
        self._path = path
        self._master = master
        self._limit = limit
        self._connections: list[_Connection] = []
        self._told: list[tuple[int, list[bytes]]] = []
        """Whole rings of workers that only the master leads to, to be given next."""
        self._ended: dict[int, int] = {}
        """Requests that had ended on each of those when its ring was read."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next_try = 0.0
        self._stale = True
        """The worker that takes connections may be another than the one we read."""

    # --- on the loop ------------------------------------------------------------------------------------------------

    async def run(self, take: TakeRecords) -> None:
        """Until it is cancelled; what was read by then was given."""
        self._stop.clear()
        self._ended.clear()
        thread = threading.Thread(target=self._main, args=(take,), name="gateway records", daemon=True)
        thread.start()
        try:
            while True:
                with suppress(OrchestratorError):
                    await self._watch()
                await asyncio.sleep(WATCH)
        finally:
            self._stop.set()
            await asyncio.to_thread(thread.join, 5.0)

    def renew(self) -> None:
        """A reload was done: another worker takes connections."""
        self._stale = True

    async def _watch(self) -> None:
        found = await self._master.processes()
        with self._lock:
            read = {c.worker: c for c in self._connections}
        if found.worker is not None and found.worker not in read:
            self._stale = True
        for worker in found.old:
            clients, ended = _state(await self._master.ask(worker, _STATE))
            if worker in read:
                read[worker].ending = not clients
            elif self._ended.get(worker) != ended:  # of the time before this daemon
                lines = (await self._master.ask(worker, WHOLE)).encode().split(b"\n")
                with self._lock:
                    self._told.append((worker, [line for line in lines if line.startswith(FORM)]))
                self._ended[worker] = ended
        self._ended = {worker: ended for worker, ended in self._ended.items() if worker in found.old}

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _main(self, take: TakeRecords) -> None:
        while not self._stop.wait(PAUSE):
            try:
                self._turn(take)
            except Exception:  # nothing of this may end: requests go on being answered
                LOG.exception("records.broke")
                self._stop.wait(RETRY)
        with self._lock:
            left, self._connections = self._connections, []
        for connection in left:
            connection.socket.close()

    def _turn(self, take: TakeRecords) -> None:
        self._connect()
        with self._lock:
            told, self._told = self._told, []
        read = {connection.worker for connection in self._connections}
        for worker, lines in told:
            if worker not in read:  # else its connection gives what is newer
                take(str(worker), lines, True)
        for connection in list(self._connections):
            alive, quiet = self._read(connection, take)
            if not alive or (quiet and connection.ending):
                connection.socket.close()
                with self._lock:
                    self._connections.remove(connection)
                self._stale = self._stale or not connection.ending

    def _connect(self) -> None:
        now = time.monotonic()
        if self._stale and now >= self._next_try:
            self._next_try = now + RETRY
            self._open()

    def _open(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            made.settimeout(RETRY)
            made.connect(str(self._path))
            made.sendall(FOLLOW)
            made.setblocking(False)
        except OSError:
            made.close()
            return
        with self._lock:
            self._connections.append(_Connection(made, int(time.time() * 1000)))

    def _read(self, connection: _Connection, take: TakeRecords) -> tuple[bool, bool]:
        """Whether it goes on, and whether all that has come was given."""
        data, alive = _received(connection.socket)
        now = time.monotonic()
        connection.heard = now if data else connection.heard
        lines = (connection.rest + data).split(b"\n") if data else [connection.rest]
        connection.rest = lines.pop()
        if not connection.worker and not self._identify(connection, lines):
            return False, True
        records = [line for line in lines if line.startswith(FORM)]
        if connection.backlog is not None and connection.worker:
            connection.backlog += records
            known = sum(map(len, connection.backlog))
            told = now - connection.heard > QUIET or _at(records) > connection.since
            if told or not alive or known > self._limit:
                records, connection.backlog = connection.backlog, None
                take(str(connection.worker), records, True)
        elif records:
            _give(str(connection.worker), records, take)
        return alive, not data and connection.backlog is None

    def _identify(self, connection: _Connection, lines: list[bytes]) -> bool:
        """False: that worker is read already. The one before it still took connections."""
        found = _PID.search(b"\n".join(lines))
        if found is None:
            return True
        worker = int(found[1])
        if any(other.worker == worker for other in self._connections):
            return False
        connection.worker, self._stale = worker, False
        return True


def _at(records: list[bytes]) -> int:
    """When the last of them ended: one that ended after we came is behind all that the ring had."""
    fields = records[-1].split(b"\t", 2) if records else []
    return int(fields[1]) if len(fields) > 2 and fields[1].isdigit() else 0


def _give(worker: str, records: list[bytes], take: TakeRecords) -> None:
    for start in range(0, len(records), BATCH):
        take(worker, records[start : start + BATCH], False)
        time.sleep(0)


def _received(source: socket.socket) -> tuple[bytes, bool]:
    """What is there now, at most eight chunks of it, and whether more may come."""
    parts: list[bytes] = []
    try:
        while len(parts) < 8:
            if not (data := source.recv(CHUNK)):
                return b"".join(parts), False
            parts.append(data)
    except BlockingIOError:
        pass
    except OSError:
        return b"".join(parts), False
    return b"".join(parts), True


def _state(answer: str) -> tuple[int, int]:
    """From `show stat` of the frontends: connections of clients, and requests that have ended."""
    first, *lines = answer.lstrip().splitlines() or [""]
    heads = first.removeprefix("# ").split(",")
    rows = (dict(zip(heads, line.split(","), strict=False)) for line in lines)
    gateway = next((row for row in rows if row.get("pxname") == "gateway"), {})
    ended = sum(int(count or 0) for name, count in gateway.items() if name.startswith("hrsp_"))
    return int(gateway.get("scur") or 0), ended
