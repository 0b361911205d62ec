"""Takes the gateway's records: each is counted once and written once, also over restarts of the daemon.

Two marks say what was had of each worker's records, whose ring is read from its beginning by every daemon: one of what
is in the files (kept beside them), one of what is counted (kept by the store, with the counts).
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.auth import private
from orchestrator.core.errors import Unavailable
from orchestrator.core.records import NONE, Field, fields
from orchestrator.records.entries import line
from orchestrator.records.files import AccessFiles
from orchestrator.records.tally import Fresh, Tally, Totals
from orchestrator.settings import AccessLogSettings

FOLLOWED_MOST = 10_000
"""Lines that wait for one follower; it loses the oldest of more."""
WORKERS_MOST = 64
"""Workers of which it is known what was had of them."""
TokenName = Callable[[str], str | None]
"""Id of a token to its name; None: not known (yet)."""


class Recorder:
    def __init__(self, state_dir: Path, settings: AccessLogSettings, token_name: TokenName) -> None:
        """`token_name` is called in the gateway's thread, once for an id."""
        self._folder = state_dir / "access"
        self._marks_file = self._folder / "marks"
        self.files = AccessFiles(self._folder, settings)
        self._enabled = settings.enabled
        self._token_name = token_name
        self._lock = threading.Lock()
        self._tally = Tally()
        self._names: dict[bytes, bytes] = {b"-": b'""'}
        self._services: dict[bytes, bytes] = {}
        """Service in lower case to its own spelling as a JSON text."""
        self._followers: dict[asyncio.Queue[bytes], tuple[str, asyncio.AbstractEventLoop]] = {}
        self._counted: dict[str, bytes] = {}
        self._written: dict[str, bytes] = _read_marks(self._marks_file)
        self.trace: Callable[[Sequence[list[bytes]]], None] | None = None
        """Gets records that are traced, in the gateway's thread."""

    def begin(self, counted: Mapping[str, str]) -> None:
        """What the store says of a daemon before this one: see `settle`."""
        self._counted = {worker: mark.encode("utf-8", "surrogateescape") for worker, mark in counted.items()}

    # --- in the gateway's thread ------------------------------------------------------------------------------------

    def take(self, worker: str, lines: Sequence[bytes], whole: bool) -> None:
        """See `core.ports.TakeRecords`."""
        if not lines:
            return
        to_count = _after(lines, self._counted.get(worker)) if whole else lines
        to_write = _after(lines, self._written.get(worker)) if whole else lines
        records = [found for one in to_count if (found := fields(one))]
        written = records if to_write is to_count else [found for one in to_write if (found := fields(one))]
        with self._lock:
            self._tally.add(records)
            self._mark(self._counted, worker, lines[-1])
        self._write(written)
        self._mark(self._written, worker, lines[-1])
        self._keep_marks()
        if self.trace is not None:
            self.trace([record for record in records if record[Field.TRACE] not in NONE])

    def _mark(self, marks: dict[str, bytes], worker: str, last: bytes) -> None:
        marks.pop(worker, None)
        marks[worker] = last
        while len(marks) > WORKERS_MOST:
            del marks[next(iter(marks))]

    def _write(self, records: Iterable[list[bytes]]) -> None:
        if not self._enabled and not self._followers:
            return
        by_service: dict[bytes, list[bytes]] = {}
        for record in records:
            service = record[Field.SERVICE]
            if service not in NONE:
                with suppress(ValueError):  # cut off
                    told = line(record, self._service(service), self._name(record[Field.TOKEN]))
                    by_service.setdefault(service, []).append(told)
        for service, lines in by_service.items():
            name = service.decode("utf-8", "replace")
            self.files.append(name, b"".join(lines))
            self._tell(name, lines)

    def _service(self, service: bytes) -> bytes:
        return self._services.get(service) or json.dumps(service.decode("utf-8", "replace")).encode()

    def _name(self, token: bytes) -> bytes:
        found = self._names.get(token)
        if found is None:
            name = self._token_name(token.decode("utf-8", "replace"))
            found = json.dumps(name or "").encode()
            if name is not None and len(self._names) < 100_000:
                self._names[token] = found
        return found

    def _tell(self, service: str, lines: list[bytes]) -> None:
        for queue, (wanted, loop) in list(self._followers.items()):
            if wanted == service:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(_put, queue, lines)

    def _keep_marks(self) -> None:
        """Not flushed to the disk: it must outlive the daemon, not the machine, whose gateway would be gone too."""
        if not self._enabled:
            return
        with suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            data = b"".join(worker.encode() + b"\n" + mark + b"\n" for worker, mark in self._written.items())
            handle = os.open(self._marks_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.pwrite(handle, data + b"\n", 0)
                os.ftruncate(handle, len(data) + 1)
            finally:
                os.close(handle)

    # --- on the daemon's loop ---------------------------------------------------------------------------------------

    def settle(self) -> tuple[Fresh, dict[str, str]]:
        """What came since the last time, and the marks up to which it is counted then: to be stored together."""
        with self._lock:
            marks = {worker: mark.decode("utf-8", "surrogateescape") for worker, mark in self._counted.items()}
            return self._tally.settle(), marks

    def totals(self) -> dict[str, Totals]:
        with self._lock:
            return self._tally.totals()

    def know(self, services: Iterable[str]) -> None:
        """The services that there are, in their own spelling; what is of others is forgotten."""
        known = {name.lower(): name for name in services}
        self._services = {lower.encode(): json.dumps(name).encode() for lower, name in known.items()}
        with self._lock:
            self._tally.keep(known)

    def follow(self, service: str) -> asyncio.Queue[bytes]:
        """Lines of this service from now on, until `leave`."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(FOLLOWED_MOST)
        self._followers = {**self._followers, queue: (service.lower(), asyncio.get_running_loop())}
        return queue

    def leave(self, queue: asyncio.Queue[bytes]) -> None:
        self._followers = {known: about for known, about in self._followers.items() if known is not queue}

    def close(self) -> None:
        self.files.close()


def _put(queue: asyncio.Queue[bytes], lines: list[bytes]) -> None:
    for one in lines:
        if queue.full():
            queue.get_nowait()
        queue.put_nowait(one)


def _after(lines: Sequence[bytes], mark: bytes | None) -> Sequence[bytes]:
    """Those after `mark`; all where it is not among them: the ring has turned since."""
    if mark is None:
        return lines
    found = next((i for i in range(len(lines) - 1, -1, -1) if lines[i] == mark), -1)
    return lines[found + 1 :]


def _read_marks(path: Path) -> dict[str, bytes]:
    try:
        rows = (private.read(path) or "").encode().split(b"\n")
    except Unavailable:
        return {}
    return {worker.decode(): mark for worker, mark in zip(rows[::2], rows[1::2], strict=False) if mark}
