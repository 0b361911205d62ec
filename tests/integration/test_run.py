"""`orchestrator run`: its child, its words and its end, over a small daemon in place of the real one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PASTE = "  curl -i -H 'Authorization: BackendAI secret-text' 'http://127.0.0.1:8080/inference/echo/'"

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def run(tmp_path: Path, state: Path) -> Iterator[Run]:
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text("import sys, small_daemon\nsys.modules['orchestrator.app'] = small_daemon\n")
    (tmp_path / "models").mkdir()
    started: list[subprocess.Popen[str]] = []

    def start(*args: str, **environ: str) -> subprocess.Popen[str]:
        listen = {f"ORCHESTRATOR_{name}__LISTEN": "127.0.0.1:0" for name in ("API", "GATEWAY")}
        told = {"PYTHONPATH": f"{site}:{HERE}", "PATH": os.environ["PATH"], "HOME": str(tmp_path)} | listen | environ
        command = [
            sys.executable,
            "-m",
            "orchestrator",
            "run",
            str(tmp_path / "models"),
            "--state-dir",
            str(state),
            *args,
        ]
        process = subprocess.Popen(command, env=told, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def until(process: subprocess.Popen[str], last: str) -> list[str]:
    """The lines that it prints up to the one that begins with `last`."""
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or not lines[-1].startswith(last):
        line = process.stdout.readline()
        assert line, (lines, process.stderr and process.stderr.read())
        lines.append(line.rstrip("\n"))
    return lines


def holder(state: Path) -> int:
    return int((state / "daemon.lock").read_text())


def ended(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_once_prints_how_to_call_what_is_healthy_and_why_the_rest_is_not(run: Run, state: Path) -> None:
    process = run("--once")
    out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert PASTE in out.splitlines()
    assert "left out: vllm: no image is given [no_image]" in out
    assert "ended: routings (1 of echo), the gateway, the daemon; its state is kept" in out
    assert (state / "ended").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(number: signal.Signals, run: Run, state: Path) -> None:
    process = run()
    shown = until(process, "Ctrl-C ends everything")
    assert f"(sign in with the text of {state}/admin.token)" in "\n".join(shown)
    refused = run()
    assert refused.wait(20) == 1
    assert refused.stderr is not None
    assert f"process {holder(state)} is a daemon" in refused.stderr.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "")
    assert "ended: routings (1 of echo)" in out
    assert (state / "ended").exists()


def test_a_daemon_that_dies_is_told_with_the_end_of_its_log(run: Run, state: Path) -> None:
    process = run()
    until(process, "Ctrl-C ends everything")
    os.kill(holder(state), signal.SIGKILL)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "error: the daemon ended by itself (exit code -9)" in err


def test_a_daemon_that_refuses_says_so_in_its_own_words(run: Run) -> None:
    process = run(SMALL_DAEMON_REFUSES="error: cannot start: it is Monday")
    _, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "  error: cannot start: it is Monday" in err.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_the_daemon_ends_although_run_was_killed(run: Run, state: Path) -> None:
    process = run()
    until(process, "Ctrl-C ends everything")
    process.kill()
    assert ended((state / "ended").exists)


def test_a_timeout_with_once_is_5(run: Run) -> None:
    process = run("--once", "--timeout", "1", SMALL_DAEMON_LOADS="60")
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 5
    assert "not HEALTHY in time: echo is PROVISIONING" in out
