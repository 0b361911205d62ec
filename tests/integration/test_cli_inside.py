"""`exec` and `cp`: what is typed and piped reaches the routing, and what comes back is what it was."""

from __future__ import annotations

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from small_control import ADMIN, Cli, SmallControl

from orchestrator.core.errors import Conflict, RuntimeFailure, Unavailable
from orchestrator.core.ports import Invocation


def ran(url: str, *args: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """In a process of its own: `exec` writes to the descriptors themselves."""
    told = subprocess.run(
        [sys.executable, "-m", "orchestrator", *args],
        env=os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN},
        input=stdin,
        capture_output=True,
        timeout=30,
    )
    return told.returncode, told.stdout, told.stderr


ASKED = {
    "exec echo -- ls -la": Invocation(("ls", "-la")),
    "exec echo ls -la": Invocation(("ls", "-la")),
    "exec -u me -w /x -e A=b=c -e B= r1 -- env -i": Invocation(
        ("env", "-i"), user="me", folder="/x", environ={"A": "b=c", "B": ""}
    ),
    "exec r1 -w /x -- sh -c -- x": Invocation(("sh", "-c", "--", "x"), folder="/x"),
    "exec ECHO": Invocation(("/bin/sh",)),
}


@pytest.mark.parametrize("line", ASKED)
def test_what_follows_is_the_commands_own(line: str, url: str, control: SmallControl) -> None:
    code, out, err = ran(url, *line.split())
    wanted = ASKED[line]
    assert (code, err) == (0, b"complains\n")
    assert out == " ".join(wanted.argv).encode() + b"\n"
    (asked,) = [one for one in control.asked if one[0] == "execute"]
    assert asked[1] == "r1"
    assert isinstance(asked[2], Invocation)
    assert (asked[2].argv, asked[2].user, asked[2].folder, asked[2].environ) == (
        *(wanted.argv, wanted.user, wanted.folder),
        wanted.environ,
    )


def test_the_input_goes_in_and_the_exit_code_comes_out(url: str, control: SmallControl) -> None:
    sent = os.urandom(3 << 20)
    code, out, _ = ran(url, "exec", "-i", "echo", "cat", stdin=sent)
    assert (code, out) == (0, b"cat\n" + sent)
    assert ran(url, "exec", "-i", "echo", "cat", stdin=b"exit 42")[0] == 42
    assert control.closed.is_set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeFailure("cannot execute x", hint="y", code="command_not_found"), 127),
        (RuntimeFailure("cannot execute x", hint="y", code="permission"), 126),
        (RuntimeFailure("cannot execute x", hint="y", code="unsupported"), 1),
        (Conflict("it does not run", hint="y", code="not_running"), 1),
    ],
)
def test_what_cannot_be_run_says_why(error: Exception, code: int, cli: Cli, control: SmallControl) -> None:
    control.execution_raises = error
    found, out, err = cli("exec", "echo", "x")
    assert (found, out) == (code, "")
    assert err == f"error: {error}\nhint: y\n"


def test_who_may_not_is_told_so_and_nothing_runs(cli: Cli) -> None:
    code, _, err = cli("--token", "wrong", "exec", "r1", "x")
    assert (code, "the token is not valid here" in err) == (7, True)
    assert cli("exec", "nobody", "x")[0] == 1
    assert cli("exec", "echo", "x", "--", "y")[0] == 0
    assert cli("exec", "-t", "echo", "x")[0] == 2
    assert cli("exec", "-e", "nothing", "echo", "x")[0] == 2


def test_on_a_terminal_every_key_and_the_windows_size_go_to_the_command(url: str, control: SmallControl) -> None:
    ours, theirs = pty.openpty()
    environ = os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN, "COLUMNS": "", "LINES": ""}
    command = [sys.executable, "-m", "orchestrator", "exec", "-it", "echo", "sh"]
    before = _modes(theirs)
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs, process_group=0)
    seen = _until(ours, b"complains")
    os.write(ours, b"\x03")
    seen += _until(ours, b"\x03")
    process.send_signal(signal.SIGWINCH)
    _until(ours, b" x ")
    assert process.poll() is None, "Ctrl-C was the command's"
    os.write(ours, b"exit 3")
    assert process.wait(10) == 3
    assert _modes(theirs) == before
    os.close(ours)
    os.close(theirs)
    asked = next(one[2] for one in control.asked if one[0] == "execute")
    assert isinstance(asked, Invocation)
    assert (asked.tty, asked.stdin) == (True, True)


def _modes(descriptor: int) -> list[object]:
    import termios

    return termios.tcgetattr(descriptor)


def _until(descriptor: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([descriptor], [], [], 20)[0], seen
        seen += os.read(descriptor, 4096)
    return seen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_whoever_goes_away_ends_the_command(number: int, url: str, control: SmallControl) -> None:
    environ = os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN}
    command = [sys.executable, "-m", "orchestrator", "exec", "-i", "echo", "cat"]
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"cat\n"
        process.send_signal(number)
        assert process.wait(10) in (130, -signal.SIGKILL)
    deadline = time.monotonic() + 5
    while not control.closed.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_reader_that_leaves_ends_the_command_and_one_that_pauses_gets_all(url: str, control: SmallControl) -> None:
    environ = os.environ | {"ORCHESTRATOR_URL": url, "ORCHESTRATOR_TOKEN": ADMIN}
    command = [sys.executable, "-m", "orchestrator", "exec", "-i", "echo", "cat"]
    sent = os.urandom(2 << 20)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environ, **pipes) as process:
        out, _ = process.communicate(sent, timeout=30)
        assert (process.returncode, out) == (0, b"cat\n" + sent)
    control.closed.clear()
    with subprocess.Popen(command, env=environ, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        with suppress(BrokenPipeError):
            for _ in range(20):
                process.stdin.write(sent)
        assert process.wait(20) == 1
    deadline = time.monotonic() + 5
    while not control.closed.is_set():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- cp -------------------------------------------------------------------------------------------------------------


def test_a_tree_goes_in_and_comes_out(cli: Cli, control: SmallControl, tmp_path: Path) -> None:
    (tmp_path / "tree/below").mkdir(parents=True)
    (tmp_path / "tree/below/file").write_bytes(b"x" * 300_000)
    code, out, _ = cli("cp", "tree", "echo:/models/")
    assert (code, out) == (0, "1 file, 2 bytes: tree → echo:/models/\n")
    assert control.asked[-1] == ("unpack", "r1", "/models/", True)
    with tarfile.open(fileobj=io.BytesIO(b"".join(control.tar))) as archive:
        assert archive.getnames() == ["tree", "tree/below", "tree/below/file"]
    assert cli("cp", "r1:some/tree", "copy")[:2] == (0, "1 file, 293 KiB: r1:some/tree → copy\n")
    assert control.asked[-1] == ("archive", "r1", "some/tree")
    assert (tmp_path / "copy/below/file").read_bytes() == b"x" * 300_000
    told = json.loads(cli("cp", "echo:tree", ".", "-o", "json")[1])
    assert told == {"from": "echo:tree", "to": ".", "files": 1, "size": 300_000}


def test_a_dash_is_a_tar(url: str, control: SmallControl) -> None:
    control.tar = [b"any", b"thing"]
    assert ran(url, "cp", "echo:x", "-")[:2] == (0, b"anything")
    assert ran(url, "cp", "-", "echo:/x", stdin=b"other")[0] == 0
    assert (control.asked[-1], b"".join(control.tar)) == (("unpack", "r1", "/x", True), b"other")


REFUSED = {
    "neither side is a routing": (("cp", "a", "b"), 2),
    "both are": (("cp", "echo:a", "echo:b"), 2),
    "nothing is there": (("cp", "nothing", "echo:b"), 2),
    "nobody": (("cp", "nobody:a", "b"), 1),
    "no folder to go to": (("cp", "echo:a", "no/where/b"), 2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_copied(name: str, cli: Cli, control: SmallControl) -> None:
    args, code = REFUSED[name]
    found, out, err = cli(*args)
    assert (found, out) == (code, "")
    assert err.startswith("error: ")
    assert not [one for one in control.asked if one[0] == "unpack"]


def test_what_breaks_off_is_no_success(cli: Cli, control: SmallControl, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        info = tarfile.TarInfo("file")
        info.size = 100_000
        archive.addfile(info, io.BytesIO(b"x" * 100_000))
    control.tar, control.log_raises = [data.getvalue()[:50_000]], Unavailable("the engine went away")
    code, out, err = cli("cp", "echo:file", "file")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert list(tmp_path.glob("file*")) == []
