"""What lies in a model folder, by descriptors that stay what they were when they were judged.

Whoever may write into a model folder may put a link anywhere at any moment. So every path is opened without an effect
(O_PATH) first, what was opened is asked where it lies, and only that very thing is used. Reading may follow links as
far as `Place.root`; what is written or removed lies in the folder itself. Called in threads.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from orchestrator.core.errors import Conflict, InvalidInput, NotFound, OrchestratorError, Unavailable
from orchestrator.folders.files import Refused, cause
from orchestrator.folders.reading import Place

OURS = ".orchestrator-"
"""How the names of our own files begin, which nobody sees."""
FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Whatever the umask: containers read them as other users."""
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Pinned:
    """An open model folder. `fd` is good for looking from it only."""

    fd: int
    real: Path
    root: Path


@contextmanager
def pinned(place: Place) -> Iterator[Pinned]:
    """Raises OSError: what is there is not what was judged."""
    if place.refusal or place.root is None:
        raise Refused(place.refusal)
    fd = os.open(place.real, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if where(fd) != place.real:
            raise Refused("it was moved meanwhile")
        yield Pinned(fd, place.real, place.root.resolve())
    finally:
        os.close(fd)


@contextmanager
def looked_at(folder: Pinned, parts: Sequence[str], *, inside: bool = False) -> Iterator[int]:
    """What the path leads to, opened without an effect: its type is not known yet. `inside`: it must lie in the folder
    itself. Raises OSError."""
    fd = os.open("/".join(parts) or ".", os.O_PATH | os.O_CLOEXEC, dir_fd=folder.fd)
    try:
        if not where(fd).is_relative_to(folder.real if inside else folder.root):
            raise Refused(f"it is a link that leads out of {folder.real if inside else folder.root}")
        yield fd
    finally:
        os.close(fd)


def reopened(fd: int, flags: int) -> int:
    """The very thing that was looked at. Raises OSError."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def where(fd: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{fd}"))  # noqa: PTH115  # Path would go on to what it leads to


@contextmanager
def parent_of(folder: Pinned, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
    """The folder that holds the last of `parts`, in the model folder itself; `make`: it and those above it are made.
    Raises OSError."""
    above = parts[:-1]
    for depth in range(1, len(above) + 1) if make else ():
        with looked_at(folder, above[: depth - 1], inside=True) as fd, suppress(FileExistsError):
            os.mkdir(above[depth - 1], FOLDER_MODE, dir_fd=fd)  # Path knows no descriptor
            os.chmod(above[depth - 1], FOLDER_MODE, dir_fd=fd)
    with looked_at(folder, above, inside=True) as fd:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        yield fd


def lies_at(fd: int, name: str) -> os.stat_result | None:
    """Of the entry itself, not of what it leads to; None: there is none. Raises OSError."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def write_below(folder: Pinned, path: str, data: bytes, mode: int = FILE_MODE) -> None:
    """As `write_whole`, with the file's path in the model folder; the folders in it are there. Raises OSError."""
    parts = Path(path).parts
    with parent_of(folder, parts) as fd:
        write_whole(fd, parts[-1], data, mode)


def write_whole(fd: int, name: str, data: bytes, mode: int = FILE_MODE) -> None:
    """A file in the folder `fd`, whole or not at all. One that is replaced gives it its owner and permissions; a link
    is replaced itself. Raises OSError."""
    draft = f"{OURS}{uuid4().hex}"
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd)
    try:
        with open(file, "wb") as out:
            out.write(data)
            out.flush()
            put_in_place(out.fileno(), fd, draft, name, mode)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft, dir_fd=fd)
        raise


def put_in_place(file: int, fd: int, draft: str, name: str, mode: int) -> None:
    """The open file `draft` of the folder `fd` becomes `name`, lasting and at once. Raises OSError."""
    before = lies_at(fd, name)
    if before is not None and stat.S_ISREG(before.st_mode):
        with suppress(PermissionError):  # only root may give it to another
            os.fchown(file, before.st_uid, before.st_gid)
        mode = stat.S_IMODE(before.st_mode)
    os.fchmod(file, mode)
    os.fsync(file)
    os.rename(draft, name, src_dir_fd=fd, dst_dir_fd=fd)
    sync(fd)


def sync(fd: int) -> None:
    """What a folder lists survives a loss of power; where that cannot be had, it may not."""
    with suppress(OSError):
        again = reopened(fd, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(again)
        finally:
            os.close(again)


@contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Errors of the disk as errors for users, who were `doing` this (an infinitive with its object)."""
    try:
        yield
    except OSError as error:
        raise translated(doing, error) from None


def translated(doing: str, error: OSError) -> OrchestratorError:
    text = f"cannot {doing}: {cause(error)}"
    match error:
        case Refused():
            hint = "links are followed only as far as the models_dir" if "leads out" in text else ""
            return Conflict(text, hint=hint, code="leads_out" if hint else None)
        case FileNotFoundError():
            return NotFound(f"cannot {doing}: there is nothing of that name")
        case IsADirectoryError():
            return Conflict(f"cannot {doing}: there is a folder of that name", hint="give the path of a file")
        case NotADirectoryError():
            return Conflict(f"cannot {doing}: what is there is not a folder")
        case OSError(errno=errno.ENAMETOOLONG):
            return InvalidInput(text)
        case OSError(errno=number) if number in FULL:
            return Unavailable(text, hint="free some disk space; an upload goes on where it was", code="disk_full")
        case OSError(errno=errno.EACCES | errno.EPERM | errno.EROFS):
            hint = "the daemon's user must be able to write there (under systemd: ReadWritePaths=)"
            return Unavailable(text, hint=hint, code="not_writable")
        case _:
            return Unavailable(text)
