"""Removing a folder with all that is in it, however deep that goes and whoever made it.

What programs write may be nested deeper than a path is long, than descriptors are there and than Python recurses: so no
path leads down. Folders come up instead, each to the top once, and are emptied there.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from uuid import uuid4

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(path: str | os.PathLike[str], *, dir_fd: int | None = None) -> None:
    """Links in it are removed themselves; folders that cannot be entered are opened first. Raises OSError, also where
    somebody fills it meanwhile; what is left is complete in itself, to be removed again."""
    top = _entered(os.fspath(path), dir_fd)
    try:
        while folders := _emptied(top, top):
            for name in folders:
                inner = _entered(name, top)
                try:
                    _emptied(inner, top)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(path, dir_fd=dir_fd)


def _entered(name: str, above: int | None) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=above)
    except PermissionError:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101  # that very folder, whatever has its name by now
            return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(fd)


def _emptied(folder: int, top: int) -> list[str]:
    """Names of the folders that are left in it: none but in `top`, where those of any other come to."""
    _writable(folder)
    folders = []
    for name in os.listdir(folder):  # Path knows no descriptor
        with suppress(FileNotFoundError):  # whoever wrote it removes it, too
            if not stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                os.unlink(name, dir_fd=folder)
            elif folder == top:
                folders.append(name)
            else:
                _lifted(name, folder, top)
    return folders


def _writable(folder: int) -> None:
    mode = stat.S_IMODE(os.fstat(folder).st_mode)
    if mode & 0o700 != 0o700:
        with suppress(PermissionError):  # another's: whether its entries can be removed is seen then
            os.fchmod(folder, mode | 0o700)


def _lifted(name: str, folder: int, top: int) -> None:
    """An empty one goes at once: to move a folder takes leave to write into it."""
    try:
        os.rmdir(name, dir_fd=folder)
    except OSError:
        os.rename(name, uuid4().hex, src_dir_fd=folder, dst_dir_fd=top)
