"""A whole daemon for scenarios: a real process with a state directory, model folders and ports of its own.

`async with Daemon(tmp_path, artifacts) as daemon:` starts it and, however the test ends, ends all that it started.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp

from orchestrator.client import Client
from orchestrator.client.trust import Trust
from orchestrator.core.errors import OrchestratorError
from orchestrator.core.state import ServiceStatus
from orchestrator.core.token_views import TokenRequest, TokenView
from orchestrator.core.views import ServiceDetail

EXAMPLES = Path(__file__).parents[2] / "examples" / "model-definitions"
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 8
_PORTS = itertools.cycle(random.sample(range(10_000 + _WORKER, 20_000, 8), 1250))
"""Below what the kernel and the process runtime hand out, each worker of the tests its own, and none twice in a row: a
port that is free now stays so until its owner takes it, and while that restarts."""

TEMPLATE = multiprocessing.get_context("forkserver")
"""Daemons are forked from a process that has imported their code, which takes a second of a core each time else."""
TEMPLATE.set_forkserver_preload(["orchestrator.app", "orchestrator.cli"])

Value = TypeVar("Value")
Definition = Mapping[str, Any] | str | bytes


async def until(
    condition: Callable[[], Value | Awaitable[Value]], deadline: float = 15.0, *, every: float = 0.05, what: str = ""
) -> Value:
    """The first true value of `condition`, asked again every so often. Errors and failed asserts mean: not yet."""
    end = time.monotonic() + deadline
    while True:
        try:
            value = condition()
            found: Any = await value if inspect.isawaitable(value) else value
        except (OrchestratorError, AssertionError, OSError, LookupError, ValueError, aiohttp.ClientError) as error:
            found, seen = None, f"{type(error).__name__}: {error}"
        else:
            seen = repr(found)
        if found:
            return found  # type: ignore[no-any-return]
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:g} s: {what or inspect.getsource(condition).strip()}; {seen}")
        await asyncio.sleep(every)


def free_port() -> int:
    for port in itertools.islice(_PORTS, 200):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


def environ_of(pid: int) -> str:
    return Path(f"/proc/{pid}/environ").read_text("utf-8", "replace")


def echo(
    name: str = "echo",
    *,
    deployment: Mapping[str, Any] | None = None,
    check: Mapping[str, Any] | None = None,
    **service: Any,
) -> dict[str, Any]:
    """A definition of the echo example, with a quick health check. `service` replaces keys of `models[].service`."""
    quick = {"path": "/health", "interval": 0.5, "max_retries": 1, "max_wait_time": 2, "initial_delay": 10}
    served = {
        "start_command": ["python", "/models/server.py", "--port", "{port}"],
        "port": 8000,
        "health_check": {**quick, **(check or {})},
    }
    asked = {"stop_grace": 5, **(deployment or {})}
    return {"models": [{"name": name, "model_path": "/models", "service": {**served, **service}, "deployment": asked}]}


class Daemon:
    """`environ`: more ORCHESTRATOR_… variables; `clock`: `set_clock` sets its system clock; `tls`: certificate and key
    of API and gateway, believed as they are."""

    def __init__(
        self,
        tmp_path: Path,
        artifacts: Path,
        *,
        runtime: str = "process",
        environ: Mapping[str, str] | None = None,
        name: str = "o",
        clock: bool = False,
        tls: tuple[Path, Path] | None = None,
    ) -> None:
        self.folder = tmp_path / name
        self.state_dir, self.models = self.folder / "state", self.folder / "models"
        self.log = self.folder / "daemon.log"
        self._main = _serve_by_its_clock if clock else _serve
        scheme = "http" if tls is None else "https"
        self.url, self.gateway_url = (f"{scheme}://127.0.0.1:{free_port()}" for _ in range(2))
        self.trust = Trust() if tls is None else Trust(own=str(tls[0]))
        self.client = Client(self.url, trust=self.trust)
        self.artifacts = artifacts
        self._trash = self.folder / "trash"
        self.models.mkdir(parents=True)
        self.log.touch()
        self._trash.mkdir()
        self.process: Any = None
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "ORCHESTRATOR_CONFIG": os.devnull,
            "ORCHESTRATOR_STATE_DIR": str(self.state_dir),
            "ORCHESTRATOR_MODELS_DIRS": json.dumps([str(self.models)]),
            "ORCHESTRATOR_RUNTIME": runtime,
            "ORCHESTRATOR_API__LISTEN": self.url.removeprefix(f"{scheme}://"),
            "ORCHESTRATOR_GATEWAY__LISTEN": self.gateway_url.removeprefix(f"{scheme}://"),
            "ORCHESTRATOR_LOG__FORMAT": "json",
            **({} if tls is None else _with_tls(*tls)),
            **{k: os.environ[k] for k in ("DOCKER_HOST", "PYTHONPATH") if k in os.environ},
            **(environ or {}),
        }

    # --- its life

    async def __aenter__(self) -> Daemon:
        try:
            await self.start()
        except BaseException:
            self.save()
            await self.end_everything()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.client.__aexit__(None, None, None)
        finally:
            await self.end_everything()
            if kind is not None:
                self.save()

    async def start(self, *arguments: str, ready: bool = True, deadline: float = 20.0) -> None:
        """Start the process; `ready`: wait until it observed its runtime and can write its store."""
        self.process = TEMPLATE.Process(
            target=self._main, args=(["serve", *arguments], self.environ, str(self.folder), str(self.log))
        )
        self.process.start()
        if ready:
            await until(self._is_ready, deadline, what="the daemon is ready")

    async def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.exitcode is not None:
            raise RuntimeError(f"the daemon ended with {self.process.exitcode}:\n{self.log_tail()}")
        ssl = self.trust.context()
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz", ssl=ssl) as answer:
            assert answer.status == 200, await answer.text()
        await self.client.__aexit__(None, None, None)
        self.client = await Client(self.url, self.admin_token, trust=self.trust).__aenter__()
        return True

    async def kill(self) -> None:
        """`kill -9`, and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> int:
        """SIGTERM, and wait for its end; its exit code."""
        return await self._end(signal.SIGTERM)

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    async def _end(self, number: int) -> int:
        process = self.process
        assert process is not None
        assert process.pid is not None
        if process.exitcode is None:
            os.kill(process.pid, number)
        await until(lambda: process.exitcode is not None, 30, every=0.005, what="the daemon ends")
        assert process.exitcode is not None
        return process.exitcode

    def set_clock(self, ahead: float) -> None:
        """By so many seconds, as an administrator would, or a virtual machine that wakes up."""
        made = self._trash / uuid4().hex
        made.write_text(str(ahead))
        made.rename(self.folder / "clock")

    # --- what belongs to it

    @property
    def admin_token(self) -> str:
        return (self.state_dir / "admin.token").read_text().strip()

    def processes(self) -> dict[int, str]:
        """Every living process of this installation besides the daemon itself: pid to command line."""
        sign, found = str(self.folder).encode(), {}
        daemon = self.process.pid if self.process is not None else 0
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) not in (daemon, os.getpid()):
                with suppress(OSError):
                    command = (entry / "cmdline").read_bytes()
                    ended = (entry / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
                    if not ended and (sign in command or sign in (entry / "environ").read_bytes()):
                        found[int(entry.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()
        return found

    def gateway_processes(self) -> dict[int, str]:
        return {pid: line for pid, line in self.processes().items() if "haproxy" in line.split(" ")[0]}

    async def end_everything(self) -> None:
        """The daemon, then by pid whatever else of this installation still lives."""
        if self.process is not None:
            await self.kill()
        await until(self._nothing_left, 10, what="every process of the installation ends")

    def _nothing_left(self) -> bool:
        left = self.processes()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def save(self) -> None:
        """Keep the daemon's log and its small files for who looks into a failure."""
        target = self.artifacts / self.folder.name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in [self.log, *self.state_dir.rglob("*"), *self.models.rglob("*.yml")]:
            kept = target / path.relative_to(self.folder)
            with suppress(OSError):
                if (
                    path.is_file()
                    and not path.is_symlink()
                    and path.stat().st_size < 4 << 20
                    and "key" not in path.name
                ):
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, kept)

    def log_tail(self, count: int = 40) -> str:
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-count:])

    def logged(self) -> list[dict[str, Any]]:
        """The daemon's log lines, in order; a line that is not JSON (a traceback, a warning) is under `text`."""
        return [_parsed(line) for line in self.log.read_text("utf-8", "replace").splitlines()]

    # --- model folders

    def drop(self, name: str, definition: Definition, files: Mapping[str, str | bytes] | None = None) -> Path:
        """A model folder that appears whole, with the echo server's file in it."""
        made = self._trash / uuid4().hex
        made.mkdir()
        (made / "server.py").write_bytes((EXAMPLES / "echo" / "server.py").read_bytes())
        for path, text in (files or {}).items():
            (made / path).write_bytes(text.encode() if isinstance(text, str) else text)
        (made / "model-definition.yml").write_bytes(_text(definition))
        return made.rename(self.models / name)

    def edit(self, name: str, definition: Definition) -> None:
        """Replace a definition whole."""
        made = self._trash / uuid4().hex
        made.write_bytes(_text(definition))
        made.rename(self.models / name / "model-definition.yml")

    def remove(self, name: str) -> Path:
        """The folder vanishes at once; where it went."""
        return (self.models / name).rename(self._trash / uuid4().hex)

    # --- what one asks of it

    async def service(self, name: str) -> ServiceDetail:
        return await self.client.service(name)

    async def settled(self, name: str, count: int | None = None, deadline: float = 20.0) -> ServiceDetail:
        """Once it is HEALTHY with `count` routings and none that ends, all of one revision."""

        async def look() -> ServiceDetail | None:
            seen = await self.client.service(name)
            live = [r for r in seen.routings if r.status != "FAILED_TO_START"]
            wanted = seen.desired_routing_count if count is None else count
            assert seen.status is ServiceStatus.HEALTHY, (seen.status, seen.cause)
            assert len(live) == wanted, live
            assert {r.revision for r in live} == {seen.revision}, live
            return seen

        return await until(look, deadline, what=f"{name} is settled")  # type: ignore[return-value]

    async def token(self, service: str, **asked: Any) -> TokenView:
        """Its text is `.token`."""
        return await self.client.token_create(TokenRequest(service=service, **asked))

    async def header(self, service: str) -> dict[str, str]:
        return {"Authorization": f"BackendAI {(await self.token(service)).token}"}

    def endpoint(self, service: str, path: str = "/") -> str:
        return f"{self.gateway_url}/inference/{service}{path}"

    async def ask(
        self,
        service: str,
        path: str = "/",
        *,
        header: Mapping[str, str] | None = None,
        method: str = "GET",
        **more: Any,
    ) -> tuple[int, Any]:
        """Status and JSON of one request through the gateway, on a connection of its own."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.endpoint(service, path), headers=header or {}, **more) as answer,
        ):
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text

    async def cli(self, *arguments: str, stdin: bytes = b"", deadline: float = 60.0) -> tuple[int, str, str]:
        """Exit code, out and err of `orchestrator ARGUMENTS`, which finds this daemon by its environment."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "orchestrator", *arguments),
            cwd=self.folder,
            env=self.environ | {"NO_COLOR": "1", "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(deadline):
                out, err = await process.communicate(stdin)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def events(self, kind: str = "", service: str | None = None) -> Sequence[Any]:
        found = await self.client.events(service=service, limit=1000)
        return [e for e in found if e.kind.startswith(kind)]


def _with_tls(certificate: Path, key: Path) -> dict[str, str]:
    files = {"CERTIFICATE": str(certificate), "KEY": str(key)}
    return {f"ORCHESTRATOR_{part}__TLS_{name}": path for part in ("API", "GATEWAY") for name, path in files.items()}


def _serve(arguments: list[str], environ: Mapping[str, str], folder: str, log: str) -> None:
    """In the forked process: what `orchestrator ARGUMENTS` does."""
    from orchestrator.cli import main

    os.environ.clear()
    os.environ.update(environ)
    os.chdir(folder)
    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.argv = ["orchestrator", *arguments]
    main()


def _serve_by_its_clock(arguments: list[str], environ: Mapping[str, str], folder: str, log: str) -> None:
    """`_serve` on a machine whose clock only this process sees being set."""
    from orchestrator.auth import KeyRing
    from orchestrator.scheduler.clock import SteadyClock

    real, ahead = time.time, Path(folder, "clock")

    def set_by_hand() -> float:
        return real() + (float(ahead.read_text()) if ahead.exists() else 0.0)

    time.time = set_by_hand
    SteadyClock.__init__.__defaults__ = (set_by_hand, time.monotonic)  # type: ignore[attr-defined]
    KeyRing.open.__func__.__kwdefaults__["wall"] = set_by_hand
    _serve(arguments, environ, folder, log)


def _text(definition: Definition) -> bytes:
    if isinstance(definition, bytes):
        return definition
    return (definition if isinstance(definition, str) else json.dumps(definition, indent=1)).encode()


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {"text": line}
    return found if isinstance(found, dict) else {"text": line}
