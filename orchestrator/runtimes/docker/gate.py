"""The gate: every container whose image has a shell begins with one that waits for a file and then runs what that says.

So the argv, fixed for the engine at creation, is free until the actions have run; and a container can be started for
its actions before its start command is known.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Sequence

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Command
from orchestrator.runtimes.docker import archive
from orchestrator.runtimes.docker.archive import Entry, Owner

FOLDER = "/.orchestrator"
SHELL, BASH = "/bin/sh", "/bin/bash"
SCRIPT = (
    f"until [ -e {FOLDER}/open ]; do sleep 0.05 2>/dev/null || sleep 1 || exit 127; done; . {FOLDER}/start"
    # `open` comes after `start` in the archive, so that `start` is whole when it is read
)
ENTRYPOINT = (SHELL, "-c", SCRIPT)
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
VIRTUAL = ("/dev", "/proc", "/sys")
"""Where the engine sees nothing of what a running container has."""
ROOT = Owner()


def has_shell(api: docker.APIClient, container: str) -> bool:
    return archive.stat(api, container, SHELL) is not None


def is_open(api: docker.APIClient, container: str) -> bool:
    return archive.stat(api, container, f"{FOLDER}/open") is not None


def open_gate(api: docker.APIClient, container: str, argv: Sequence[str], folder: str, notes: Sequence[str]) -> None:
    """Let the container run `argv` in `folder`, after it has printed `notes` to its log."""
    lines = [f"printf '%s\\n' {shlex.quote(note)}" for note in notes]
    lines += [f"cd {shlex.quote(folder)} || exit 126", "exec " + shlex.join(argv), ""]
    start = "\n".join(lines).encode("utf-8", "surrogateescape")
    name = FOLDER.lstrip("/")
    entries = (
        Entry(name, ROOT, 0o755),
        Entry(f"{name}/start", ROOT, 0o644, start),
        Entry(f"{name}/open", ROOT, 0o644, b""),
    )
    archive.put(api, container, "/", entries)


def argv_of(api: docker.APIClient, container: str, command: Command, own: Sequence[str]) -> list[str]:
    """What is to be executed; `own`: what the image itself would. Raises `RuntimeFailure`: no_shell, no_command."""
    if command.argv is not None:
        return list(command.argv)
    if command.text is not None:
        return [shell_of(api, container, command.shell), "-c", command.text]
    if not own:
        raise RuntimeFailure(
            "cannot start: the image has no command of its own", hint="set service.start_command", code="no_command"
        )
    return list(own)


def shell_of(api: docker.APIClient, container: str, shell: str) -> str:
    for path in (BASH, SHELL) if shell == "default" else (shell,):
        if archive.stat(api, container, path) is not None:
            return path
    raise RuntimeFailure(
        f"cannot run a start_command that is a string: the image has no {SHELL if shell == 'default' else shell}",
        hint="write start_command as a list, which needs no shell, or use an image that has one",
        code="no_shell",
    )


def check_program(api: docker.APIClient, container: str, name: str, folder: str, path: str) -> None:
    """Raise `RuntimeFailure` (command_not_found, permission) for a program that surely cannot be executed."""
    if "/" in name:
        places = [posixpath.normpath(posixpath.join(folder, name))]
    else:
        places = [posixpath.join(place, name) for place in (path or DEFAULT_PATH).split(":") if place]
    if any(place.startswith(VIRTUAL) for place in places):
        return
    found = [facts for place in places if (facts := archive.stat(api, container, place))]
    if not found:
        raise RuntimeFailure(
            f"cannot execute {name}: not found in the image",
            hint="check start_command, and that the image has the program",
            code="command_not_found",
        )
    if not any(facts.mode & 0o111 and not facts.is_folder for facts in found):
        raise RuntimeFailure(
            f"cannot execute {name}: it is not executable", hint="set its mode to 755", code="permission"
        )
