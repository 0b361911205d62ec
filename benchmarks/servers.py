"""The model servers that the daemon's benchmarks start, and what starting them costs without any daemon."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import docker
import yaml

from benchmarks.lib import free_port, until

NETWORK = f"benchmark-{os.getpid()}"


@dataclass(frozen=True)
class Kind:
    """One server on one runtime; `command` has `{port}` and `{folder}` (its model folder as it sees it)."""

    label: str
    runtime: str
    image: str
    command: tuple[str, ...]

    def argv(self, port: int | str, folder: str) -> list[str]:
        return [part.format(port=port, folder=folder) for part in self.command]


PYTHON = ("python", "-m", "http.server", "--directory", "{folder}", "{port}")
KINDS = (
    Kind("process, Python's http.server", "process", "", PYTHON),
    Kind("docker, Python's http.server", "docker", "orchestrator/python:test", PYTHON),
    Kind(
        "docker, busybox httpd",
        "docker",
        "orchestrator/busybox:test",
        ("httpd", "-f", "-p", "{port}", "-h", "{folder}"),
    ),
)


def fill(folder: Path) -> None:
    """What the server serves."""
    folder.mkdir()
    (folder / "index.html").write_text("ok\n")


def define(
    folder: Path,
    kind: Kind,
    *,
    routings: int = 1,
    deployment: Mapping[str, Any] = MappingProxyType({}),
    **check: object,
) -> None:
    """Drop the definition: whole, in one step, as an editor or `mv` would. Its health check is the default one;
    `deployment`: keys besides."""
    command = kind.argv("{port}", "/models")
    service: Mapping[str, Any] = {"start_command": command, "port": 8000, "health_check": {"path": "/", **check}}
    deployed = {"desired_routing_count": routings, "stop_grace": 1, **deployment}
    model = {"name": folder.name, "model_path": "/models", "service": service, "deployment": deployed}
    draft = folder / ".draft"
    draft.write_text(yaml.safe_dump({"models": [model]}))
    draft.rename(folder / "model-definition.yml")


async def floor(kind: Kind, folder: Path) -> float:
    """Seconds from asking the engine itself to start this server to its first 200."""
    async with _started(kind, folder) as (began, host, port):
        await until(lambda: answers(f"http://{host}:{port}/"), limit=30)
        return time.perf_counter() - began


@asynccontextmanager
async def _started(kind: Kind, folder: Path) -> AsyncIterator[tuple[float, str, int]]:
    began = time.perf_counter()
    if kind.runtime == "process":
        port = free_port()
        argv = [sys.executable if part == "python" else part for part in kind.argv(port, str(folder))]
        process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield began, "127.0.0.1", port
        finally:
            process.kill()
            await process.wait()
    else:
        container = await asyncio.to_thread(_run, kind, folder)
        try:
            yield began, container.attrs["NetworkSettings"]["Networks"][NETWORK]["IPAddress"], 8000
        finally:
            await asyncio.to_thread(container.remove, force=True, v=True)


def _run(kind: Kind, folder: Path) -> Any:
    """As `docker run -d --init -v FOLDER:/models` would."""
    volumes = {str(folder): {"bind": "/models", "mode": "rw"}}
    argv = kind.argv(8000, "/models")
    container = engine().containers.create(kind.image, argv, init=True, volumes=volumes, network=NETWORK)
    try:
        container.start()
        container.reload()
    except docker.errors.APIError:
        container.remove(force=True, v=True)
        raise
    return container


@cache
def engine() -> docker.DockerClient:
    return docker.from_env()


@contextmanager
def own_network() -> Iterator[None]:
    """A bridge network for the floors, as each installation has one."""
    network = engine().networks.create(NETWORK)
    try:
        yield
    finally:
        network.remove()


async def answers(url: str, headers: Mapping[str, str] | None = None, *, limit: float = 2.0) -> bool:
    """Whether a GET on a connection of its own is answered with 200 within `limit` seconds."""
    parts = urlsplit(url)
    head = {"Host": parts.netloc, "Connection": "close", **(headers or {})}
    lines = [f"GET {parts.path} HTTP/1.1", *(f"{key}: {value}" for key, value in head.items()), "", ""]
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write("\r\n".join(lines).encode())
                return (await reader.readline()).split(b" ")[1:2] == [b"200"]
            finally:
                writer.close()
    return False
