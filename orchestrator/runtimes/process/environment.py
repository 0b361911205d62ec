"""What a local routing's commands see: their environment, and how their arguments are translated."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import argv_to_host, to_host
from orchestrator.core.ports import Command, Unit
from orchestrator.runtimes.process.processes import MARKER
from orchestrator.runtimes.process.units import TMP, Record, UnitFolder

OWN_PYTHON = ("python", "python3")


def unit_environ(unit: Unit) -> dict[str, str]:
    """What the unit itself asks for. Accelerators that it did not reserve are hidden, as in a container."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(unit.reservation.devices), **unit.environ}


def environment(folder: UnitFolder, record: Record) -> dict[str, str]:
    """Little besides what the definition says: no variable of the daemon but PATH is passed on."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH') or os.defpath}",
        "HOME": str(folder.home),
        "TMPDIR": str(folder.tmp),
        "LANG": "C.UTF-8",
        **{name: to_host(value, record.paths) for name, value in record.environ.items()},
        "PORT": str(record.port),
        "ORCHESTRATOR_ROUTING": record.id,
        MARKER: str(folder.path),
    }


def host_argv(argv: Sequence[str], folder: UnitFolder, record: Record) -> list[str]:
    """`argv` with translated paths, those of files that actions wrote to the routing's own /tmp included; `python` is
    the orchestrator's own unless the definition has a PATH of its own. Raises OSError."""
    temporary = [(f"{TMP}/{entry.name}", str(entry)) for entry in folder.tmp.iterdir()]
    first, *rest = argv_to_host(argv, (*record.paths, *temporary))
    return [sys.executable if first in OWN_PYTHON and "PATH" not in record.environ else first, *rest]


def command_argv(command: Command) -> tuple[str, ...]:
    """The start command as it is executed. Raises `RuntimeFailure` where the definition has none."""
    if command.text is not None:
        return (_shell(command.shell), "-c", command.text)
    if not command.argv:
        hint = "write a start_command, or use the Docker runtime, where the image has one"
        raise RuntimeFailure("cannot start: there is no start command", hint=hint, code="command_not_found")
    return command.argv


def _shell(name: str) -> str:
    if name != "default":
        return name
    return "/bin/bash" if os.access("/bin/bash", os.X_OK) else "/bin/sh"
