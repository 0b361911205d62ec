"""Named contexts: which daemon is asked, with which token, and who may read that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_control import ADMIN, Cli

from orchestrator.client import Daemon, find_daemon
from orchestrator.client.contexts import Context, Contexts, contexts_file, read_contexts, write_contexts
from orchestrator.core.errors import InvalidInput


@pytest.fixture
def away(cli: Cli, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command, without variables that say where the daemon is; context `prod` does."""
    monkeypatch.delenv("ORCHESTRATOR_URL")
    monkeypatch.delenv("ORCHESTRATOR_TOKEN")
    (tmp_path / "token").write_text(f"{ADMIN}\n")
    assert cli("context", "add", "prod", "--url", url, "--token-file", "token")[0] == 0
    return cli


def test_the_first_context_is_used_and_its_file_is_private(away: Cli, tmp_path: Path) -> None:
    assert away("ls")[0] == 0
    file = tmp_path / "xdg/orchestrator/contexts.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_lists_show_no_token(away: Cli, url: str) -> None:
    assert json.loads(away("context", "ls", "-o", "json")[1]) == [
        {"name": "prod", "url": url, "current": True, "token": True}
    ]
    assert ADMIN not in away("context", "ls")[1]


def test_a_context_can_be_chosen_by_option_variable_and_use(away: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    away("context", "add", "none", "--url", "http://127.0.0.1:9")
    assert away("ls")[0] == 0  # prod was the first
    assert away("--context", "none", "ls")[0] == 1
    assert away("context", "use", "none")[0] == 0
    assert away("ls")[0] == 1
    assert away("ls", "--context", "prod")[0] == 0
    monkeypatch.setenv("ORCHESTRATOR_CONTEXT", "prod")
    assert away("ls")[0] == 0
    code, _, err = away("ls", "--context", "nope")
    assert code == 2
    assert "known here: none, prod" in err


def test_removing_the_current_one_leaves_none(away: Cli) -> None:
    assert away("context", "rm", "prod")[0] == 0
    assert away("context", "ls", "-o", "json")[1].strip() == "[]"
    assert away("context", "rm", "prod")[0] == 2
    assert away("context", "use", "prod")[0] == 2


def test_a_new_address_does_not_get_the_old_token(away: Cli, tmp_path: Path, url: str) -> None:
    file = tmp_path / "xdg/orchestrator/contexts.toml"
    away("context", "add", "prod", "--url", url)
    assert ADMIN in file.read_text()
    away("context", "add", "prod", "--url", "http://elsewhere")
    assert ADMIN not in file.read_text()


@pytest.mark.parametrize(
    "args",
    [("../x", "--url", "http://h"), ("x",), ("x", "--url", "ftp://h"), ("x", "--url", "h", "--token-file", "no")],
)
def test_what_cannot_be_a_context_is_refused(args: tuple[str, ...], cli: Cli) -> None:
    assert cli("context", "add", *args)[0] == 2


# --- which one says where the daemon is -----------------------------------------------------------------------------


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Two contexts, `current` is used; a configuration file of its own."""
    told = {"XDG_CONFIG_HOME": str(tmp_path)}
    known = {"current": Context("http://current", "c"), "other": Context("http://other", "o")}
    file = contexts_file(told)
    assert file is not None
    write_contexts(file, Contexts(known, "current"))
    (tmp_path / "config.toml").write_text('state_dir = "."\n[api]\nlisten = "127.0.0.1:1"\n')
    (tmp_path / "admin.token").write_text("local")
    return told


CURRENT, OTHER = Daemon("http://current", "c"), Daemon("http://other", "o")
ENV = {"ORCHESTRATOR_URL": "http://env", "ORCHESTRATOR_TOKEN": "e"}


@pytest.mark.parametrize(
    ("options", "variables", "found"),
    [
        ({"url": "http://u", "token": "t", "context": "other"}, ENV, Daemon("http://u", "t")),
        ({"context": "other"}, ENV, OTHER),
        ({"context": "other", "token": "t"}, ENV, Daemon("http://other", "t")),
        ({}, ENV | {"ORCHESTRATOR_CONTEXT": "other"}, Daemon("http://env", "e")),
        ({}, {"ORCHESTRATOR_CONTEXT": "other"}, OTHER),
        ({}, {"ORCHESTRATOR_TOKEN": "e"}, CURRENT),
        ({}, {}, CURRENT),
        ({"config": "config.toml"}, {"ORCHESTRATOR_CONTEXT": "other"}, Daemon("http://127.0.0.1:1", "local")),
        ({}, {"ORCHESTRATOR_CONFIG": "config.toml"}, Daemon("http://127.0.0.1:1", "local")),
        ({"url": "http://u"}, {"ORCHESTRATOR_CONFIG": "config.toml"}, Daemon("http://u", "local")),
    ],
)
def test_what_is_nearer_to_the_command_wins(
    options: dict[str, str], variables: dict[str, str], found: Daemon, environ: dict[str, str], tmp_path: Path
) -> None:
    given: dict[str, object] = dict(options)
    if "config" in given:
        given["config"] = tmp_path / "config.toml"
    told = environ | {k: str(tmp_path / v) if v == "config.toml" else v for k, v in variables.items()}
    assert find_daemon(**given, environ=told) == found  # type: ignore[arg-type]


def test_a_context_without_a_token_never_gets_another_ones(environ: dict[str, str]) -> None:
    file = contexts_file(environ)
    assert file is not None
    write_contexts(file, Contexts({"bare": Context("http://bare")}, "bare"))
    assert find_daemon(environ=environ | {"ORCHESTRATOR_TOKEN": "e"}) == Daemon("http://bare", "")


@pytest.mark.parametrize("text", ["[", "contexts = 1", "[contexts]\nx = 1", "[contexts.x]\n", "\udcff"])
def test_a_broken_file_is_named(text: str, tmp_path: Path) -> None:
    file = tmp_path / "contexts.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInput, match=r"cannot read .*contexts\.toml"):
        read_contexts(file)
