"""Writing what a tar stream holds below one folder, and nowhere else, whatever it holds.

Every step into the tree is opened from the one above and follows no link, so neither a name nor a link that an earlier
member made leads out; and a file takes its place by a rename, so none is half written.
"""

from __future__ import annotations

import errno
import os
import tarfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from orchestrator.archives.reading import Member, Parts, Readable, Rename, members, renamed_to
from orchestrator.core.errors import InvalidInput
from orchestrator.core.ports import Unpacked

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def place_of(path: Path, *, folder: bool) -> tuple[Path, Rename]:
    """The folder to unpack into, and what its root is called there: in `path` if that is a folder, else as `path`.
    `folder`: it must be one. Raises OSError, `InvalidInput`."""
    if path.is_dir():
        return path, lambda parts: parts
    if folder:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) if path.exists() else _missing()
    if not path.parent.is_dir():
        raise _missing()
    return path.parent, renamed_to(path.name)


def _missing() -> OSError:
    return FileNotFoundError(errno.ENOENT, "there is no such folder")


def unpacked(source: Readable, folder: Path, rename: Rename) -> Unpacked:
    """Raises OSError, `InvalidInput`; what was unpacked until then stays."""
    files = size = 0
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for member in members(source, rename):
            if member.parts:
                _place(top, member)
                files += not member.info.isdir()
                size += member.info.size if member.info.isreg() else 0
    finally:
        os.close(top)
    return Unpacked(files, size)


def _place(top: int, member: Member) -> None:
    *above, name = member.parts
    parent = _step(top, tuple(above))
    try:
        if member.info.isdir():
            os.close(_enter(parent, name))
            os.chmod(name, member.info.mode & 0o777 | 0o700, dir_fd=parent)
            return
        new = f".{uuid4().hex}.new"
        try:
            _make(top, parent, new, member)
            os.replace(new, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(new, dir_fd=parent)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "/".join(member.parts)) from error
    finally:
        os.close(parent)


def _make(top: int, parent: int, new: str, member: Member) -> None:
    info = member.info
    if info.issym():
        os.symlink(info.linkname, new, dir_fd=parent)
    elif member.link:
        _link(top, parent, new, member.link)
    else:
        _write(parent, new, member, info)


def _link(top: int, parent: int, new: str, link: Parts) -> None:
    source = _step(top, link[:-1])
    try:
        os.link(link[-1], new, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(source)


def _write(parent: int, new: str, member: Member, info: tarfile.TarInfo) -> None:
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with open(handle, "wb") as file:
        for piece in member.pieces():
            file.write(piece)
        file.flush()
        os.fchmod(handle, info.mode & 0o777)
        with suppress(OverflowError, ValueError):  # a time that this file system cannot tell
            os.utime(handle, (info.mtime, info.mtime))


def _step(top: int, parts: Parts) -> int:
    """The folder at `parts`, made where it is missing. Raises OSError (ELOOP, ENOTDIR: a link or a file is there)."""
    found = os.dup(top)
    for part in parts:
        above, found = found, -1
        try:
            found = _enter(above, part)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                text = f"cannot unpack {'/'.join(parts)}: {part} is a link or a file there, not a folder"
                raise InvalidInput(text, hint="remove it first") from None
            raise
        finally:
            os.close(above)
    return found


def _enter(parent: int, name: str) -> int:
    try:
        return os.open(name, _STEP, dir_fd=parent)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=parent)
        return os.open(name, _STEP, dir_fd=parent)
