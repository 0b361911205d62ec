"""Daemons for scenarios: as many as a test asks for, each ended with all that it started; logs kept of what failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import docker
import pytest
from browsing import Tab, Tabs, chromium, open_tab
from docker_host import DockerDaemon
from harness import Daemon

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
async def daemons(
    request: pytest.FixtureRequest, tmp_path: Path, artifacts: Path
) -> AsyncIterator[Callable[..., Awaitable[Daemon]]]:
    """A function that starts a daemon; keywords as of `Daemon`, which needs a `name` of its own from the second on."""
    async with AsyncExitStack() as stack:
        started: list[Daemon] = []

        async def start(**options: Any) -> Daemon:
            daemon = Daemon(tmp_path, artifacts, **options)
            started.append(daemon)
            return await stack.enter_async_context(daemon)

        yield start
        if request.node.stash.get(FAILED, False):
            for daemon in started:
                daemon.save()


@pytest.fixture
async def daemon(daemons: Callable[..., Awaitable[Daemon]]) -> Daemon:
    """A daemon on the process runtime."""
    return await daemons()


@pytest.fixture
async def docker_daemons(
    request: pytest.FixtureRequest,
    engine: docker.DockerClient,  # noqa: ARG001
    tmp_path: Path,
    artifacts: Path,
) -> AsyncIterator[Callable[..., Awaitable[DockerDaemon]]]:
    """A function that starts a daemon on the Docker runtime; keywords as of `DockerDaemon`."""
    async with AsyncExitStack() as stack:
        started: list[DockerDaemon] = []

        async def start(**options: Any) -> DockerDaemon:
            daemon = DockerDaemon(tmp_path, artifacts, **options)
            started.append(daemon)
            await stack.enter_async_context(daemon)
            return daemon

        yield start
        if request.node.stash.get(FAILED, False):
            for daemon in started:
                daemon.save()


@pytest.fixture
async def docker_daemon(docker_daemons: Callable[..., Awaitable[DockerDaemon]]) -> DockerDaemon:
    """A daemon on the machine's engine, with the Python image for whoever names none."""
    return await docker_daemons()


@pytest.fixture
async def tabs(request: pytest.FixtureRequest, artifacts: Path) -> AsyncIterator[Tabs]:
    """A function that opens a tab on a daemon; keywords as of `open_tab`. In the end none has seen an error that its
    test did not expect, or asked anybody but the daemon. What a failed test saw last is kept."""
    async with chromium() as browser:
        opened: list[Tab] = []

        async def make(daemon: Daemon, **options: Any) -> Tab:
            opened.append(await open_tab(browser, daemon, **options))
            return opened[-1]

        yield make
        if request.node.stash.get(FAILED, False):
            artifacts.mkdir(parents=True, exist_ok=True)
            for number, tab in enumerate(opened):
                await tab.page.screenshot(path=artifacts / f"tab-{number}.png")
        assert [error for tab in opened for error in tab.unexpected()] == []
        assert [url for tab in opened for url in tab.elsewhere] == []


@pytest.fixture
async def daemon_manual(daemons: Callable[..., Awaitable[Daemon]]) -> Daemon:
    """A daemon that takes nothing over by itself."""
    return await daemons(environ={"ORCHESTRATOR_APPLY": "manual"})
