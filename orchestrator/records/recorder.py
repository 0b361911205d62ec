"""Takes the gateway's records: each is counted once and written once, also over restarts of the daemon.

Every daemon reads each worker's records from the beginning of its ring. A mark for each worker, the last line that was
taken, and what is not stored yet are kept in a file (`records.pending`) beside the store's own word of what it has.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from orchestrator.core.records import NONE, Field, fields
from orchestrator.records.entries import line
from orchestrator.records.files import AccessFiles
from orchestrator.records.pending import Pending, read, write
from orchestrator.records.tally import Fresh, Tally, Totals
from orchestrator.settings import AccessLogSettings

FOLLOWED_MOST = 10_000
"""Lines that wait for one follower; it loses the oldest of more."""
NAMES_MOST = 100_000
"""Names of tokens that are kept at hand."""
_SERVICE, _TOKEN = Field.SERVICE, Field.TOKEN
WORKERS_MOST = 64
"""Workers of which it is known what was had of them."""
TokenName = Callable[[str], str | None]
"""Id of a token to its name; None: not known (yet)."""


class Recorder:
    keep_rows = 500
    """More counts than this that are pending are not written with every batch: that would take all of the time."""
    keep_pause = 1e-4
    """Seconds for each of them, until they are written again: some twenty times as long as it takes."""

    def __init__(self, state_dir: Path, settings: AccessLogSettings, token_name: TokenName) -> None:
        """`token_name` is called in the gateway's thread, once for an id."""
        self._pending_file = state_dir / "records.json"
        self.files = AccessFiles(state_dir / "access", settings)
        self._enabled = settings.enabled
        self._token_name = token_name
        self._lock = threading.Lock()
        self._tally = Tally()
        self._names: dict[bytes, bytes] = {b"-": b'""'}
        self._services: dict[bytes, bytes] = {}
        """Service in lower case to its own spelling as a JSON text."""
        self._followers: dict[asyncio.Queue[bytes], tuple[str, asyncio.AbstractEventLoop]] = {}
        self._marks: dict[str, bytes] = {}
        self._keep_at = 0.0
        self._settled_marks: dict[str, str] = {}
        """Of when the last generation was made."""
        self.trace: Callable[[Sequence[list[bytes]]], None] | None = None
        """Gets records that are traced, in the gateway's thread."""

    def begin(self, generation: int, marks: Mapping[str, str]) -> None:
        """Before any record is taken. What the store says: the last generation that it has, and the marks of then."""
        left = read(self._pending_file)
        known = left.marks if left is not None and left.generation >= generation else marks
        self._marks = {worker: mark.encode("utf-8", "surrogateescape") for worker, mark in known.items()}
        self._settled_marks = dict(known)
        if left is None:
            self._tally.generation = generation
        else:  # a number that the file has not: it stays as it is for a while
            self._tally.generation = max(generation, left.generation)
            self._tally.carry(left.after(generation))

    # --- in the gateway's thread ------------------------------------------------------------------------------------

    def take(self, worker: str, lines: Sequence[bytes], whole: bool) -> None:
        """See `core.ports.TakeRecords`."""
        if not lines:
            return
        new = _after(lines, self._marks.get(worker)) if whole else lines
        records = [found for one in new if (found := fields(one))]
        with self._lock:
            self._tally.add(records)
            self._mark(worker, lines[-1])
        self._write(records)
        self._keep()
        if self.trace is not None:
            self.trace([record for record in records if record[Field.TRACE] not in NONE])

    def _mark(self, worker: str, last: bytes) -> None:
        self._marks.pop(worker, None)
        self._marks[worker] = last
        while len(self._marks) > WORKERS_MOST:
            del self._marks[next(iter(self._marks))]

    def _keep(self) -> None:
        """What the file lacks is in the ring for as long as its worker lives. Only this thread changes what the counts
        are of, so that a slow disk need not hold up the loop."""
        if time.monotonic() < self._keep_at:
            return
        with self._lock:
            tally = self._tally
            pending = Pending(tally.generation, tally.settled, tally.fresh, self._told_marks())
        write(self._pending_file, pending)
        rows = len(pending.settled) + len(pending.fresh)
        if rows > self.keep_rows:
            self._keep_at = time.monotonic() + rows * self.keep_pause

    def _told_marks(self) -> dict[str, str]:
        return {worker: mark.decode("utf-8", "surrogateescape") for worker, mark in self._marks.items()}

    def _write(self, records: Iterable[list[bytes]]) -> None:
        if not self._enabled and not self._followers:
            return
        by_service: dict[bytes, list[bytes]] = {}
        names, services = self._names, self._services
        for record in records:
            service, token = record[_SERVICE], record[_TOKEN]
            if service in NONE:
                continue
            if (known := by_service.get(service)) is None:
                known = by_service[service] = []
            name = names.get(token) or self._name(token)
            try:
                known.append(line(record, services.get(service) or self._service(service), name))
            except ValueError:  # cut off
                continue
        for service, lines in by_service.items():
            lower = service.decode("utf-8", "replace")
            self.files.append(lower, b"".join(lines))
            self._tell(lower, lines)

    def _service(self, service: bytes) -> bytes:
        return json.dumps(service.decode("utf-8", "replace")).encode()

    def _name(self, token: bytes) -> bytes:
        name = self._token_name(token.decode("utf-8", "replace"))
        found = json.dumps(name or "").encode()
        if name is not None and len(self._names) < NAMES_MOST:
            self._names[token] = found
        return found

    def _tell(self, service: str, lines: list[bytes]) -> None:
        for queue, (wanted, loop) in list(self._followers.items()):
            if wanted == service:
                with suppress(RuntimeError):  # the loop has ended
                    loop.call_soon_threadsafe(_put, queue, lines)

    # --- on the daemon's loop ---------------------------------------------------------------------------------------

    def settle(self) -> tuple[int, Fresh, dict[str, str]]:
        """What is to be stored next, by its number, and the marks of then: what came since the last time, or again what
        was not said to be `stored` yet."""
        with self._lock:
            before = self._tally.generation
            self._tally.settle()
            if self._tally.generation != before:
                self._settled_marks = self._told_marks()
            return self._tally.generation, dict(self._tally.settled), self._settled_marks

    def stored(self, generation: int) -> None:
        with self._lock:
            self._tally.stored(generation)

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
