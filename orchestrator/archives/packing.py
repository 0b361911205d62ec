"""A file or a folder as a tar stream."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.archives.reading import END, PIECE, padding


def packed(path: Path, name: str) -> Iterator[bytes]:
    """`path` below the one root `name`. Symbolic links in it stay what they are; sockets and devices are left out.
    Owners are not told. Raises OSError."""
    yield from _tree(path, name)
    yield END


def _tree(path: Path, name: str) -> Iterator[bytes]:
    """Deepest last; a list of its own, since what programs write is deeper than Python recurses."""
    left = [(path, name)]
    while left:
        path, name = left.pop()
        facts = path.lstat()
        info = tarfile.TarInfo(name)
        info.mode, info.mtime = stat.S_IMODE(facts.st_mode) & 0o777, int(facts.st_mtime)
        if stat.S_ISREG(facts.st_mode):
            yield from _file(path, info)
        elif stat.S_ISLNK(facts.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)  # noqa: PTH115
            yield _header(info)
        elif stat.S_ISDIR(facts.st_mode):
            info.type = tarfile.DIRTYPE
            yield _header(info)
            entries = sorted(os.listdir(path), reverse=True)  # noqa: PTH208
            left += [(path / entry, f"{name}/{entry}") for entry in entries]


def _file(path: Path, info: tarfile.TarInfo) -> Iterator[bytes]:
    """As long as it was when it was opened, whatever happens to it meanwhile: the header is gone already."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        info.size = left = os.fstat(file.fileno()).st_size
        yield _header(info)
        while left:
            data = file.read(min(left, PIECE)) or b"\0" * min(left, PIECE)
            left -= len(data)
            yield data
        yield padding(info.size)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
