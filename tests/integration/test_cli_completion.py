"""What a shell completes, and the manual page: both made from the commands that there are."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main
from small_control import ADMIN, Cli, SmallControl

from orchestrator.cli import build_app, main
from orchestrator.cli.common import Common
from orchestrator.cli.completion import common_of, service_names
from orchestrator.cli.help import CODES
from orchestrator.cli.man import escaped, page


def completed(line: str, **environ: str) -> tuple[list[str], str]:
    """What the words of `line` are completed to, as bash asks for it."""
    words = line.split(" ")
    told = {"_ORCHESTRATOR_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run(
        [sys.executable, "-c", "from orchestrator.cli import main; main()"],
        env=os.environ | told | environ,
        capture_output=True,
        text=True,
        timeout=30,
    )
    return ran.stdout.split(), ran.stderr


def test_names_of_services_are_asked_of_the_daemon(url: str) -> None:
    assert completed("orchestrator describe e", ORCHESTRATOR_URL=url, ORCHESTRATOR_TOKEN=ADMIN) == (["echo"], "")
    assert completed(f"orchestrator --url {url} --token {ADMIN} wait ") == (["echo"], "")


def test_without_a_daemon_nothing_is_said(unused_tcp_port: int) -> None:
    assert completed("orchestrator describe e", ORCHESTRATOR_URL=f"http://127.0.0.1:{unused_tcp_port}") == ([], "")
    assert completed("orchestrator --context nope describe e") == ([], "")


def test_a_daemon_that_does_not_answer_costs_half_a_second(silent: str) -> None:
    context: Any = type("Context", (), {"params": {"url": silent, "token": "x"}, "parent": None})()
    began = time.monotonic()
    assert service_names(context, "") == []
    assert time.monotonic() - began < 2


def test_common_options_count_while_a_shell_completes() -> None:
    given = {"config": "c.toml", "url": "http://a", "token": "t", "context": "lab", "ca": "lab.crt"}
    above = SimpleNamespace(params=given, parent=None)
    below = SimpleNamespace(params={"name": "x"}, parent=above)
    assert common_of(below) == Common(**given | {"config": Path("c.toml")})  # type: ignore[arg-type]


@pytest.fixture
def silent() -> Any:
    """The address of something that listens and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def unused_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_script(shell: str, cli: Cli) -> None:
    code, script, _ = cli("completion", shell)
    assert code == 0
    assert "_ORCHESTRATOR_COMPLETE" in script
    if found := shutil.which(shell):
        subprocess.run([found, "-n"], input=script, text=True, check=True, timeout=10)


def test_open_prints_the_address_of_a_page_that_is_there(cli: Cli, url: str, control: SmallControl) -> None:
    assert cli("open") == (0, f"{url}/\n", "")
    with urllib.request.urlopen(f"{url}/", timeout=10) as answer:
        assert answer.status == 200
    assert cli("open", "--token-in-url") == (0, f"{url}/#token={ADMIN}\n", "")
    control.is_ready = False
    assert cli("open")[0] == 1


COMPLETED = {
    "exec ": ["echo", "r1"],
    "logs e": ["echo"],
    "cp ec": ["echo:"],
    "ratio ": ["r1"],
    "rm-routing r": ["r1"],
    "token revoke ": ["t1"],
    "token drop-key k": ["k1"],
    "token ls ": ["echo"],
    "models show ": ["echo"],
    "events --service ": ["echo"],
    "context use p": ["prod"],
    "ls --context ": ["prod"],
}


@pytest.mark.parametrize("line", COMPLETED)
def test_what_a_verb_takes_is_known_to_the_shell(
    line: str, cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process: what a shell gets is tested above."""
    assert cli("context", "add", "prod", "--url", url)[0] == 0
    words = f"orchestrator {line}".split(" ")
    monkeypatch.setenv("_ORCHESTRATOR_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with suppress(SystemExit):
        main()
    assert capsys.readouterr().out.split() == COMPLETED[line]


# --- help ------------------------------------------------------------------------------------------------------------


def every(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield above + name, command
        if hasattr(command, "commands"):
            yield from every(command, f"{above}{name} ")


COMMANDS = dict(every(typer.main.get_command(build_app())))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_verb_explains_itself_in_80_columns_with_an_example(
    name: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = cli(*name.split(), "--help")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"Usage: orchestrator {name} ")
    text, _, examples = out.partition("\nExamples\n")
    assert max(map(len, text.splitlines())) <= 80
    assert "-o, --output " in text
    if not hasattr(COMMANDS[name], "commands"):
        assert f"orchestrator {name}" in examples
    for parameter in COMMANDS[name].params:
        assert parameter.name in ("ctx",) or parameter.help, f"{name} says what {parameter.name} is"


def test_the_whole_is_grouped_and_every_verb_has_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = cli("--help")
    assert code == 0
    for name in COMMANDS:
        if " " not in name:
            (line,) = [line for line in out.splitlines() if line.startswith(f"  {name} ")]
            assert len(line) <= 80
    after = [above for above, below in zip(out.splitlines(), out.splitlines()[1:], strict=False) if below == ""]
    assert after, "groups are apart"
    assert [code for code, _ in CODES] == [
        line.split("  ")[1] for line in out.partition("Exit codes\n")[2].splitlines() if line.startswith("  ")
    ]
    surface = (Path(__file__).parents[2] / "docs/surface.md").read_text()
    assert all(f"| {code} | " in surface for code, _ in CODES)


WRONG = {
    ("nonsense",): "error: no such command 'nonsense'",
    ("lss",): "error: no such command 'lss'. Did you mean 'ls'?",
    ("ls", "--nonsense"): "error: no such option: --nonsense",
    ("scale",): "error: missing argument 'SERVICE'",
    ("events", "--tail", "x"): "error: invalid value for '--tail'",
    ("log-level", "loud"): "error: invalid value for 'level': 'loud' is not one of",
}


@pytest.mark.parametrize("args", WRONG)
def test_what_is_typed_wrongly_is_said_as_all_errors_are(args: tuple[str, ...], cli: Cli) -> None:
    code, out, err = cli(*args)
    assert (code, out) == (2, "")
    assert err.startswith(WRONG[args])
    assert err.splitlines()[1].startswith("hint: `orchestrator ")


# --- the manual page ------------------------------------------------------------------------------------------------


def every_command(group: Any, above: str = "") -> list[str]:
    return [
        name
        for verb, command in group.commands.items()
        for name in (every_command(command, f"{above}{verb} ") if hasattr(command, "commands") else [above + verb])
    ]


def test_the_manual_page_has_every_command_and_option() -> None:
    root: Any = typer.main.get_command(build_app())
    lines = list(page(root, "1.2"))
    sections = [line.removeprefix(".SS ").replace("\\-", "-") for line in lines if line.startswith(".SS ")]
    for name in every_command(root):
        assert any(section == name or section.startswith(f"{name} ") for section in sections), name
    assert r"\fB\-\-timeout\fR \fISECONDS\fR" in lines
    assert sum(r"\fB\-\-context\fR" in line for line in lines) == 1


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_the_manual_page_is_sound_roff(cli: Cli) -> None:
    code, text, _ = cli("man")
    assert code == 0
    shown = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8"], input=text, capture_output=True, text=True, check=True, timeout=30
    )
    assert shown.stderr == ""
    assert "WAIT" in shown.stdout.upper()


@pytest.mark.parametrize(
    ("text", "roff"), [(".so /etc/passwd", r"\&.so /etc/passwd"), (r"a\b-c", r"a\eb\-c"), ("…", r"\[u2026]")]
)
def test_nothing_in_a_help_text_steers_roff(text: str, roff: str) -> None:
    assert escaped(text) == roff
