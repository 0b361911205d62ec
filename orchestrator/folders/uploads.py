"""Files that come in parts: each part is written to a hidden file beside its target, and the last byte puts it there.

The hidden file is all that is known of an upload: its name says of what and how large, its size how far. So an upload
goes on after any crash, and a file is never visible by half. Used in threads.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType

from orchestrator.core.errors import Conflict, InvalidInput, Unavailable
from orchestrator.core.model_views import TAIL, UploadView
from orchestrator.folders.pinned import (
    FILE_MODE,
    OURS,
    Pinned,
    disk_errors,
    lies_at,
    parent_of,
    pinned,
    put_in_place,
    reopened,
)
from orchestrator.folders.reading import Place

SPARED = 256 << 20
"""Bytes of a disk, or a twentieth of a small one, that no upload takes: the store may lie on the same."""
LEFT = 7 * 86400
"""Seconds after which a part that nobody went on with is removed by the next upload beside it."""


def _room(fd: int) -> int:
    """Bytes that may be put on the disk."""
    disk = os.fstatvfs(fd)
    spared = min(SPARED, disk.f_blocks * disk.f_frsize // 20)
    return max(0, disk.f_bavail * disk.f_frsize - spared)


class Part:
    """One part that is being received; to be used by `with`. `offset` 0 begins anew. Only one at a time may write to a
    file. Raises errors of `core.errors`; what was written before one stays, to go on from.
    """

    def __init__(self, folder: Pinned, parts: Sequence[str], offset: int, total: int, *, executable: bool) -> None:
        self._path, self._name = "/".join(parts), parts[-1]
        self._doing = f"upload {self._path}"
        self._draft = _draft(self._name, total)
        self._total = total
        self._mode = FILE_MODE | (0o111 if executable else 0)
        self._lock = threading.Lock()  # whoever waits for a write may be gone before it is done
        self._open = ExitStack()
        self._closed = False
        self.received = offset
        try:
            with disk_errors(self._doing):
                self._fd = self._open.enter_context(parent_of(folder, parts, make=offset == 0))
                self._file = self._begin(offset)
        except BaseException:
            self._open.close()
            raise

    def _begin(self, offset: int) -> int:
        there = lies_at(self._fd, self._name)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError
        left, needed = _room(self._fd), self._total - offset
        if needed > left:
            text = f"cannot {self._doing}: it needs {needed} bytes, and there is room for {left}"
            raise Unavailable(text, hint="free some disk space; an upload goes on where it was", code="disk_full")
        if offset == 0:
            return self._anew()
        file = self._held(self._draft)
        size = os.fstat(file).st_size if file is not None else 0
        if file is None or size != offset:
            text = f"cannot {self._doing} from byte {offset}: {size} of {self._total} bytes are here"
            raise Conflict(text, hint=f"go on at {size}", code="wrong_offset")
        return file

    def _anew(self) -> int:
        for draft, _, _ in _drafts(self._fd, self._name):
            self._held(draft)
        forget_uploads(self._fd, self._name, than=LEFT)
        with suppress(FileNotFoundError):  # what is no regular file is none of ours
            os.unlink(self._draft, dir_fd=self._fd)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(self._draft, flags, 0o600, dir_fd=self._fd)
        self._open.callback(os.close, file)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file

    def _held(self, draft: str) -> int | None:
        """A hidden file, ours alone while it is open; None: there is none, or none that may be written to."""
        try:
            flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            file = os.open(draft, flags, dir_fd=self._fd)
        except OSError:
            return None
        self._open.callback(os.close, file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            text = f"cannot {self._doing}: another upload of it is under way"
            raise Conflict(text, hint="wait for it to end", code="upload_busy") from None
        seen, there = os.fstat(file), lies_at(self._fd, draft)
        same = there is not None and (there.st_dev, there.st_ino) == (seen.st_dev, seen.st_ino)
        return file if same and stat.S_ISREG(seen.st_mode) and seen.st_nlink == 1 else None

    def __enter__(self) -> Part:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Raises `InvalidInput` for more than was announced."""
        if self.received + len(data) > self._total:
            text = f"cannot {self._doing}: more than its {self._total} bytes were sent"
            raise InvalidInput(text, hint="is the file being written to? send it again from the beginning")
        with self._lock, disk_errors(self._doing):
            if self._closed:
                return
            left = memoryview(data)
            while left:
                wrote = os.write(self._file, left)
                left = left[wrote:]
                self.received += wrote

    def end(self) -> UploadView:
        """After the part's last byte: the file is put in its place if that was its last one, too."""
        with self._lock, disk_errors(self._doing):
            done = self.received == self._total
            tail = _digest(self._file, self.received)
            if done:
                put_in_place(self._file, self._fd, self._draft, self._name, self._mode)
            else:
                os.fdatasync(self._file)  # part by part, lest the last one wait for all of them
            return UploadView(path=self._path, received=self.received, total=self._total, done=done, tail=tail)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._open.close()


def upload_of(place: Place, parts: Sequence[str]) -> UploadView:
    """How far the latest upload of a file is. Raises errors of `core.errors`."""
    path = "/".join(parts)
    latest: tuple[float, str, int] = (0.0, "", 0)
    with disk_errors(f"look for an upload of {path}"), ExitStack() as open_:
        try:
            fd = open_.enter_context(parent_of(open_.enter_context(pinned(place)), parts))
        except FileNotFoundError:
            return UploadView(path=path, received=0, total=0)
        for name, total, seen in _drafts(fd, parts[-1]):
            latest = max(latest, (seen.st_mtime, name, total))
        _, draft, total = latest
        if not draft:
            return UploadView(path=path, received=0, total=0)
        file = os.open(draft, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
        open_.callback(os.close, file)
        size = os.fstat(file).st_size
        return UploadView(path=path, received=size, total=total, tail=_digest(file, size))


def forget_uploads(fd: int, name: str, *, than: float | None = None) -> bool:
    """Remove what has come of the file `name` in the folder `fd`, and with `than` (seconds) whatever nobody has gone on
    with for longer; whether there was anything. Raises OSError."""
    old = [] if than is None else [d for d, seen in _hidden(fd, OURS) if seen.st_mtime < time.time() - than]
    drafts = {*old, *(draft for draft, _, _ in _drafts(fd, name))}
    for draft in drafts:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=fd)
    return bool(drafts)


def _draft(name: str, total: int) -> str:
    return f"{_prefix(name)}{total}"


def _prefix(name: str) -> str:
    mark = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{OURS}part-{mark}-"


def _drafts(fd: int, name: str) -> Iterator[tuple[str, int, os.stat_result]]:
    """Hidden file, total and state of each upload of `name` that was begun."""
    prefix = _prefix(name)
    for draft, seen in _hidden(fd, prefix):
        total = draft.removeprefix(prefix)
        if total.isdecimal():
            yield draft, int(total), seen


def _hidden(fd: int, prefix: str) -> list[tuple[str, os.stat_result]]:
    """Regular files in the folder `fd` whose names begin so."""
    found = []
    again = reopened(fd, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(again) as entries:
            for entry in entries:
                if entry.name.startswith(prefix) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
    finally:
        os.close(again)
    return found


def _digest(file: int, size: int) -> str:
    """SHA-256 of its last `TAIL` bytes; empty: it has none."""
    return hashlib.sha256(os.pread(file, TAIL, max(0, size - TAIL))).hexdigest() if size else ""
