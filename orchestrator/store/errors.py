"""SQLite's and the system's errors in the words that users meet, with what to do. The one place of translation."""

from __future__ import annotations

import errno
from pathlib import Path

from orchestrator.core.errors import OrchestratorError, Unavailable

_GOES_ON = "running services are not affected, and the daemon goes on by itself"

_KINDS = {
    "SQLITE_FULL": ("store_full", "the disk of {path} is full", f"free space there; {_GOES_ON}"),
    "SQLITE_BUSY": (
        "store_locked",
        "{path} is locked by another process",
        f"end what holds it (`fuser {{path}}` names it); {_GOES_ON}",
    ),
    "SQLITE_READONLY": (
        "store_read_only",
        "{path} or its folder is read-only for this user",
        f"make both writable for the daemon's user, or remount their file system; {_GOES_ON}",
    ),
    "SQLITE_CANTOPEN": (
        "store_unavailable",
        "{path} cannot be opened",
        "look whether its folder exists and the daemon's user may write there",
    ),
    "SQLITE_IOERR": (
        "store_unavailable",
        "reading or writing {path} failed",
        "look at the kernel's log and the user's disk quota; the disk may be failing",
    ),
    "SQLITE_NOTADB": ("store_corrupt", "{path} is not a database", "move it away and restore the last backup"),
    "SQLITE_CORRUPT": ("store_corrupt", "{path} is damaged", "stop the daemon and restore the last backup"),
}

_BY_ERRNO = {
    errno.ENOSPC: "SQLITE_FULL",
    errno.EDQUOT: "SQLITE_FULL",
    errno.EROFS: "SQLITE_READONLY",
    errno.EACCES: "SQLITE_READONLY",
    errno.EPERM: "SQLITE_READONLY",
}


def translate(error: Exception, what: str, path: Path) -> OrchestratorError:
    """`what` completes `cannot …`. Anything not known by name still becomes `Unavailable`, in its own words."""
    origin = getattr(error, "orig", None) or error
    name = getattr(origin, "sqlite_errorname", "")
    if isinstance(origin, OSError):
        name = _BY_ERRNO.get(origin.errno or 0, "")
    for kind, (code, text, hint) in _KINDS.items():
        if name == kind or name.startswith(f"{kind}_"):
            return Unavailable(f"cannot {what}: {text.format(path=path)}", hint=hint.format(path=path), code=code)
    return Unavailable(f"cannot {what}: {origin}", hint="see `orchestrator doctor`", code="store_unavailable")
