"""Fetching images from a registry of the loopback, which the engine trusts without TLS."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import socket
import tarfile
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import docker
import pytest
from aiohttp import web
from docker_box import Box

from orchestrator.core.errors import RuntimeFailure, Unavailable
from orchestrator.core.ports import PullProgress
from orchestrator.runtimes.docker import DockerRuntime
from orchestrator.runtimes.docker.client import Engine

pytestmark = pytest.mark.docker

SIZE = 4 << 20
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class Registry:
    """Serves one image of one layer as `x:1`; `secret` asks for credentials."""

    def __init__(self) -> None:
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            info = tarfile.TarInfo("weights")
            info.size = SIZE
            tar.addfile(info, io.BytesIO(random.Random(uuid.uuid4().int).randbytes(SIZE)))
        packed = gzip.compress(layer.getvalue(), 1)
        rootfs = {"type": "layers", "diff_ids": [digest(layer.getvalue())]}
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
        self.blobs = {digest(packed): packed, digest(config): config}
        described = [{"mediaType": "", "size": len(part), "digest": digest(part)} for part in (config, packed)]
        described[0]["mediaType"] = "application/vnd.docker.container.image.v1+json"
        described[1]["mediaType"] = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        self.manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MANIFEST, "config": described[0], "layers": [described[1]]}
        ).encode()

    async def serve(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/v2/")
        if path == "":
            return web.json_response({})
        if path.startswith("secret/"):
            return _refusal(401, "UNAUTHORIZED", "authentication required")
        if path in ("x/manifests/1", f"x/manifests/{digest(self.manifest)}"):
            headers = {"Docker-Content-Digest": digest(self.manifest)}
            return web.Response(body=self.manifest, content_type=MANIFEST, headers=headers)
        if blob := self.blobs.get(path.removeprefix("x/blobs/")):
            return web.Response(body=blob)
        return _refusal(404, "MANIFEST_UNKNOWN", "manifest unknown")


def _refusal(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


@pytest.fixture
async def registry() -> AsyncIterator[str]:
    """Its host and port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Registry().serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield "{}:{}".format(*runner.addresses[0])
    await runner.cleanup()


@pytest.fixture
async def box(docker_runtime: Callable[..., DockerRuntime], tmp_path: Path) -> AsyncIterator[Box]:
    box = Box(docker_runtime(pull="missing"), tmp_path)
    yield box
    await box.close()


async def test_a_missing_image_is_fetched_with_progress(box: Box, registry: str, engine: docker.DockerClient) -> None:
    image = f"{registry}/x:1"
    progress: list[PullProgress] = []
    fetched = await box.runtime.ensure_image(box.unit(image), progress.append)
    try:
        assert engine.api.inspect_image(image)["Id"] == fetched
        assert {step.image for step in progress} == {image}
        assert [step.current for step in progress] == sorted(step.current for step in progress)
        assert progress[-1].current == progress[-1].total > SIZE * 0.9
        progress.clear()
        assert await box.runtime.ensure_image(box.unit(image), progress.append) == fetched
        assert progress == []
    finally:
        engine.api.remove_image(image)


@pytest.mark.parametrize(("name", "code"), [("nothing:1", "image_missing"), ("secret/x:1", "image_denied")])
async def test_what_a_registry_refuses(box: Box, registry: str, name: str, code: str) -> None:
    with pytest.raises(RuntimeFailure, match=f"cannot fetch image {registry}/{name}: ") as caught:
        await box.runtime.ensure_image(box.unit(f"{registry}/{name}"), lambda _: None)
    assert caught.value.code == code
    assert caught.value.hint


async def test_a_registry_that_does_not_answer(box: Box, free_port: Callable[[], int]) -> None:
    with pytest.raises(Unavailable, match="cannot fetch image") as caught:
        await box.runtime.ensure_image(box.unit(f"127.0.0.1:{free_port()}/x:1"), lambda _: None)
    assert caught.value.code == "image_unreachable"


async def test_an_alias_stands_for_another_image(docker_runtime: Callable[..., DockerRuntime], tmp_path: Path) -> None:
    box = Box(docker_runtime(image_aliases={"old/name:1": "orchestrator/busybox:test"}), tmp_path)
    through = await box.runtime.ensure_image(box.unit("old/name:1"), lambda _: None)
    assert through == await box.runtime.ensure_image(box.unit("busybox"), lambda _: None)
    await box.close()


async def test_an_engine_that_hangs_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        engine = Engine(f"unix://{tmp_path}/s")
        with pytest.raises(Unavailable, match=r"cannot look: .* no answer within 0\.2 s"):
            await engine.call("look", lambda api: api.info(), limit=0.2)
        await engine.close()
