"""One daemon to a state directory: taken before the store is opened, held until the process ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from orchestrator.core.errors import Conflict, Unavailable

PATIENCE = 1.0
"""Seconds: a daemon that was killed while it forked leaves the lock to its child until that executes its program."""


class StateLock:
    """An flock on `state_dir/daemon.lock`: it ends with its process, however that dies, so none is ever stale.

    The file stays (removing it would let two daemons hold two files of one name) and children do not inherit it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, state_dir: Path) -> StateLock:
        """Raises `Conflict` naming the holder's pid, or `Unavailable` where the directory cannot be written."""
        path = state_dir / "daemon.lock"
        try:
            state_dir.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise Unavailable(
                f"cannot use the state directory {state_dir}: {error.strerror}",
                hint="set state_dir to a folder that the daemon's user may write",
            ) from error
        try:
            _lock(descriptor)
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise _held(state_dir, holder) from None
        except OSError as error:
            os.close(descriptor)
            raise Unavailable(f"cannot lock {path}: {error.strerror}", hint="free space on its disk") from error
        return cls(descriptor)

    def release(self) -> None:
        """Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __enter__(self) -> StateLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _lock(descriptor: int) -> None:
    """Raises `BlockingIOError` where it is held for longer than `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _held(state_dir: Path, holder: str) -> Conflict:
    who = f"process {holder}" if holder else "another process"
    return Conflict(
        f"cannot start: {who} is a daemon on the state directory {state_dir}",
        hint=f"end it first (`kill {holder or 'PID'}`), or give this one a state_dir of its own",
        code="daemon_running",
    )
