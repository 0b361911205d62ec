"""What the engine knows of an image or a container, for whoever writes a definition from it. Used by `init`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import docker

from orchestrator.core.errors import NotFound
from orchestrator.core.ports import PullProgress
from orchestrator.runtimes.docker.client import Engine
from orchestrator.runtimes.docker.images import Pull, ensure

Inspected = Mapping[str, Any]


async def inspect_image(host: str, image: str, pull: Pull, progress: Callable[[PullProgress], None]) -> Inspected:
    """Fetched first where `pull` says so. Raises `RuntimeFailure` (image_missing, image_denied) or `Unavailable`."""
    engine = Engine(host)
    try:
        found = await ensure(engine, image, pull, progress)
        return await engine.call(f"look at the image {image}", lambda api: _as_map(api.inspect_image(found)))  # type: ignore[no-untyped-call]
    finally:
        await engine.close()


async def inspect_container(host: str, name: str) -> tuple[Inspected, Inspected]:
    """The container, and its image. Raises `NotFound` or `Unavailable`."""

    def look(api: docker.APIClient) -> tuple[Inspected, Inspected] | None:
        try:
            found = _as_map(api.inspect_container(name))
        except docker.errors.NotFound:
            return None
        try:
            return found, _as_map(api.inspect_image(found["Image"]))  # type: ignore[no-untyped-call]
        except docker.errors.ImageNotFound:  # it goes on without its name
            return found, {}

    engine = Engine(host)
    try:
        both = await engine.call(f"look at the container {name}", look)
    finally:
        await engine.close()
    if both is None:
        raise NotFound(f"cannot find the container {name!r}", hint="`docker ps -a` lists them")
    return both


def _as_map(found: Any) -> Inspected:
    return dict(found)
