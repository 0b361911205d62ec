"""First definitions: whatever the engine tells or somebody answers, they are valid and say that."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.draft_text import definition_text
from orchestrator.core.drafting import Draft, command_of, of_container, of_image, with_port
from orchestrator.core.loading import load


def read(draft: Draft) -> Any:
    """The first model of the definition that is drafted, which must be valid."""
    written = definition_text(draft)
    loaded = load(written.encode(), "model-definition.yml")
    assert loaded.definition is not None, f"{loaded.problems}\n{written}"
    return loaded.definition.models[0]


IMAGE = {
    "Config": {
        "Entrypoint": ["python", "serve.py"],
        "Cmd": ["--port", "8080", "--len", "8080"],
        "Env": ["PATH=/bin", "MODE=slow"],
        "ExposedPorts": {"9999/tcp": {}, "8080/tcp": {}},
        "WorkingDir": "/app",
        "Labels": {"org.opencontainers.image.title": "A: server"},
        "Healthcheck": {
            "Test": ["CMD-SHELL", "curl -f http://localhost:8080/ready?x=1 || exit 1"],
            "Interval": 5 * 10**9,
        },
    }
}
CONTAINER = {
    "Name": "/happy_turing",
    "Config": {
        **IMAGE["Config"],
        "Image": "r.example/a:1",
        "Env": ["PATH=/bin", "MODE=fast", "HF_TOKEN=abc", "PORT=1"],
    },
    "HostConfig": {
        "NanoCpus": 1_500_000_000,
        "Memory": 8 << 30,
        "ShmSize": 1 << 30,
        "DeviceRequests": [{"Count": 2, "Capabilities": [["gpu"]]}],
        "Privileged": True,
        "NetworkMode": "host",
    },
    "Mounts": [{"Type": "bind", "Source": "/data", "Destination": "/d"}],
}


def test_an_image_is_taken_as_it_is() -> None:
    draft = of_image(Draft("m"), "r.example/a:1", IMAGE)
    model = read(draft)
    assert (model.service.port, model.service.start_command) == (8080, None)
    assert (model.service.health_check.path, model.service.health_check.interval) == ("/ready?x=1", 5)
    assert (model.model_path, model.deployment.model_mount_destination) == ("/app", "/models")
    assert (model.deployment.image, model.metadata["title"]) == ("r.example/a:1", "A: server")
    written = definition_text(draft)
    assert '#start_command: [python, serve.py, --port, "{port}", --len, "8080"]' in written
    assert "port: 8080  # the image exposes 9999, too" in written


def test_of_a_container_its_own_is_taken_and_no_secret() -> None:
    draft = of_container(Draft("m"), CONTAINER, IMAGE)
    model = read(draft)
    assert model.service.start_command is None, "its command is the image's"
    assert dict(model.deployment.environ) == {"MODE": "fast"}
    assert model.deployment.resources is not None
    written = definition_text(draft)
    assert "abc" not in written
    assert "#secrets: {HF_TOKEN: hf-token}" in written
    assert [line for line in written.splitlines() if line.startswith("# - ")] == [
        "# - /data is mounted at /d: put what is needed of it into this folder, or see extra_mounts",
        "# - it is privileged: no routing is",
        """# - it uses the host's network: see network, and [docker] allowed_networks = ["host"]""",
    ]
    for said in ("cpu: 1.5", "mem: 8g", "shm: 1g", "cuda.device: 2"):
        assert f"        {said}\n" in written


def test_a_command_of_its_own_and_a_published_port_win() -> None:
    config = {**CONTAINER["Config"], "Entrypoint": None, "Cmd": ["serve", "--port=8000"]}  # type: ignore[dict-item]
    other = {**CONTAINER, "Config": config, "HostConfig": {"PortBindings": {"8000/tcp": [{"HostPort": "1"}]}}}
    model = read(of_container(Draft("m"), other, IMAGE))
    assert (model.service.start_command, model.service.port) == (("serve", "--port={port}"), 8000)


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        (["x", "--port", "80"], ["x", "--port", "{port}"]),
        (["x", "--http-port=80", "-p", "80"], ["x", "--http-port={port}", "-p", "{port}"]),
        (["x", "0.0.0.0:80", "[::]:80"], ["x", "0.0.0.0:{port}", "[::]:{port}"]),
        (
            ["x", "--size", "80", "80", "a:180", "--port", "8080"],
            ["x", "--size", "80", "80", "a:180", "--port", "8080"],
        ),
    ],
)
def test_only_what_is_the_port_for_sure_becomes_one(argv: list[str], found: list[str]) -> None:
    assert with_port(argv, 80) == tuple(found)


@pytest.mark.parametrize(
    ("answer", "command"),
    [
        ("python s.py 'a b'", ("python", "s.py", "a b")),
        ("cd /app && run", "cd /app && run"),
        ("run $HOME", "run $HOME"),
        ("run 'open", "run 'open"),
    ],
)
def test_a_typed_command_needs_a_shell_only_where_it_uses_one(answer: str, command: object) -> None:
    assert command_of(answer) == command


words = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("{}#:-'\"\\,[]&*!|>% \n\t"), max_size=9
)
names = st.text("ABC_xyz019", min_size=1, max_size=8)
REFUSED = ("models[0].service.start_command", "models[0].deployment.environ")
"""What may be wrong with what an engine tells: a brace that is not closed, a variable that begins with a digit."""


@given(st.lists(words, min_size=1, max_size=4), st.dictionaries(names, words, max_size=3), words, words)
def test_whatever_is_in_it_comes_back_as_it_was(
    argv: list[str], environ: dict[str, str], title: str, note: str
) -> None:
    line = " ".join(title.split())
    draft = Draft("m", command=tuple(argv), environ=environ, title=line, notes=(note,), source=note, told=note)
    wrong = [p for p in load(definition_text(draft).encode(), "f").problems if p.severity == "error"]
    assert all(p.path.startswith(REFUSED) for p in wrong), wrong
    if not wrong:
        model = read(draft)
        assert model.service.start_command == tuple(argv)
        assert dict(model.deployment.environ or {}) == environ
        assert (model.metadata or {}).get("title", "") == line


DRAFTS = [Draft("m"), of_image(Draft("m"), "i", IMAGE), of_container(Draft("m"), CONTAINER, IMAGE)]


@pytest.mark.parametrize("draft", DRAFTS)
def test_each_comment_that_offers_a_key_is_one_that_is_valid(draft: Draft) -> None:
    written = definition_text(draft)
    offered = re.sub(r"(?m)^( *)#(?=[a-z])", r"\1", written)
    assert offered.count("#") < written.count("#")
    loaded = load(offered.encode(), "f")
    assert loaded.definition is not None, loaded.problems
    assert loaded.definition.models[0].deployment.secrets


odd = words | st.none() | st.lists(words, max_size=3) | st.integers()


@given(st.dictionaries(st.sampled_from(["WorkingDir", "Entrypoint", "Cmd", "Env", "User", "ExposedPorts"]), odd))
def test_odd_answers_of_an_engine_are_no_crash(config: dict[str, Any]) -> None:
    if not isinstance(config.get("ExposedPorts"), int):
        definition_text(of_container(Draft("m"), {"Config": config}, {}))
        definition_text(of_container(Draft("m"), {}, {"Config": None}))
