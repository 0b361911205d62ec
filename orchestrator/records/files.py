"""Access files: `<service>.log` grows, then becomes `<service>.<milliseconds>.log`, and goes by size and age.

What cannot be written is dropped and counted: a full disk must not hold up anything.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from orchestrator.records.entries import entry
from orchestrator.settings import AccessLogSettings

LOG = structlog.get_logger(__name__)
OPEN_MOST = 128
"""Files that are held open."""
PARTS = 4
"""Files that a service's share is spread over: one that goes takes a quarter with it."""
TURN_AFTER = 86400.0
"""Seconds until a file is turned though it is small: it must get old some day."""
BLOCK = 1 << 16
_KEPT = re.compile(r"(.+)\.([0-9]{13})\.log")


@dataclass(slots=True)
class _Open:
    handle: int
    size: int
    since: float


class AccessFiles:
    """`folder` is made (0700) with the first entry. May be called in any thread."""

    def __init__(self, folder: Path, settings: AccessLogSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._one = threading.RLock()
        self._turned = 0
        """Milliseconds in the latest name: each file has its own, later than those before."""
        self._failed = ""
        self.dropped = 0
        """Bytes that could not be written."""

    def append(self, service: str, lines: bytes) -> None:
        """`service`: its name in lower case. Never raises."""
        if not self._settings.enabled:
            return
        left = len(lines)
        try:
            with self._one:
                file = self._file(service)
                written = os.write(file.handle, lines)
                file.size, left = file.size + written, left - written
                if file.size > self._settings.size // PARTS or time.time() - file.since > TURN_AFTER:
                    self._turn(service)
            self._failed = ""
        except OSError as error:
            before, self._failed = self._failed, str(error)
            if before != self._failed:
                LOG.error("access_log.failed", cause=f"cannot write {self._folder}: {error.strerror or error}")
        self.dropped += left

    def _file(self, service: str) -> _Open:
        found = self._open.get(service)
        if found is None:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            path, flags = self._folder / f"{service}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            handle = os.open(path, flags | os.O_NOFOLLOW, 0o600)
            found = self._open[service] = _Open(handle, os.fstat(handle).st_size, _began(path))
            while len(self._open) > OPEN_MOST:
                os.close(self._open.popitem(last=False)[1].handle)
        self._open.move_to_end(service)
        return found

    def _turn(self, service: str) -> None:
        os.close(self._open.pop(service).handle)
        self._turned = max(self._turned + 1, int(time.time() * 1000))
        (self._folder / f"{service}.log").rename(self._folder / f"{service}.{self._turned:013d}.log")
        self.prune()

    def prune(self) -> None:
        """Remove what is too old or too much, oldest first. Never raises."""
        with suppress(OSError), self._one:
            oldest = time.time() - self._settings.age
            total, mine = 0, dict[str, int]()
            for path, service, changed, size in sorted(self._all(), key=lambda one: (one[2], one[0]), reverse=True):
                total += size
                mine[service] = mine.get(service, 0) + size
                current = path.name == f"{service}.log"
                much = total > self._settings.total or mine[service] > self._settings.size
                if changed < oldest or (much and not current):
                    total, mine[service] = total - size, mine[service] - size
                    if current and service in self._open:
                        os.close(self._open.pop(service).handle)
                    path.unlink(missing_ok=True)

    def _all(self) -> Iterator[tuple[Path, str, float, int]]:
        if not self._folder.is_dir():
            return
        for path in self._folder.glob("*.log"):
            with suppress(OSError):
                found, kept = path.stat(), _KEPT.fullmatch(path.name)
                yield path, kept[1] if kept else path.name.removesuffix(".log"), found.st_mtime, found.st_size

    def tail(self, service: str, count: int) -> list[bytes]:
        """Its last `count` lines, oldest first; what cannot be read is left out."""
        lines: list[bytes] = []
        named = [(path, kept) for path in self._folder.glob(f"{service}.*.log") if (kept := _KEPT.fullmatch(path.name))]
        older = [path for path, kept in named if kept[1] == service]
        for path in (self._folder / f"{service}.log", *sorted(older, reverse=True)):
            if len(lines) >= count:
                break
            with suppress(OSError):
                lines = _last(path, count - len(lines)) + lines
        return lines

    def close(self) -> None:
        with self._one:
            while self._open:
                os.close(self._open.popitem()[1].handle)


def _began(path: Path) -> float:
    """Wall seconds of its first entry; now, where it has none."""
    with suppress(OSError), path.open("rb") as file:
        if (first := entry(file.readline(1 << 16))) is not None:
            return first.time.timestamp()
    return time.time()


def _last(path: Path, count: int) -> list[bytes]:
    with path.open("rb") as file:
        at, data = file.seek(0, os.SEEK_END), b""
        while at > 0 and data.count(b"\n") <= count:
            step = min(at, max(BLOCK, count * 256))
            at = file.seek(at - step)
            data = file.read(step) + data
    lines = data.split(b"\n")
    whole = lines[:-1] if at == 0 else lines[1:-1]  # the first may be cut, the last is being written
    return whole[-count:] if count else []
