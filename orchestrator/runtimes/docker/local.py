"""What the engine already has: which of its images can run a definition that names none."""

from __future__ import annotations

from orchestrator.core.errors import OrchestratorError
from orchestrator.runtimes.docker.client import Engine
from orchestrator.settings import DockerSettings

WITH_PYTHON = ("python", "orchestrator/python")
"""Repositories, best first."""


async def python_image(settings: DockerSettings) -> str | None:
    """The newest local image of `WITH_PYTHON`; empty: there is none; None: no engine answers."""
    engine = Engine(settings.host)
    try:
        images = await engine.call("list images", lambda api: api.images(), limit=10)
    except OrchestratorError:
        return None
    finally:
        await engine.close()
    tags = [(image["Created"], tag) for image in images for tag in image.get("RepoTags") or ()]
    for repository in WITH_PYTHON:
        found = [(created, tag) for created, tag in tags if tag.rpartition(":")[0] == repository]
        if found:
            return str(max(found)[1])
    return ""
