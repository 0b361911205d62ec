"""`orchestrator init`: definitions from a real engine's images and containers, and from answers on a terminal."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from small_control import Cli
from test_cli_models import on_a_terminal

from orchestrator.core.loading import load

DOCKERFILE = """
FROM orchestrator/python:test
WORKDIR /app
EXPOSE 8000
ENV MODE=slow
HEALTHCHECK --interval=5s CMD wget -q http://127.0.0.1:8000/ready
CMD ["python3", "-m", "http.server", "8000"]
"""


@pytest.fixture
def image(engine: docker.DockerClient) -> Iterator[str]:
    """Made from one that the engine has, without a network."""
    name, context = f"test-init-{uuid4().hex[:8]}:1", io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(DOCKERFILE)
        tar.addfile(member, io.BytesIO(DOCKERFILE.encode()))
    context.seek(0)
    engine.images.build(fileobj=context, custom_context=True, tag=name, rm=True)
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ORCHESTRATOR_CONFIG", os.devnull)
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ORCHESTRATOR_DOCKER__PULL", "never")


def model(folder: Path) -> dict[str, object]:
    """What the definition says, where it was said."""
    found = load((folder / "model-definition.yml").read_bytes(), "f").definition
    assert found is not None
    return found.model_dump(mode="json", exclude_unset=True)["models"][0]  # type: ignore[no-any-return]


@pytest.mark.docker
def test_an_image_becomes_a_definition_that_nothing_overwrites(cli: Cli, image: str, tmp_path: Path) -> None:
    code, out, _ = cli("init", "m", "--image", image)
    assert (code, "written, and valid" in out) == (0, True)
    found = model(tmp_path / "m")
    assert found["service"] == {
        "port": 8000,
        "health_check": {"path": "/ready", "interval": 5.0, "initial_delay": 60.0},
    }
    assert found["deployment"]["image"] == image  # type: ignore[index]
    assert cli("validate", "m")[0] == 0
    (tmp_path / "m" / "model-definition.yml").rename(tmp_path / "m" / "model-definition.yaml")
    code, _, err = cli("init", "m", "--image", image)
    assert (code, "model-definition.yaml: it is there already" in err) == (2, True)
    code, out, _ = cli("init", "m", "--image", image, "--force", "--port", "9000", "-o", "json")
    assert (code, json.loads(out)["file"]) == (0, str(tmp_path / "m" / "model-definition.yaml"))
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["model-definition.yaml"]


@pytest.mark.docker
def test_a_container_becomes_a_definition_without_its_secrets(
    cli: Cli, image: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    environ = {"MODE": "fast", "API_KEY": "hidden-value"}
    made = engine.containers.create(image, environment=environ, mem_limit="512m", network_mode="none")
    try:
        code, _, err = cli("init", "m", "--container", str(made.name))
    finally:
        made.remove(force=True)
    assert (code, "API_KEY" in err) == (0, True)
    found = model(tmp_path / "m")["deployment"]
    assert (found["environ"], found["resources"]) == ({"MODE": "fast"}, {"mem": 512.0 * 2**20})  # type: ignore[index]
    assert "hidden-value" not in (tmp_path / "m" / "model-definition.yml").read_text()


@pytest.mark.docker
@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("--image", "test-init-nobody/has:1"), 1, "the engine does not have it"),
        (("--container", "test-init-nobody"), 1, "cannot find the container"),
        (("--image", "a", "--container", "b"), 2, "give --image or --container"),
        ((), 2, "not a terminal"),
        (("--port", "70000", "--image", "a"), 2, "65535"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_made(
    args: tuple[str, ...], code: int, said: str, cli: Cli, engine: docker.DockerClient, tmp_path: Path
) -> None:
    assert engine is not None
    found, _, err = cli("init", "m", *args)
    assert (found, said in err) == (code, True), err
    assert not (tmp_path / "m").exists()


@pytest.mark.docker
def test_what_config_does_not_allow_is_not_written(
    cli: Cli, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DOCKER__ALLOWED_IMAGES", "registry.example/*")
    code, _, err = cli("init", "m", "--image", image)
    assert (code, "is not allowed here" in err) == (2, True), err
    assert not (tmp_path / "m").exists()


def test_answers_on_a_terminal_become_a_definition(url: str, tmp_path: Path) -> None:
    answers = ["my model", "", "python serve.py --port {port}", "0", "8100", "-", "1", "4g", "y"]
    environ = {"ORCHESTRATOR_CONFIG": os.devnull, "ORCHESTRATOR_STATE_DIR": str(tmp_path / "state")}
    code, seen = on_a_terminal(
        url, "init", str(tmp_path / "m"), answers="".join(f"{one}\n" for one in answers), environ=environ
    )
    assert code == 0, seen
    assert "a number from 1 to 65535" in seen
    assert model(tmp_path / "m") == {
        "name": "my model",
        "model_path": "/models",
        "service": {"start_command": ["python", "serve.py", "--port", "{port}"], "port": 8100},
        "deployment": {
            "desired_routing_count": 1,
            "open_to_public": True,
            "resources": {"mem": 4.0 * 2**30, "cuda.device": 1.0},
        },
    }
