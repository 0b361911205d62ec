"""The inside of a created container, for its pre-start actions.

Files and folders go in by archive requests, which need neither a shell nor a running container. Commands, and files
under mounts and virtual file systems, need both: the container is then started behind its gate.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

import docker

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.paths import HOME
from orchestrator.core.ports import CommandResult, CommandTimeout, LogLine
from orchestrator.runtimes.docker import archive, ending, gate
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

    def __init__(self, engine: Engine, preparation: Callable[[], Awaitable[Prepared]]) -> None:
        self._engine = engine
        self._preparation = preparation

    async def write(self, path: str, body: bytes, *, mode: int, append: bool) -> None:
        target, prepared = inside(path), await self._preparation()
        if needs_user(prepared, target):
            await self._write_as_user(prepared, target, body, mode, append)
            return
        owner = prepared.owner
        await self._put(prepared, f"write {path}", lambda api, box: write(api, box, target, body, mode, owner, append))

    async def mkdir(self, path: str) -> None:
        target, prepared, doing = inside(path), await self._preparation(), f"make the folder {path}"
        if needs_user(prepared, target):
            await self._shell(prepared, doing, ("mkdir", "-p", "--", target))
        else:
            await self._put(prepared, doing, lambda api, box: mkdir(api, box, target, prepared.owner))

    async def run(self, argv: Sequence[str], *, timeout: float) -> CommandResult:
        prepared = await self._preparation()
        await self._let_run(prepared, "run a command")
        try:
            return await execute(self._engine, prepared.container, argv, timeout=timeout, folder=HOME)
        except (CommandTimeout, asyncio.CancelledError):
            await self._end_all(prepared)
            raise

    async def log(self, line: str) -> None:
        notes, now = (await self._preparation()).notes, time.time()
        notes += [LogLine(now, "out", part) for part in line.split("\n")]

    async def python(self) -> str:
        return "python3"

    async def _put(self, prepared: Prepared, doing: str, action: Action) -> None:
        async with prepared.lock:
            await self._engine.call(doing, lambda api: action(api, prepared.container))
            if not prepared.shell:
                prepared.replay.append(action)

    async def _write_as_user(self, prepared: Prepared, target: str, body: bytes, mode: int, append: bool) -> None:
        """The engine brings the file to where it can, then the user's own shell moves it."""
        doing, unique = f"write {target}", uuid.uuid4().hex
        staged, how = f"{gate.FOLDER}/{unique}", "append" if append else "replace"
        entries = (Entry(gate.FOLDER[1:], gate.ROOT, 0o755), Entry(staged[1:], prepared.owner, 0o400, body))
        await self._let_run(prepared, doing)
        await self._engine.call(doing, lambda api: archive.put(api, prepared.container, "/", entries))
        move = (gate.SHELL, "-c", MOVE, "sh", staged, target, unique, f"{mode:o}", how)
        await self._shell(prepared, doing, move)

    async def _shell(self, prepared: Prepared, doing: str, argv: Sequence[str]) -> None:
        await self._let_run(prepared, doing)
        result = await execute(self._engine, prepared.container, argv, timeout=STAGED_LIMIT, folder="/")
        if result.exit_code:
            raise refused(doing, result.err.strip() or f"exit status {result.exit_code}")

    async def _let_run(self, prepared: Prepared, doing: str) -> None:
        """Behind its gate, if it does not run yet."""
        if not prepared.shell:
            raise RuntimeFailure(
                f"cannot {doing}: the image {prepared.image} has no {gate.SHELL}",
                hint="run_command, and files under mounts or /dev/shm, need an image with a shell; "
                "write_file and mkdir elsewhere work without",
                code="no_shell",
            )
        async with prepared.lock:
            prepared.waiting = not prepared.opened
            await self._engine.call(doing, lambda api: api.start(prepared.container))

    async def _end_all(self, prepared: Prepared) -> None:
        """Everything that runs in the container; the next command starts it again."""

        def kill(api: docker.APIClient) -> None:
            try:
                api.kill(prepared.container)
                api.wait(prepared.container, timeout=10)
            except docker.errors.APIError as error:
                if error.status_code not in (ending.GONE, ending.CONFLICT):
                    raise

        await self._engine.call("end a command", kill, limit=12)


def needs_user(prepared: Prepared, target: str) -> bool:
    """Virtual file systems exist only in the running container; under a mount the owner must be the user."""
    return under(target, gate.VIRTUAL) or (prepared.shell and prepared.mounted(target))


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
