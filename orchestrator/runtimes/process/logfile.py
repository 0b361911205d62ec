"""Reading a routing's log as the supervisor keeps it: two files of stamped lines, the older one whole."""

from __future__ import annotations

import os
from io import SEEK_END
from pathlib import Path
from typing import BinaryIO

from orchestrator.core.ports import LogLine
from orchestrator.runtimes.process.supervisor import stamp

LINE_LIMIT = 16 * 1024
"""Bytes of text in one line; a longer one comes in pieces."""
_BLOCK = 64 * 1024


def append(folder: Path, text: str, now: float) -> None:
    """Add lines to the log of a routing that does not run yet. `now`: wall seconds."""
    prefix = stamp("out", now)
    data = b"".join(prefix + line.encode("utf-8", "replace") + b"\n" for line in text.split("\n"))
    handle = os.open(folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, data)
    finally:
        os.close(handle)


class LogCursor:
    """Reads on from where it stands, over rotations. Blocking; close it."""

    def __init__(self, folder: Path, tail: int | None) -> None:
        self._folder = folder
        self._rest = b""
        self._files = _open_all(folder)
        if tail is not None:
            self._skip_to_last(tail)

    def close(self) -> None:
        for file in self._files:
            file.close()

    def more(self) -> list[LogLine] | None:
        """The next lines, perhaps none yet of a block; None: this is the end for now."""
        self._files = self._files or _open_all(self._folder)
        while self._files:
            over = len(self._files) > 1 or self._rotated()  # asked first: what is read after a yes is all of it
            if block := self._files[0].read(_BLOCK):
                *lines, self._rest = (self._rest + block).split(b"\n")
                return [piece for line in lines for piece in parse(line)]
            if not over:
                return None
            with self._files.pop(0) as done:
                self._files = self._files or self._open_newer(done)
        return None

    def _open_newer(self, done: BinaryIO) -> list[BinaryIO]:
        """What was begun after `done`, which is kept open meanwhile so that its inode is not used again."""
        found = _open_all(self._folder)
        if found and _inode(found[0]) == _inode(done):
            found.pop(0).close()
        return found

    def _rotated(self) -> bool:
        try:
            return (self._folder / "log").stat().st_ino != _inode(self._files[0])
        except OSError:
            return False

    def _skip_to_last(self, count: int) -> None:
        """Leave out all but the last `count` lines."""
        wanted = count
        for index in range(len(self._files) - 1, -1, -1):
            wanted -= _seek_back(self._files[index], wanted)
            if wanted <= 0:
                for file in self._files[:index]:
                    file.close()
                del self._files[:index]
                return


def parse(line: bytes) -> list[LogLine]:
    """A stamped line as one or more `LogLine`; what is not stamped (a torn write) is kept as text."""
    head, _, text = line.partition(b" ")
    letter, _, body = text.partition(b" ")
    try:
        time = float(head)
    except ValueError:
        time, letter, body = 0.0, b"o", line
    body = body.removesuffix(b"\r")
    pieces = [body[at : at + LINE_LIMIT] for at in range(0, len(body), LINE_LIMIT)] or [b""]
    return [LogLine(time, "err" if letter == b"e" else "out", piece.decode("utf-8", "replace")) for piece in pieces]


def _open_all(folder: Path) -> list[BinaryIO]:
    """The newer file first, so that a rotation in between is seen as the same file twice."""
    found: list[BinaryIO] = []
    for name in ("log", "log.1"):
        try:
            file: BinaryIO = open(folder / name, "rb", buffering=0)  # noqa: SIM115
        except FileNotFoundError:
            continue
        if any(_inode(file) == _inode(other) for other in found):
            file.close()
            continue
        found.insert(0, file)
    return found


def _inode(file: BinaryIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _seek_back(file: BinaryIO, count: int) -> int:
    """Stand `count` lines before the end, or at the beginning; how many lines follow."""
    position = file.seek(0, SEEK_END)
    seen = 0
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        ends = block.count(b"\n")
        if seen + ends > count:
            _seek_inside(file, position, block, ends - (count - seen))
            return count
        seen += ends
    file.seek(0)
    return seen


def _seek_inside(file: BinaryIO, position: int, block: bytes, skip: int) -> None:
    """Stand after the `skip`-th line end of `block`, which lies at `position`."""
    at = -1
    for _ in range(skip):
        at = block.index(b"\n", at + 1)
    file.seek(position + at + 1)
