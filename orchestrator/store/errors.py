"""SQLite's errors in the words that users meet, with what to do. The one place of translation."""

from __future__ import annotations

from pathlib import Path

from orchestrator.core.errors import OrchestratorError, Unavailable

_STAYS = "running services are not affected"

_BY_NAME = {
    "SQLITE_FULL": (
        "store_full",
        "the disk of {path} is full",
        f"free space there; {_STAYS}, and it goes on by itself",
    ),
    "SQLITE_BUSY": (
        "store_locked",
        "{path} is locked by another process",
        f"end what holds it (`fuser {{path}}`); {_STAYS}, and it goes on by itself",
    ),
    "SQLITE_READONLY": (
        "store_read_only",
        "{path} or its folder is read-only",
        f"make it writable for the daemon's user, or remount its file system; {_STAYS}",
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


def translate(error: BaseException, what: str, path: Path) -> OrchestratorError:
    """`what` completes `cannot …`. Anything not known by name still becomes `Unavailable` with its own words."""
    if isinstance(error, OrchestratorError):
        return error
    origin = getattr(error, "orig", None) or error
    name = getattr(origin, "sqlite_errorname", "")
    for known, (code, text, hint) in _BY_NAME.items():
        if name == known or name.startswith(known + "_"):
            return Unavailable(f"cannot {what}: {text.format(path=path)}", hint=hint.format(path=path), code=code)
    return Unavailable(f"cannot {what}: {origin}", hint="see `orchestrator doctor`", code="store_unavailable")
