"""One daemon to a state directory, whatever happened to the one before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.core.errors import Conflict, Unavailable
from orchestrator.store import StateLock

HOLD = """
import sys, pathlib
from orchestrator.store import StateLock
lock = StateLock.take(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_daemon_is_told_the_first_ones_pid(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Conflict, match=f"process {holder.pid} is a daemon on the state directory") as caught:
        StateLock.take(tmp_path)
    assert f"kill {holder.pid}" in caught.value.hint
    holder.kill()
    holder.communicate()
    with StateLock.take(tmp_path):
        assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"


FORKED = """
import os, signal, sys, time, pathlib
from orchestrator.store import StateLock
lock = StateLock.take(pathlib.Path(sys.argv[1]))
if os.fork() == 0:
    time.sleep(0.3)
    os._exit(0)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_daemon_killed_while_it_forked_keeps_nobody_out(tmp_path: Path) -> None:
    """Its child has the lock until it executes its program."""
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path)], check=False)
    StateLock.take(tmp_path).release()


def test_children_do_not_hold_it(tmp_path: Path) -> None:
    lock = StateLock.take(tmp_path / "made" / "here")
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    lock.release()
    lock.release()
    StateLock.take(tmp_path / "made" / "here").release()
    child.kill()
    child.wait()


@pytest.mark.parametrize("odd", ["a file where the folder should be", "a link where the file should be"])
def test_what_cannot_be_used_is_said(tmp_path: Path, odd: str) -> None:
    state = tmp_path / "state"
    if odd.startswith("a file"):
        state.write_text("")
    else:
        state.mkdir()
        (state / "daemon.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unavailable, match="cannot use the state directory"):
        StateLock.take(state)
    assert not (tmp_path / "elsewhere").exists()
