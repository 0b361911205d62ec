"""Docker for scenarios: daemons whose containers are looked at from outside, and engines of one's own to break.

`DockerDaemon` is a `Daemon` on the Docker runtime; what its installation left on the engine goes when it ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import docker
from harness import Daemon, until

import orchestrator.runtimes.docker  # noqa: F401  # docker-py then closes the sockets of refused connections

PYTHON, BUSYBOX = "orchestrator/python:test", "orchestrator/busybox:test"
INSTALLATION, ROUTING = "orchestrator.installation", "orchestrator.routing"
POOL, POOL_PREFIX = "10.213.0.0/16", "10.213."
"""Addresses of the networks of an engine of one's own, apart from those that the machine's engine hands out."""

CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/c"
[ttrpc]
address = "{folder}/c.ttrpc"
"""

Value = TypeVar("Value")


class DockerDaemon(Daemon):
    """`host`: the engine's address, else the machine's own. `settings`: ORCHESTRATOR_… variables, without the prefix,
    maps as such."""

    def __init__(self, tmp_path: Path, artifacts: Path, *, host: str = "", name: str = "o", **settings: Any) -> None:
        asked = {"docker__pull": "never", "defaults": {"image": PYTHON}, "docker__host": host, **settings}
        environ = {
            f"ORCHESTRATOR_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
            for key, value in asked.items()
        }
        super().__init__(tmp_path, artifacts, runtime="docker", environ=environ, name=name)
        self.engine = docker.APIClient(base_url=host, timeout=30) if host else docker.from_env(timeout=30).api

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            with suppress(OSError, docker.errors.DockerException):
                await asyncio.to_thread(self._sweep)
            self.engine.close()

    @property
    def installation(self) -> str:
        with closing(sqlite3.connect(f"file:{self.state_dir}/orchestrator.db?mode=ro", uri=True)) as store:
            return str(store.execute("select value from meta where key = 'installation'").fetchone()[0])

    def containers(self) -> dict[str, dict[str, Any]]:
        """Routing id to what the engine lists about its container, ended ones too."""
        found = self.engine.containers(all=True, filters={"label": f"{INSTALLATION}={self.installation}"})
        return {c["Labels"][ROUTING]: c for c in found}

    def networks(self) -> list[str]:
        return [n["Id"] for n in self.engine.networks(filters={"label": f"{INSTALLATION}={self.installation}"})]

    async def container(self, service: str) -> tuple[str, str]:
        """Routing id and container id of the service's only routing."""
        (routing,) = (await self.settled(service, 1)).routings
        return routing.id, self.containers()[routing.id]["Id"]

    async def inspected(self, service: str) -> dict[str, Any]:
        return dict(await self.on_engine(self.engine.inspect_container, (await self.container(service))[1]))

    async def on_engine(self, call: Callable[..., Value], *arguments: Any, **options: Any) -> Value:
        """A call of docker-py beside the load: in a thread."""
        return await asyncio.to_thread(call, *arguments, **options)

    def floor(self, image: str, command: list[str]) -> float:
        """Seconds that the engine itself takes now, busy as the machine is, to create and start a container."""
        began = time.monotonic()
        made = self.engine.create_container(image, command, network_disabled=True)["Id"]
        try:
            self.engine.start(made)
            return time.monotonic() - began
        finally:
            self.engine.remove_container(made, force=True)

    def _sweep(self) -> None:
        for container in self.containers().values():
            with suppress(docker.errors.APIError):
                self.engine.remove_container(container["Id"], force=True, v=True)
        for network in self.networks():
            with suppress(docker.errors.APIError):
                self.engine.remove_network(network)


class OwnEngine:
    """A dockerd of the test's own, with the busybox image, to be restarted and killed.

    It leaves the machine's firewall alone: with rules of its own it would flush those of the machine's engine, and
    routings are reached from the host without any. Its containerd is a process beside it, as packages install it.
    """

    def __init__(self, *, live_restore: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="eng"))  # short: containerd's socket paths are limited
        self.host = f"unix://{self.folder}/s"
        self._live_restore = live_restore
        self._containerd: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> OwnEngine:
        try:
            (self.folder / "containerd.toml").write_text(CONTAINERD.format(folder=self.folder))
            self._containerd = self._run("containerd", "--config", f"{self.folder}/containerd.toml")
            await until(lambda: (self.folder / "c").exists(), 10, what="containerd listens")
            await self.start()
            await asyncio.to_thread(self._load, BUSYBOX)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def start(self) -> float:
        """Seconds until it answers."""
        began = time.monotonic()
        options: Mapping[str, object] = {
            "containerd": self.folder / "c",
            "data-root": self.folder / "data",
            "exec-root": self.folder / "run",
            "pidfile": self.folder / "pid",
            "host": self.host,
            "bridge": "none",
            "iptables": "false",
            "ip-masq": "false",
            "cgroup-parent": f"/{self.folder.name}",
            "default-address-pool": f"base={POOL},size=24",
            "live-restore": str(self._live_restore).lower(),
        }
        self._process = self._run("dockerd", *(f"--{key}={value}" for key, value in options.items()))
        await until(self._answers, 30, what="the engine answers")
        return time.monotonic() - began

    def _run(self, *command: str) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=self.folder
            )

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def close(self) -> None:
        """It, its containerd and whatever containers it left; then its folder."""
        await self._end(signal.SIGTERM)
        await until(self._nothing_left, 20, what="every process of the engine ends")
        if self._containerd is not None:
            self._containerd.wait(10)
        await asyncio.to_thread(self._remove_folder)

    async def _end(self, number: int) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(number)
            await until(lambda: process.poll() is not None, 30, what="dockerd ends")

    async def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError((self.folder / "log").read_text()[-2000:])
        reader, writer = await asyncio.open_unix_connection(self.folder / "s")
        try:
            writer.write(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in await asyncio.wait_for(reader.read(), 5)
        finally:
            writer.close()

    def _load(self, image: str) -> None:
        with closing(docker.from_env(timeout=60).api) as ours, closing(docker.APIClient(self.host, timeout=60)) as own:
            own.load_image(b"".join(ours.get_image(image)))  # type: ignore[no-untyped-call]

    def _nothing_left(self) -> bool:
        """Shims are named by the engine's folder; what they hold would outlive them, so it goes first."""
        left = [pid for pid, line in _commands().items() if str(self.folder) in line]
        shims = [pid for pid, line in _commands().items() if str(self.folder) in line and "containerd-shim" in line]
        for pid in [*(child for shim in shims for child in _children(shim)), *left]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    def _remove_folder(self) -> None:
        """With the mounts in it, and the bridges that live-restore would keep for the next start."""
        bridges = json.loads(subprocess.run(["ip", "-json", "address"], check=True, capture_output=True).stdout)
        for link in bridges:
            if any(address["local"].startswith(POOL_PREFIX) for address in link["addr_info"]):
                subprocess.run(["ip", "link", "delete", link["ifname"]], check=False, capture_output=True)
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if (place := line.split(" ")[1]).startswith(str(self.folder)):
                subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def _commands() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                if (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
