"""A daemon as a child of `run`: its settings, its ports, its process from start to end."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.errors import InvalidInput, Unavailable
from orchestrator.core.spec import digest
from orchestrator.settings import Settings, address, load

_OVERRIDES = ("STATE_DIR", "MODELS_DIRS", "API__LISTEN", "GATEWAY__LISTEN")


@dataclass(frozen=True, slots=True)
class Embedded:
    """What the child is started with. `config` also leads other commands to it (--config, ORCHESTRATOR_CONFIG)."""

    settings: Settings
    config: Path
    environ: Mapping[str, str]
    folders: tuple[Path, ...]
    """Model folders that were named themselves, to be started by the API."""
    notes: tuple[str, ...]

    @property
    def log(self) -> Path:
        return self.settings.state_dir / "daemon.log"

    @property
    def admin_token(self) -> Path:
        return self.settings.state_dir / "admin.token"


def embed(
    folders: Sequence[Path],
    *,
    state_dir: Path | None,
    runtime: str | None,
    config: Path | None,
    environ: Mapping[str, str],
) -> Embedded:
    """Embedded defaults (runtime auto, no image is fetched, free ports) under what options, `environ` and `config` say.

    Writes `state_dir/config.toml`. Raises `InvalidInput`, `Conflict` (a daemon holds the state directory) or
    `Unavailable`.
    """
    models_dirs, single = _sorted_out(folders)
    told_place = state_dir or environ.get("ORCHESTRATOR_STATE_DIR")
    place = (Path(told_place) if told_place else _own_place(folders)).expanduser().absolute()
    _check_free(place)
    ours = place / "config.toml"
    told = (
        {f"ORCHESTRATOR_{k}": v for k, v in (("RUNTIME", "auto"), ("DOCKER__PULL", "never"))} if config is None else {}
    )
    told |= dict(environ)
    told |= {
        "ORCHESTRATOR_STATE_DIR": str(place),
        "ORCHESTRATOR_MODELS_DIRS": json.dumps([str(d) for d in models_dirs]),
    }
    if runtime is not None:
        told["ORCHESTRATOR_RUNTIME"] = runtime
    base = config or Path(os.devnull)
    wanted = load(base, told)
    listen, notes = _free_addresses({"API": wanted.api.listen, "GATEWAY": wanted.gateway.listen})
    told |= {f"ORCHESTRATOR_{name}__LISTEN": where for name, where in listen.items()}
    told["ORCHESTRATOR_CONFIG"] = str(base.absolute())
    if wanted.runtime in ("auto", "docker") and "image" not in wanted.defaults:
        image, note = _default_image(wanted)
        told |= {"ORCHESTRATOR_DEFAULTS__IMAGE": image} if image else {}
        notes += (note,) if note else ()
    settings = load(base, told)
    _write(ours, settings)
    return Embedded(settings, ours, told, single, notes)


def _sorted_out(folders: Sequence[Path]) -> tuple[list[Path], tuple[Path, ...]]:
    """Folders of model folders, and model folders."""
    for folder in folders:
        if not folder.is_dir():
            raise InvalidInput(f"cannot serve {folder}: it is not a folder", hint="give a folder of model folders")
    single = [f.resolve() for f in folders if any((f / f"model-definition.{e}").is_file() for e in ("yaml", "yml"))]
    return [f.resolve() for f in folders if f.resolve() not in single], tuple(single)


def _own_place(folders: Sequence[Path]) -> Path:
    """A state directory for these folders: another run, of others, must not take the services of these for gone."""
    return Path("~/.local/state/orchestrator", digest(sorted(str(f.resolve()) for f in folders)))


def _default_image(settings: Settings) -> tuple[str, str]:
    """The image of services that name none: one with Python that the engine already has, since none is fetched."""
    from orchestrator.runtimes.docker.local import python_image

    found = asyncio.run(python_image(settings.docker))
    match found:
        case None:
            return "", ""
        case "":
            hint = "`docker pull python:3.12-slim`, or run with --runtime process"
            return "", f"docker has no image with Python: services that name no image are left out ({hint})"
        case image:
            return image, f"services that name no image use {image}, which docker has"


def _check_free(state_dir: Path) -> None:
    from orchestrator.store.lock import StateLock

    StateLock.take(state_dir).release()


def _free_addresses(wanted: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Each as wanted where it can be bound, else on a free port, with a note."""
    found: dict[str, str] = {}
    notes: list[str] = []
    for name, listen in wanted.items():
        host, port = address(listen)
        if port and _can_bind(host, port):
            found[name] = listen
            continue
        free = f"{listen.rpartition(':')[0]}:{_free_port(host)}"
        found[name] = free
        if port:
            notes.append(f"{listen} is taken: the {'API' if name == 'API' else 'gateway'} listens on {free}")
    return found, tuple(notes)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _free_port(host: str) -> int:
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _write(path: Path, settings: Settings) -> None:
    """What other commands need to find this daemon."""
    text = "\n".join(
        (
            "# Written by `orchestrator run` at each start; leads other commands here: --config, ORCHESTRATOR_CONFIG.",
            f"state_dir = {json.dumps(str(settings.state_dir))}",
            f"models_dirs = {json.dumps([str(d) for d in settings.models_dirs])}",
            f"runtime = {json.dumps(settings.runtime)}",
            f"[api]\nlisten = {json.dumps(settings.api.listen)}",
            f"[gateway]\nlisten = {json.dumps(settings.gateway.listen)}",
            f"[docker]\npull = {json.dumps(settings.docker.pull)}",
        )
    )
    try:
        path.write_text(text + "\n", "utf-8")
    except OSError as error:
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint="give another --state-dir") from None


# --- the process ----------------------------------------------------------------------------------------------------


async def spawn(embedded: Embedded) -> asyncio.subprocess.Process:
    """`serve --ephemeral` in a session of its own (Ctrl-C reaches it through us only), its log in `embedded.log`.

    It gets SIGTERM when we die, however we do.
    """
    environ = dict(embedded.environ) | {"PYTHONUNBUFFERED": "1"}
    with embedded.log.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", "serve", "--ephemeral"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environ,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def log_tail(path: Path, since: int, *, lines: int = 20) -> list[str]:
    """The last lines of what was logged after byte `since`."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since, end - (64 << 10)))
            return log.read().decode("utf-8", "replace").splitlines()[-lines:]
    except OSError:
        return []
