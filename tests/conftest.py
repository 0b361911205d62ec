"""What every test may ask for: a free port, a place for artifacts, a real Docker Engine, and no task left behind."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from hypothesis import HealthCheck, settings

from orchestrator.settings import DockerSettings

ROOT = Path(__file__).resolve().parent.parent
INSTALLATION = "orchestrator.installation"
STALE = 3600.0
"""Seconds after which what an interrupted test run left on the engine is removed by the next."""


def pytest_configure() -> None:
    """Properties hold on slow machines, too. What the tests start must be interruptible also where they run in the
    background of a shell, which ignores SIGINT for its background."""
    settings.register_profile("orchestrator", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("orchestrator")
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every asynchronous test must end with the tasks it began with; checked after its other fixtures closed."""
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(inspect.unwrap(item.obj)):
            item.fixturenames.insert(0, "no_task_left_behind")


@pytest.fixture
async def no_task_left_behind() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    deadline = time.monotonic() + 1.0
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if time.monotonic() > deadline:
            names = ", ".join(f"{task.get_name()} {task.get_coro()}" for task in left)
            for task in left:
                task.cancel()
            pytest.fail(f"tasks left behind: {names}")
        await asyncio.sleep(0.01)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that names a TCP port of 127.0.0.1 that nothing listened on a moment ago."""

    def pick() -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return pick


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> Path:
    """A folder of this test's own under artifacts/ that stays: logs, answers, pictures of what went wrong."""
    folder = ROOT / "artifacts" / re.sub(r"[^A-Za-z0-9._-]+", "_", request.node.nodeid)[-150:]
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The Docker Engine of this machine, by docker-py. A machine without one fails: tests are never skipped."""
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except docker.errors.DockerException as error:
        pytest.fail(f"no Docker Engine answers ({error}): run scripts/test-host.sh")
    sweep(client, "test-", older_than=STALE)
    yield client
    client.close()


def sweep(client: docker.DockerClient, prefix: str, *, older_than: float = 0.0) -> None:
    """Remove the containers and networks of all installations whose id begins with `prefix`."""
    low = client.api

    def ours(thing: dict[str, Any], created: float) -> bool:
        label = (thing.get("Labels") or {}).get(INSTALLATION, "")
        return label.startswith(prefix) and created <= time.time() - older_than

    for container in low.containers(all=True, filters={"label": INSTALLATION}):
        if ours(container, container["Created"]):
            quietly(low.remove_container, container["Id"], force=True, v=True)
    for network in low.networks(filters={"label": INSTALLATION}):
        if ours(network, epoch(network["Created"])):
            quietly(low.remove_network, network["Id"])


def quietly(call: Callable[..., object], *args: object, **options: object) -> None:
    with contextlib.suppress(docker.errors.APIError):  # another run removes the same at the same time
        call(*args, **options)


def epoch(stamp: str) -> float:
    """Wall seconds of the engine's RFC 3339 time."""
    return time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


@pytest.fixture
def docker_runtime(engine: docker.DockerClient, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """A function that makes a DockerRuntime of an installation of its own (or the one named). Who makes it closes it;
    what it left on the engine is swept.

    Keywords: the keys of [docker].
    """
    from orchestrator.runtimes.docker import DockerRuntime

    made: set[str] = set()

    def make(installation: str = "", **settings: Any) -> DockerRuntime:
        name = installation or f"test-{uuid.uuid4().hex[:12]}"
        made.add(name)
        return DockerRuntime(DockerSettings(**({"pull": "never"} | settings)), name, tmp_path / name)

    yield make
    for name in made:
        sweep(engine, name)
