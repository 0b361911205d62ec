"""What every sandbox promises to pre-start actions: the fake, local folders and a real container (core.ports.Sandbox).

What lies in it is looked up by the sandbox's own commands where it has some, else by its runtime's own means.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import CommandTimeout, LogLine, Runtime, Sandbox, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.runtimes.memory import MemoryRuntime
from orchestrator.runtimes.process import ProcessRuntime

BUSYBOX, USER, NO_SHELL = (f"orchestrator/{name}:test" for name in ("busybox", "user", "noshell"))
KEPT = 64 * 1024


class Case:
    """A created routing. `found` gives a file's content and mode."""

    def __init__(self, runtime: Runtime, found: Callable[[str], Awaitable[tuple[bytes, int]]]) -> None:
        self.runtime, self.found = runtime, found

    @property
    def sandbox(self) -> Sandbox:
        return self.runtime.sandbox("r1")

    async def sh(self, script: str, timeout: float = 20.0) -> str:
        """What `script` prints; it must succeed."""
        result = await self.sandbox.run(("/bin/sh", "-c", script), timeout=timeout)
        assert result.exit_code == 0, result
        return result.out

    async def create(self, folder: Path, image: str) -> None:
        spec = RoutingSpec(
            model_name="m",
            model_folder=str(folder),
            model_path="/models",
            model_mount="/models",
            image=image,
            command=("x", "{port}"),
            port=8000,
        )
        await self.runtime.create(Unit("r1", "svc", spec))


def case_of(name: str, request: pytest.FixtureRequest, folder: Path) -> Case:
    match name:
        case "memory":
            return _memory()
        case "process":
            return _executing(ProcessRuntime("test", folder / "state"))
        case _:
            return _executing(request.getfixturevalue("docker_runtime")(f"test-{uuid.uuid4().hex[:12]}"))


def _memory() -> Case:
    runtime = MemoryRuntime("test")

    async def found(path: str) -> tuple[bytes, int]:
        member = runtime.engine.members[("test", "r1")]
        return member.files[path if path.startswith("/") else f"/home/work/{path}"]

    return Case(runtime, found)


def _executing(runtime: Runtime) -> Case:
    async def found(path: str) -> tuple[bytes, int]:
        sandbox = runtime.sandbox("r1")
        content = await sandbox.run(("cat", path), timeout=20)
        mode = await sandbox.run(("stat", "-c", "%a", path), timeout=20)
        assert content.exit_code == 0, content
        return content.out.encode(), int(mode.out, 8)

    return Case(runtime, found)


DOCKER = pytest.param("docker", marks=pytest.mark.docker)


async def opened(name: str, request: pytest.FixtureRequest, folder: Path, image: str) -> Case:
    (folder / "model").mkdir()
    case = case_of(name, request, folder)
    await case.create(folder / "model", image)
    return case


async def closed(case: Case) -> None:
    await case.runtime.remove("r1")
    await case.runtime.close()


@pytest.fixture(params=["memory", "process", DOCKER])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    """Any sandbox: files and folders."""
    case = await opened(request.param, request, tmp_path, BUSYBOX)
    yield case
    await closed(case)


@pytest.fixture(params=["process", DOCKER])
async def executing(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    """Those that really execute."""
    case = await opened(request.param, request, tmp_path, BUSYBOX)
    yield case
    await closed(case)


async def refused(call: Awaitable[Any], *codes: str) -> RuntimeFailure:
    with pytest.raises(RuntimeFailure) as caught:
        await call
    assert caught.value.code in codes
    assert caught.value.message.startswith("cannot ")
    return caught.value


# --- files and folders ----------------------------------------------------------------------------------------------


async def test_files(case: Case) -> None:
    sandbox = case.sandbox
    await sandbox.write("a.txt", b"one\n", mode=0o644, append=False)
    assert await case.found("/home/work/a.txt") == (b"one\n", 0o644), "relative paths lie below /home/work"
    await sandbox.write("a.txt", b"two\n", mode=0o600, append=False)
    assert await case.found("a.txt") == (b"two\n", 0o600), "written again: replaced, with the new mode"
    for _ in range(2):
        await sandbox.write("/home/work/a.txt", b"more\n", mode=0o640, append=True)
    assert await case.found("a.txt") == (b"two\nmore\nmore\n", 0o640)
    await sandbox.write("log.txt", b"first", mode=0o644, append=True)
    assert (await case.found("log.txt"))[0] == b"first", "append to a file that is not there begins it"
    await sandbox.write("deep/er/and/x.sh", b"", mode=0o755, append=False)
    assert await case.found("deep/er/and/x.sh") == (b"", 0o755), "parents are made; a file may be empty"
    odd = "ünï ☃/with space/'quote\".txt"
    await sandbox.write(odd, "☃\n".encode(), mode=0o644, append=False)
    assert (await case.found(odd))[0] == "☃\n".encode()


async def test_folders(case: Case) -> None:
    sandbox = case.sandbox
    for _ in range(2):
        await sandbox.mkdir("made/with/parents")
    await sandbox.write("made/with/parents/f", b"x", mode=0o644, append=False)
    await sandbox.mkdir("made/with/parents")
    assert (await case.found("made/with/parents/f"))[0] == b"x", "a folder that is there keeps what is in it"
    await sandbox.mkdir("/tmp")


async def test_what_is_in_the_way_is_named_and_stays(case: Case) -> None:
    sandbox = case.sandbox
    await sandbox.mkdir("folder")
    await sandbox.write("file", b"x", mode=0o644, append=False)
    await refused(sandbox.write("folder", b"", mode=0o644, append=False), "is_a_directory")
    await refused(sandbox.write("folder", b"", mode=0o644, append=True), "is_a_directory")
    await refused(sandbox.mkdir("file"), "not_a_directory")
    await refused(sandbox.write("file/below", b"", mode=0o644, append=False), "not_a_directory")
    await refused(sandbox.mkdir("file/below"), "not_a_directory")
    assert (await case.found("file"))[0] == b"x"


async def test_the_model_folder_is_the_hosts(executing: Case, tmp_path: Path) -> None:
    await executing.sandbox.write("/models/sub/made.json", b"{}", mode=0o644, append=False)
    await executing.sandbox.write("/models/sub/made.json", b"\n", mode=0o644, append=True)
    assert (tmp_path / "model/sub/made.json").read_bytes() == b"{}\n"


async def test_writes_at_once(case: Case) -> None:
    names = [f"many/{n}" for n in range(20)]
    await asyncio.gather(*(case.sandbox.write(n, n.encode(), mode=0o644, append=False) for n in names))
    assert [(await case.found(n))[0] for n in names[::7]] == [n.encode() for n in names[::7]]


async def test_five_megabytes(executing: Case) -> None:
    body = bytes(range(256)) * (5 * 4096)
    await executing.sandbox.write("big", body, mode=0o644, append=False)
    assert (await executing.sh("sha256sum big")).split()[0] == hashlib.sha256(body).hexdigest()
    await executing.sandbox.write("big", b"!", mode=0o644, append=True)
    assert (await executing.sh("wc -c < big")).strip() == str(len(body) + 1)


# --- commands -------------------------------------------------------------------------------------------------------


async def test_commands(executing: Case) -> None:
    run = executing.sandbox.run
    done = await run(("/bin/sh", "-c", "pwd; echo to err >&2; exit 3"), timeout=20)
    assert done.out.rstrip().endswith("home" if executing.runtime.name == "process" else "/home/work")
    assert (done.err, done.exit_code) == ("to err\n", 3)
    literal = await run(("printf", "%s|", "$HOME", "a b", "*", "'", "", "☃"), timeout=20)
    assert literal.out == "$HOME|a b|*|'||☃|", "no shell comes between"
    assert (await run(("cat",), timeout=20)).out == "", "standard input is empty"
    killed = await run(("/bin/sh", "-c", "kill -9 $$"), timeout=20)
    assert killed.exit_code == 137
    odd = await run(("printf", r"a\377b\r\n\001"), timeout=20)
    assert odd.out == "a\ufffdb\r\n\x01"
    assert (await executing.sandbox.python()) != ""


async def test_commands_see_files_and_leave_files(executing: Case) -> None:
    await executing.sandbox.write("/home/work/bin/tool", b"#!/bin/sh\necho made > out.txt\n", mode=0o755, append=False)
    done = await executing.sandbox.run(("/home/work/bin/tool",), timeout=20)
    assert done.exit_code == 0
    assert (await executing.found("out.txt"))[0] == b"made\n"


async def test_what_cannot_be_executed(executing: Case) -> None:
    run = executing.sandbox.run
    await executing.sandbox.write("plain", b"#!/bin/sh\n", mode=0o644, append=False)
    await refused(run(("no-such-command",), timeout=20), "command_not_found")
    await refused(run(("/no/such/command",), timeout=20), "command_not_found")
    await refused(run(("/home/work/plain",), timeout=20), "permission")
    await refused(run(("echo", "x" * 200_000), timeout=20), "too_long", "start_failed", "runtime_failure")
    assert await executing.sh("echo still here") == "still here\n"


async def test_ten_megabytes_of_output_leave_the_last_64_KiB(executing: Case) -> None:
    script = (
        "head -c 10485760 /dev/zero | tr '\\0' x; echo end; head -c 10485760 /dev/zero | tr '\\0' y >&2; echo end >&2"
    )
    tracemalloc.start()
    try:
        done = await executing.sandbox.run(("/bin/sh", "-c", script), timeout=60)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (done.out, done.err) == ("x" * (KEPT - 4) + "end\n", "y" * (KEPT - 4) + "end\n")
    assert peak < 12 * 2**20, "20 MiB are never held"


async def test_a_command_that_runs_too_long_ends_with_all_its_processes(executing: Case) -> None:
    await executing.sandbox.write("kept", b"x", mode=0o644, append=False)
    script = "echo begun; (while :; do date +%s%N > beat; sleep 0.05; done) & trap '' TERM; wait; sleep 100"
    began = time.monotonic()
    with pytest.raises(CommandTimeout) as caught:
        await executing.sandbox.run(("/bin/sh", "-c", script), timeout=1.0)
    assert time.monotonic() - began < 12
    assert caught.value.out == "begun\n"
    await _beats_no_more(executing)
    assert (await executing.found("kept"))[0] == b"x", "what was written before is still there"


async def test_a_cancelled_command_ends_with_all_its_processes(executing: Case) -> None:
    script = "(while :; do date +%s%N > beat; sleep 0.05; done) & echo > begun; wait"
    task = asyncio.create_task(executing.sandbox.run(("/bin/sh", "-c", script), timeout=60))
    deadline = time.monotonic() + 10
    while await executing.sh("[ -e begun ] && echo yes || true") != "yes\n":
        assert time.monotonic() < deadline
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _beats_no_more(executing)


async def _beats_no_more(case: Case) -> None:
    """The background process, which writes every 50 ms, is gone."""
    first = await case.sh("cat beat 2>/dev/null || true; sleep 0.3")
    assert await case.sh("cat beat 2>/dev/null || true") == first


async def test_a_process_left_in_the_background_does_not_hold_the_command(executing: Case) -> None:
    began = time.monotonic()
    done = await executing.sandbox.run(("/bin/sh", "-c", "sleep 30 & echo done"), timeout=20)
    assert (done.out, done.exit_code) == ("done\n", 0)
    assert time.monotonic() - began < 10


# --- log ------------------------------------------------------------------------------------------------------------


async def test_the_log_holds_what_actions_say(case: Case) -> None:
    await case.sandbox.log("one ☃")
    await case.sandbox.log("two\nthree")
    lines: list[LogLine] = [line async for line in case.runtime.logs("r1")]
    assert [line.text for line in lines] == ["one ☃", "two", "three"]


# --- images ---------------------------------------------------------------------------------------------------------


@pytest.mark.docker
async def test_an_image_without_a_shell(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Files and folders work; a command says plainly what is missing."""
    case = await opened("docker", request, tmp_path, NO_SHELL)
    await case.sandbox.mkdir("/etc/deep")
    await case.sandbox.write("/etc/deep/f", b"one\n", mode=0o600, append=False)
    await case.sandbox.write("/etc/deep/f", b"two\n", mode=0o600, append=True)
    await refused(case.sandbox.write("/etc/deep", b"", mode=0o600, append=False), "is_a_directory")
    failure = await refused(case.sandbox.run(("/httpd", "-h"), timeout=20), "no_shell")
    assert "shell" in failure.hint
    assert NO_SHELL in failure.message
    await refused(case.sandbox.write("/dev/shm/f", b"x", mode=0o600, append=False), "no_shell")
    await closed(case)


@pytest.mark.docker
async def test_files_belong_to_the_user_of_the_start_command(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir(mode=0o777)
    (tmp_path / "model").chmod(0o777)
    case = case_of("docker", request, tmp_path)
    await case.create(tmp_path / "model", USER)
    await case.sandbox.write("mine/f", b"a", mode=0o600, append=False)
    await case.sandbox.write("/dev/shm/f", b"in memory", mode=0o644, append=False)
    await case.sandbox.write("/models/f", b"m", mode=0o644, append=False)
    assert await case.sh("id -u; echo b >> mine/f; cat mine/f; stat -c %u mine mine/f /dev/shm/f /models/f") == (
        "1000\nab\n1000\n1000\n1000\n1000\n"
    )
    assert await case.sh("cat /dev/shm/f; stat -c %a /tmp") == "in memory1777\n"
    await refused(case.sandbox.run(("/etc/passwd",), timeout=20), "permission")
    await closed(case)
