"""Reading files that others may be writing, replacing or linking elsewhere. Used by `folders.sources`."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.composing import MAX_BYTES

TICK = 2_000_000_000
"""Nanoseconds: a file that changed later than so long ago may change again without a trace in its times."""

Stamp = tuple[int, int, int, int, int]
"""Device, inode, size, and times of the last change of content and of anything else, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Content:
    """`settled` False: the file changed while it was read, or so lately that its stamp proves nothing."""

    data: bytes
    stamp: Stamp
    settled: bool


class Refused(OSError):
    """The file is there, and must not be read."""


def stamp(path: Path) -> Stamp | None:
    """Of the file that `path` leads to; None: there is none. Raises OSError where that cannot be known."""
    try:
        return _stamp(os.stat(path))  # noqa: PTH116  # 4 of these a folder and scan: Path costs three times as much
    except (FileNotFoundError, NotADirectoryError):
        return None


def read(path: Path, root: Path | None = None) -> Content:
    """At most `MAX_BYTES` + 1 bytes of a regular file. With `root` (symlinks resolved), links must not lead out.

    Raises OSError; never waits for a pipe's other end.
    """
    real = path.resolve(strict=True)
    if root is not None and not real.is_relative_to(root):
        raise Refused(f"it is a link that leads out of {root}")
    fd = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(fd, "rb") as file:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise Refused("it is not a regular file")
        data = file.read(MAX_BYTES + 1)
        after = os.fstat(fd)
    old = time.time_ns() - max(after.st_mtime_ns, after.st_ctime_ns) > TICK
    return Content(data, _stamp(before), settled=old and _stamp(before) == _stamp(after))


def cause(error: OSError | RuntimeError | ValueError) -> str:
    """What went wrong, without the path, which the reader of the message knows."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def shown(text: str) -> str:
    """Names on the disk are bytes, and what is stored and answered is UTF-8: what is none is written out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
