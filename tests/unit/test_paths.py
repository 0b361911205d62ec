"""A routing's view of paths against the host's, and whether a definition takes the port it is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.definition import RunCommand, RunCommandArgs, WriteFile, WriteFileArgs
from orchestrator.core.paths import argv_to_host, host_paths, to_host
from orchestrator.core.port_use import uses_port
from orchestrator.core.spec import ResolvedMount, RoutingSpec


def spec(**changes: Any) -> RoutingSpec:
    fields = {"model_name": "m", "model_folder": "/srv/m", "model_path": "/models", "model_mount": "/models", "port": 1}
    return RoutingSpec(**(fields | changes))


PATHS = host_paths(spec(mounts=(ResolvedMount(source="/data/d", target="/home/work/d/"),)), "/state/home")


@pytest.mark.parametrize(
    ("argument", "host"),
    [
        ("/models", "/srv/m"),
        ("/models/", "/srv/m/"),
        ("/models/a/b.gguf", "/srv/m/a/b.gguf"),
        ("/models2", "/models2"),
        ("x/models", "x/models"),
        ("--dir=/models", "--dir=/models"),
        ("/home/work", "/state/home"),
        ("/home/work/x", "/state/home/x"),
        ("/home/work/d/x", "/data/d/x"),
        ("/home/worker", "/home/worker"),
        ("", ""),
    ],
)
def test_whole_arguments_are_translated(argument: str, host: str) -> None:
    assert to_host(argument, PATHS) == host


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("cd /models && python serve.py", "cd /srv/m && python serve.py"),
        ("cat '/models/a' >/home/work/b;ls /models", "cat '/srv/m/a' >/state/home/b;ls /srv/m"),
        ("x --model=/models/a", "x --model=/srv/m/a"),
        ("/models2 a/models /modelsx", "/models2 a/models /modelsx"),
    ],
)
@pytest.mark.parametrize("shell", ["sh", "/bin/bash"])
def test_words_of_a_shell_text_are_translated(text: str, host: str, shell: str) -> None:
    assert argv_to_host((shell, "-c", text, "/models"), PATHS) == (shell, "-c", host, "/srv/m")


def test_only_a_shell_has_a_shell_text() -> None:
    assert argv_to_host(("python", "-c", "print('/models')"), PATHS)[2] == "print('/models')"


def test_a_host_path_that_is_no_plain_word_stays_out_of_shell_texts() -> None:
    odd = host_paths(spec(model_folder="/srv/my model"), "/state/home")
    assert argv_to_host(("sh", "-c", "ls /models /home/work"), odd)[2] == "ls /models /state/home"
    assert argv_to_host(("ls", "/models"), odd) == ("ls", "/srv/my model")


def test_the_root_is_never_translated() -> None:
    assert to_host("/usr/bin/env", host_paths(spec(model_mount="/"), "/state/home")) == "/usr/bin/env"


@given(st.text())
@settings(max_examples=50)
def test_what_does_not_begin_with_a_known_path_stays(argument: str) -> None:
    if not argument.startswith(("/models", "/home/work")):
        assert to_host(argument, PATHS) == argument


@pytest.mark.parametrize(
    ("command", "used"),
    [
        (("serve", "--port", "{port}"), True),
        (("serve", "--bind=0.0.0.0:{ports[0]}"), True),
        ("serve --port $PORT", True),
        ("serve --port ${PORT:-80}", True),
        (("python", "-c", "import os; print(os.environ['PORT'])"), True),
        (("node", "-e", "listen(process.env.PORT)"), True),
        (("serve", "{{{port}}}"), True),
        (("serve", "{{port}}"), False),
        (("serve", "8000"), False),
        (("python", "-c", "PORT = 8000"), False),
        ("serve $PORTAL", False),
        (None, False),
    ],
)
def test_uses_port(command: Any, used: bool) -> None:
    assert uses_port(spec(command=command)) is used


def test_actions_may_be_what_uses_the_port() -> None:
    written = WriteFile(action="write_file", args=WriteFileArgs(filename="c", body=("a: 1", "port: {port}")))
    ran = RunCommand(action="run_command", args=RunCommandArgs(command=("configure", "{port}")))
    assert uses_port(spec(command=("serve",), actions=(written,)))
    assert uses_port(spec(command=("serve",), actions=(ran,)))
    assert not uses_port(spec(command=("serve",), actions=()))
