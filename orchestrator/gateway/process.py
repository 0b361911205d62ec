"""HAProxy as a process: started in a session of its own, found again by the socket in its command line, ended.

Nothing of it is a child of the daemon: it detaches itself (`-D`), so that neither needs the other to live.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from orchestrator.core.errors import Unavailable
from orchestrator.gateway.files import Files

LIMIT = 20.0
GRACE = 5.0


def launch(binary: Path, files: Files) -> None:
    """Returns when it listens. Raises `Unavailable` with its own words."""
    run([*command(binary, files), "-D"], "start")


def check(binary: Path, files: Files, config: Path) -> None:
    """Would it load this file? Raises `Unavailable` with its own words."""
    run([str(binary), "-c", "-C", str(files.folder), "-f", str(config)], "use its configuration:")


def command(binary: Path, files: Files) -> list[str]:
    """Its command line but for detaching: what a unit of its own executes."""
    return [str(binary), "-W", "-S", _socket(files), "-C", str(files.folder), "-f", str(files.config)]


def run(argv: list[str], what: str) -> None:
    """Its output goes to a file: a pipe would stay open with the process that detached."""
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=LIMIT,
                env=_environment(),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"cannot {what} HAProxy: {error}", hint="see `orchestrator doctor`") from error
        output.seek(0)
        told = output.read(65536).decode(errors="replace")
    if done.returncode != 0:
        alerts = [line.partition(" : ")[2] for line in told.splitlines() if line.startswith("[ALERT]")]
        reason = "; ".join(alerts[:3]) or told.strip()[-300:] or f"it ended with {done.returncode}"
        raise Unavailable(f"cannot {what} HAProxy: {reason}", hint="see `orchestrator doctor`")


def _environment() -> dict[str, str]:
    """Without LD_LIBRARY_PATH: its libraries lie beside it, and others must not be found first."""
    return {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC"}


def end(files: Files) -> None:
    """End the master, and with it all its workers."""
    found = ours(files)
    _signal(found, signal.SIGTERM)
    _signal(_await(found, GRACE), signal.SIGKILL)


def sweep(files: Files) -> None:
    """Before a start: what still runs on our socket does not answer any more."""
    left = ours(files)
    _signal(left, signal.SIGKILL)
    _await(left, GRACE)


def _await(processes: list[psutil.Process], limit: float) -> list[psutil.Process]:
    """Those that still run after `limit` seconds. A zombie has ended, whenever its parent may look."""
    deadline = time.monotonic() + limit
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def ours(files: Files) -> list[psutil.Process]:
    """Processes whose command line names our master socket: no other installation has it. Raises `Unavailable`."""
    mark = _socket(files)
    found = []
    try:
        running = list(psutil.process_iter())
    except OSError as error:
        raise Unavailable(f"cannot look for HAProxy: {error.strerror or error}") from error
    for process in running:
        try:
            if mark in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def _socket(files: Files) -> str:
    return f"{files.master},mode,600,level,admin"


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(number)  # refuses an id that was given to another process meanwhile
