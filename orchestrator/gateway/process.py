"""HAProxy as a process: started in a session of its own, found again by the socket in its command line, ended.

Nothing of it is a child of the daemon: it detaches itself (`-D`), so that neither needs the other to live.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
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


def end(files: Files, master: int | None) -> None:
    """End the master (and with it all its workers) and whatever else was started on our socket."""
    found = [p for p in ([_process(master)] if master is not None else []) if p is not None]
    found += [p for p in ours(files) if p not in found]
    for process in found:
        _signal(process, signal.SIGTERM)
    _, alive = psutil.wait_procs(found, timeout=GRACE)
    for process in alive:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=GRACE)


def sweep(files: Files) -> None:
    """Before a start: what still runs on our socket does not answer any more, or its master is gone."""
    left = ours(files)
    for process in left:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(left, timeout=GRACE)


def ours(files: Files) -> list[psutil.Process]:
    """Processes whose command line names our master socket: no other installation has it."""
    mark = _socket(files)
    found = []
    for process in psutil.process_iter():
        try:
            if mark in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def _socket(files: Files) -> str:
    return f"{files.master},mode,600,level,admin"


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)  # refuses a process id that was given to another meanwhile
    except psutil.Error:
        return
