"""Errors of the local machine in the words of the runtime contract, and the one way from the event loop to the disk."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import TypeVar

from orchestrator.core.errors import OrchestratorError, RuntimeFailure, Unavailable

DISK_LIMIT = 30.0
"""Seconds that a call to the disk or the kernel may take."""

T = TypeVar("T")

_CODES = {
    errno.EACCES: ("permission", "check who owns it and its mode"),
    errno.EPERM: ("permission", "check who owns it and its mode"),
    errno.EROFS: ("permission", "it lies on a read-only file system"),
    errno.ENOSPC: ("no_space", "free some disk space"),
    errno.EDQUOT: ("no_space", "free some disk space or raise the quota"),
    errno.ENOENT: ("not_found", ""),
    errno.EISDIR: ("is_a_directory", "name a file in it"),
    errno.ENOTDIR: ("not_a_directory", "a part of the path is a file"),
    errno.EEXIST: ("not_a_directory", "a file of that name exists"),
    errno.ENAMETOOLONG: ("name_too_long", "use a shorter path"),
    errno.ELOOP: ("outside_sandbox", "its symbolic links lead in a circle"),
    errno.EMFILE: ("too_many_files", "raise the limit of open files (LimitNOFILE)"),
    errno.EAGAIN: ("too_many_processes", "raise the limit of processes (TasksMax, ulimit -u)"),
    errno.ENOMEM: ("no_memory", "free some memory"),
    errno.E2BIG: ("too_long", "the arguments or the environment are too long"),
    errno.ENOEXEC: ("exec_format", "it is not a program of this machine; a script begins with #!"),
}


def translated(error: OSError, doing: str) -> OrchestratorError:
    """`doing` completes `cannot …`: `write /home/work/a`."""
    code, hint = _CODES.get(error.errno or 0, ("start_failed", ""))
    return RuntimeFailure(f"cannot {doing}: {error.strerror or error}", hint=hint, code=code)


async def on_disk(doing: str, call: Callable[[], T]) -> T:
    """Run `call` in a thread. OSError becomes `RuntimeFailure`, a disk that hangs `Unavailable`."""
    try:
        async with asyncio.timeout(DISK_LIMIT):
            return await asyncio.to_thread(call)
    except TimeoutError as error:
        raise Unavailable(f"cannot {doing}: no answer within {DISK_LIMIT:g} s", hint="check the disk") from error
    except OSError as error:
        raise translated(error, doing) from error
