"""Makes an image present by the configured policy, and tells why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import docker
from docker.auth import get_config_header, resolve_repository_name
from docker.utils import parse_repository_tag

from orchestrator.core.errors import RuntimeFailure, Unavailable
from orchestrator.core.fetching import Layers
from orchestrator.core.ports import PullProgress
from orchestrator.runtimes.docker.client import CONNECT_LIMIT, Body, Engine, events, opened
from orchestrator.runtimes.docker.errors import explained

Pull = Literal["missing", "always", "never"]
SILENCE = 300.0
"""Seconds without a word after which a pull has failed."""


async def ensure(engine: Engine, image: str, policy: Pull, progress: Callable[[PullProgress], None]) -> str:
    """The image's id. Raises `RuntimeFailure` (image_missing, image_denied) or `Unavailable`."""
    found = await engine.call(f"look for image {image}", lambda api: image_id(api, image))
    if found and policy != "always":
        return found
    if policy == "never":
        raise RuntimeFailure(
            f"cannot use image {image}: the engine does not have it, and images are never fetched here",
            hint=f'fetch it (`docker pull {image}`), or set [docker] pull = "missing" in config.toml',
            code="image_missing",
        )
    await _pull(engine, image, progress)
    found = await engine.call(f"look for image {image}", lambda api: image_id(api, image))
    if not found:
        raise RuntimeFailure(f"cannot fetch image {image}: the engine does not have it after all", code="image_missing")
    return found


def image_id(api: docker.APIClient, image: str) -> str:
    """Empty: the engine does not have it."""
    try:
        return str(api.inspect_image(image)["Id"])  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        return ""


async def _pull(engine: Engine, image: str, progress: Callable[[PullProgress], None]) -> None:
    layers = Layers(image)
    async for batch in engine.stream(f"fetch image {image}", lambda api: _source(api, image)):
        for event in batch:
            if "error" in event:
                raise _failure(image, str(event["error"]))
            told = (str(event.get("id", "")), str(event.get("status", "")), event.get("progressDetail") or {})
            if layers.note(*told):
                progress(layers.progress())


def _source(api: docker.APIClient, image: str) -> Body[dict[str, Any]]:
    repository, tag = parse_repository_tag(image)
    auth = get_config_header(api, resolve_repository_name(repository)[0])
    params = {"fromImage": repository, "tag": tag or "latest"}
    headers = {"X-Registry-Auth": auth} if auth else {}
    silence = (CONNECT_LIMIT, SILENCE)
    try:
        return Body(opened(api, "POST", "/images/create", params=params, headers=headers, timeout=silence), events)
    except docker.errors.APIError as error:
        raise _failure(image, str(error.explanation)) from error


def _failure(image: str, text: str) -> RuntimeFailure | Unavailable:
    doing = f"fetch image {image}"
    return explained(text, doing) or Unavailable(
        f"cannot {doing}: {text}",
        hint="check the image's name and that the engine's host reaches its registry",
        code="image_unreachable",
    )
