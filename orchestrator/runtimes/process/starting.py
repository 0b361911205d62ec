"""Bringing a supervisor up and hearing from it whether the command could be executed. Blocking."""

from __future__ import annotations

import errno
import json
import os
import select
import sys
from pathlib import Path
from typing import Any

from orchestrator.core.errors import OrchestratorError, RuntimeFailure
from orchestrator.runtimes.process.failures import translated
from orchestrator.runtimes.process.processes import MARKER
from orchestrator.runtimes.process.units import UnitFolder

ANSWER_LIMIT = 20.0
"""Seconds until the supervisor must have answered."""
_PROGRAM = Path(__file__).with_name("supervisor.py")


def spawn(folder: UnitFolder, order: dict[str, Any]) -> None:
    """Run `order` (argv, cwd, environ) under a supervisor. Raises OSError, or what kept it from executing."""
    order_end, answer = _supervisor(folder)
    try:
        with open(order_end, "wb") as pipe:
            pipe.write(json.dumps(order).encode("utf-8", "surrogatepass"))
        verdict = read_all(answer)
    except BrokenPipeError:
        verdict = b""
    finally:
        os.close(answer)
    problem = json.loads(verdict) if verdict else {"step": "supervise"}
    if problem:
        raise _failure(folder, order, problem)


def _supervisor(folder: UnitFolder) -> tuple[int, int]:
    """Where its order goes and its answer comes from. It has a session of its own and nothing else of ours."""
    order, order_end = os.pipe2(os.O_CLOEXEC)
    answer, answer_end = os.pipe2(os.O_CLOEXEC)
    complaints = os.open(folder.path / "supervisor.err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", str(_PROGRAM), str(folder.path)],
            {"PATH": os.defpath, MARKER: str(folder.path)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, order, 0),
                (os.POSIX_SPAWN_DUP2, answer_end, 1),
                (os.POSIX_SPAWN_DUP2, complaints, 2),
            ],
            setsid=True,
        )
    except BaseException:
        os.close(order_end)
        os.close(answer)
        raise
    finally:
        for descriptor in (order, answer_end, complaints):
            os.close(descriptor)
    return order_end, answer


def read_all(descriptor: int) -> bytes:
    """Until its end. Empty where it does not come in time."""
    found = b""
    while select.select([descriptor], [], [], ANSWER_LIMIT)[0]:
        block = os.read(descriptor, 65536)
        if not block:
            return found
        found += block
    return b""


def _failure(folder: UnitFolder, order: dict[str, Any], problem: dict[str, Any]) -> OrchestratorError:
    program, number = order["argv"][0], problem.get("error") or 0
    match problem["step"]:
        case "lock":
            return RuntimeFailure("cannot start: it runs already", hint="stop it first", code="conflict")
        case "chdir":
            return translated(OSError(number, os.strerror(number)), f"enter the working directory {order['cwd']}")
        case "execute" if number == errno.ENOENT:
            hint = "install it on this machine (for a script: what its first line names), or use the Docker runtime"
            message = f"cannot execute {program}: there is no such command"
            return RuntimeFailure(message, hint=hint, code="command_not_found")
        case "execute" | "prepare":
            return translated(OSError(number, os.strerror(number)), f"execute {program}")
        case _:
            said = (folder.path / "supervisor.err").read_text(errors="replace").strip().splitlines()[-1:]
            why = said[0] if said else f"its supervisor gave no answer within {ANSWER_LIMIT:g} s"
            return RuntimeFailure(f"cannot start {program}: {why}", code="start_failed")
