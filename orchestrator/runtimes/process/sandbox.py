"""The inside of one local routing, for its pre-start actions: folders of the host, and nothing outside them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import HOME, to_host
from orchestrator.core.ports import CommandResult
from orchestrator.runtimes.process.commands import run_command
from orchestrator.runtimes.process.environment import environment, host_argv
from orchestrator.runtimes.process.failures import on_disk
from orchestrator.runtimes.process.logfile import append
from orchestrator.runtimes.process.units import TMP, Record, UnitFolder


class LocalSandbox:
    """Writes below /home/work, the mounts that are not read-only, and /tmp (the routing's own)."""

    def __init__(self, folder: UnitFolder, record: Record) -> None:
        self._folder = folder
        self._record = record

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        await on_disk(f"write {path}", lambda: _write(self._target(path), body, mode, append))

    async def mkdir(self, path: str) -> None:
        await on_disk(f"make the folder {path}", lambda: self._target(path).mkdir(parents=True, exist_ok=True))

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:
        words = await on_disk(f"execute {argv[0]}", lambda: host_argv(argv, self._folder, self._record))
        return await run_command(words, self._folder, environment(self._folder, self._record), timeout)

    async def log(self, line: str) -> None:
        await on_disk("write the log", lambda: append(self._folder.path, line, time.time()))

    async def python(self) -> str:
        return "python3" if "PATH" in self._record.environ else sys.executable

    def _target(self, path: str) -> Path:
        return target(self._folder, self._record, path)


def target(folder: UnitFolder, record: Record, path: str, *, reading: bool = False) -> Path:
    """Where `path` really lies, symbolic links followed. Raises `RuntimeFailure` (outside_sandbox, permission)."""
    inside = os.path.normpath(path if path.startswith("/") else f"{HOME}/{path}")
    paths = (*record.paths, (TMP, str(folder.tmp)))
    real = Path(os.path.realpath(to_host(inside, paths)))
    doing = f"{'read' if reading else 'write'} {path}"
    for _, outside in paths:
        if real.is_relative_to(os.path.realpath(outside)):
            if outside in record.read_only and not reading:
                raise RuntimeFailure(
                    f"cannot {doing}: {outside} is read-only here",
                    hint="set model_read_only (or the mount's read_only) to false",
                    code="permission",
                )
            return real
    raise RuntimeFailure(
        f"cannot {doing}: it lies outside the routing's folders",
        hint="use a path below /home/work or the model folder, or the Docker runtime",
        code="outside_sandbox",
    )


def _write(target: Path, body: bytes, mode: int, append: bool) -> None:
    """By a file beside it that takes its place. Raises OSError; then the target is as it was."""
    if target.is_dir():
        raise IsADirectoryError(21, os.strerror(21))
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_name(f".{uuid4().hex}.new")
    try:
        handle = os.open(building, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            if append and target.exists():
                with target.open("rb") as old:
                    shutil.copyfileobj(old, file)
            file.write(body)
            os.fchmod(handle, stat.S_IMODE(mode))
        building.replace(target)
    except BaseException:
        building.unlink(missing_ok=True)
        raise
