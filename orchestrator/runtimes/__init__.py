"""Container engines behind one Protocol (core.ports.Runtime). A new one is a file, a line in `RUNTIMES`, and a case
of tests/contracts/test_runtime.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.ports import Runtime
from orchestrator.runtimes.memory import MemoryRuntime
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.settings import Settings


def _docker(settings: Settings, installation: str, state_dir: Path) -> Runtime:
    from orchestrator.runtimes.docker import DockerRuntime  # its client library is slow to import

    return DockerRuntime(settings.docker, installation, state_dir)


RUNTIMES: Mapping[str, Callable[[Settings, str, Path], Runtime]] = {
    "docker": _docker,
    "process": lambda _, installation, state_dir: ProcessRuntime(installation, state_dir),
    "memory": lambda _, installation, __: MemoryRuntime(installation),
}
"""By the name that config.toml's `runtime` has."""


async def open_runtime(settings: Settings, installation: str, state_dir: Path) -> tuple[Runtime, str]:
    """The configured runtime, and a sentence why it is this one. No engine is asked but for `auto`."""
    if settings.runtime != "auto":
        return RUNTIMES[settings.runtime](settings, installation, state_dir), "the configuration names it"
    docker: Runtime | None = None
    try:
        docker = _docker(settings, installation, state_dir)
        await docker.info()
    except (OrchestratorError, ImportError):
        if docker is not None:
            await docker.close()
        return ProcessRuntime(installation, state_dir), "no Docker Engine answers; `orchestrator doctor` says more"
    return docker, "a Docker Engine answers"
