"""The inside of a created container, for its pre-start actions.

Files and folders go in by archive requests, which need neither a shell nor a running container. Commands, and files
under mounts and virtual file systems, need both: the container is then started behind its gate.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
import uuid
from collections.abc import Callable, Sequence

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import HOME
from orchestrator.core.ports import CommandResult, CommandTimeout, LogLine
from orchestrator.runtimes.docker import archive, gate
from orchestrator.runtimes.docker.archive import Entry, Owner
from orchestrator.runtimes.docker.client import Engine
from orchestrator.runtimes.docker.command import execute
from orchestrator.runtimes.docker.prepared import Prepared

Action = Callable[[docker.APIClient, str], None]
STAGED_LIMIT = 60.0
"""Seconds to move a file that the engine has to its place."""
MOVE = (
    'set -e; mkdir -p -- "${2%/*}"; [ ! -d "$2" ] || { echo "Is a directory" >&2; exit 21; }; '
    'new="$2.$3"; trap \'rm -f -- "$new"\' EXIT; if [ "$5" = append ] && [ -e "$2" ]; '
    'then cat -- "$2" "$1" >"$new"; else cat -- "$1" >"$new"; fi; chmod "$4" "$new"; mv -f -- "$new" "$2"'
)
"""sh -c MOVE sh STAGED TARGET UNIQUE MODE HOW: by a file beside the target that takes its place."""


class ContainerSandbox:
    """See `core.ports.Sandbox`. Whole or not at all: a file under a mount outlives the container, so it takes its
    place by a rename; elsewhere a write that fails ends with the container."""

    def __init__(self, engine: Engine, prepared: Prepared) -> None:
        self._engine = engine
        self._prepared = prepared

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        target = inside(path)
        if self._needs_user(target):
            await self._write_as_user(target, body, mode, append)
        else:
            await self._put(f"write {path}", lambda api, box: write(api, box, target, body, mode, self._owner, append))

    async def mkdir(self, path: str) -> None:
        target = inside(path)
        if self._needs_user(target):
            await self._shell(f"make the folder {path}", ("mkdir", "-p", "--", target))
        else:
            await self._put(f"make the folder {path}", lambda api, box: mkdir(api, box, target, self._owner))

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:
        container = await self._running("run a command")
        try:
            return await execute(self._engine, container, argv, timeout=timeout, folder=HOME)
        except (CommandTimeout, asyncio.CancelledError):
            await self._end_all()
            raise

    async def log(self, line: str) -> None:
        now = time.time()
        self._prepared.notes += [LogLine(now, "out", part) for part in line.split("\n")]

    async def python(self) -> str:
        return "python3"

    @property
    def _owner(self) -> Owner:
        return self._prepared.owner

    def _needs_user(self, target: str) -> bool:
        """Virtual file systems exist only in the running container; under a mount the owner must be the user."""
        if under(target, gate.VIRTUAL):
            return True
        return self._prepared.shell and self._prepared.mounted(target)

    async def _put(self, doing: str, action: Action) -> None:
        async with self._prepared.lock:
            await self._engine.call(doing, lambda api: action(api, self._prepared.container))
            if not self._prepared.shell:
                self._prepared.replay.append(action)

    async def _write_as_user(self, target: str, body: bytes, mode: int, append: bool) -> None:
        """The engine brings the file to where it can, then the user's own shell moves it."""
        unique = uuid.uuid4().hex
        staged = f"{gate.FOLDER}/{unique}"
        entries = (Entry(gate.FOLDER[1:], gate.ROOT, 0o755), Entry(staged[1:], self._owner, 0o400, body))
        container = await self._running(f"write {target}")
        await self._engine.call(f"write {target}", lambda api: archive.put(api, container, "/", entries))
        how = "append" if append else "replace"
        await self._shell(f"write {target}", (gate.SHELL, "-c", MOVE, "sh", staged, target, unique, f"{mode:o}", how))

    async def _shell(self, doing: str, argv: Sequence[str]) -> None:
        container = await self._running(doing)
        result = await execute(self._engine, container, argv, timeout=STAGED_LIMIT, folder="/")
        if result.exit_code:
            raise refused(doing, result.err.strip() or f"exit status {result.exit_code}")

    async def _running(self, doing: str) -> str:
        """The container's id, running behind its gate."""
        prepared = self._prepared
        if not prepared.shell:
            raise RuntimeFailure(
                f"cannot {doing}: the image {prepared.unit.spec.image} has no {gate.SHELL}",
                hint="run_command, and files under mounts or /dev/shm, need an image with a shell; "
                "write_file and mkdir elsewhere work without",
                code="no_shell",
            )
        async with prepared.lock:
            prepared.waiting = True
            await self._engine.call(doing, lambda api: api.start(prepared.container))
        return prepared.container

    async def _end_all(self) -> None:
        """Everything that runs in the container; the next command starts it again."""

        def kill(api: docker.APIClient) -> None:
            try:
                api.kill(self._prepared.container)
                api.wait(self._prepared.container, timeout=10)
            except docker.errors.APIError as error:
                if error.status_code not in (404, 409):  # gone, or not running
                    raise

        await self._engine.call("end a command", kill, limit=12)


def inside(path: str) -> str:
    return posixpath.normpath(posixpath.join(HOME, path))


def under(path: str, folders: Sequence[str]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def refused(doing: str, reason: str) -> RuntimeFailure:
    codes = {
        "Is a directory": "is_a_directory",
        "Not a directory": "not_a_directory",
        "File exists": "not_a_directory",
        "No space left": "no_space",
        "Disk quota": "no_space",
        "Permission denied": "permission",
        "Read-only": "permission",
        "not found": "command_not_found",
    }
    code = next((code for text, code in codes.items() if text.lower() in reason.lower()), "runtime_failure")
    return RuntimeFailure(f"cannot {doing}: {reason}", code=code)


# --- with the engine's archive requests -----------------------------------------------------------------------------


def write(
    api: docker.APIClient, container: str, target: str, body: bytes, mode: int, owner: Owner, append: bool
) -> None:
    old = archive.stat(api, container, target)
    if old is not None and old.is_folder:
        raise RuntimeFailure(f"cannot write {target}: it is a folder", hint="name a file in it", code="is_a_directory")
    target = old.path if old else target
    if append and old:
        body = (archive.read(api, container, target) or b"") + body
    folder, missing = archive.nearest(api, container, posixpath.dirname(target))
    name = "/".join([*missing, posixpath.basename(target)])
    archive.put(api, container, folder, [*archive.parents(missing, owner), Entry(name, owner, mode, body)])


def mkdir(api: docker.APIClient, container: str, target: str, owner: Owner) -> None:
    folder, missing = archive.nearest(api, container, target)
    if missing:
        archive.put(api, container, folder, archive.parents(missing, owner))
