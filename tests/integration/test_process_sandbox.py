"""The inside of a local routing before it starts: what actions may write and run on the machine itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import NotFound, RuntimeFailure
from orchestrator.core.ports import CommandTimeout, Unit
from orchestrator.core.spec import ResolvedMount, RoutingSpec
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.runtimes.process.failures import translated
from orchestrator.runtimes.process.processes import members
from orchestrator.runtimes.process.sandbox import LocalSandbox


class Inside:
    """A routing that is created and not started, its sandbox, and the real folders behind it."""

    def __init__(self, root: Path, runtime: ProcessRuntime) -> None:
        self.root, self.runtime = root, runtime
        self.folder = root / "state/routings/r1"
        self.home, self.model, self.shared = self.folder / "home", root / "model", root / "shared"

    @property
    def box(self) -> LocalSandbox:
        return self.runtime.sandbox("r1")

    async def create(self, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "model_name": "m",
            "model_folder": str(self.model),
            "model_path": "/models",
            "model_mount": "/models",
            "port": 8000,
            "mounts": (ResolvedMount(source=str(self.shared), target="/home/work/shared"),),
        }
        await self.runtime.create(Unit("r1", "svc", RoutingSpec(**(fields | changes)), environ={"GREETING": "hi"}))


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    for name in ("model", "shared", "outside"):
        (tmp_path / name).mkdir()
    runtime = ProcessRuntime("test", tmp_path / "state")
    made = Inside(tmp_path, runtime)
    await made.create()
    yield made
    await runtime.remove("r1")
    await runtime.close()


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("a/b.txt", "state/routings/r1/home/a/b.txt"),
        ("/home/work/./a//b.txt", "state/routings/r1/home/a/b.txt"),
        ("/models/config.json", "model/config.json"),
        ("/tmp/x", "state/routings/r1/tmp/x"),
    ],
)
async def test_where_files_go(inside: Inside, path: str, real: str) -> None:
    await inside.box.write(path, b"body", mode=0o640, append=False)
    written = inside.root / real
    assert written.read_bytes() == b"body"
    assert written.stat().st_mode & 0o7777 == 0o640


async def test_append_and_replace(inside: Inside) -> None:
    for body, append, content in [(b"a", True, b"a"), (b"b", True, b"ab"), (b"c", False, b"c"), (b"", True, b"c")]:
        await inside.box.write("f", body, mode=0o644, append=append)
        assert (inside.home / "f").read_bytes() == content
    assert [file.name for file in inside.home.iterdir() if file.name != "shared"] == ["f"]


async def test_a_large_body(inside: Inside) -> None:
    body = bytes(range(256)) * 20000
    await inside.box.write("large", body, mode=0o600, append=False)
    assert (inside.home / "large").read_bytes() == body


async def test_folders(inside: Inside) -> None:
    for _ in range(2):
        await inside.box.mkdir("x/y/z")
    assert (inside.home / "x/y/z").is_dir()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/etc/orchestrator-test", "outside_sandbox"),
        ("/home/work/../../../../escaped", "outside_sandbox"),
        ("/models/../outside/x", "outside_sandbox"),
        ("link/x", "outside_sandbox"),
        ("/models/link/x", "outside_sandbox"),
        ("file-link", "outside_sandbox"),
        ("shared/x", "permission"),
        ("/home/work/shared/x", "permission"),
        ("folder", "is_a_directory"),
        ("file/x", "not_a_directory"),
        ("x" * 300, "name_too_long"),
    ],
)
async def test_what_is_not_written(inside: Inside, path: str, code: str) -> None:
    outside = inside.root / "outside"
    for link in (inside.home / "link", inside.model / "link"):
        link.symlink_to(outside)
    (inside.home / "file-link").symlink_to(outside / "x")
    (inside.home / "folder").mkdir()
    (inside.home / "file").write_text("")
    with pytest.raises(RuntimeFailure) as caught:
        await inside.box.write(path, b"x", mode=0o644, append=False)
    assert caught.value.code == code
    assert caught.value.message.startswith("cannot write")
    assert caught.value.hint
    assert not any(outside.iterdir())
    assert not any(inside.shared.iterdir())


async def test_a_model_folder_that_is_read_only(inside: Inside) -> None:
    await inside.create(model_read_only=True)
    with pytest.raises(RuntimeFailure, match="read-only"):
        await inside.box.write("/models/x", b"", mode=0o644, append=False)


async def test_a_file_is_no_folder(inside: Inside) -> None:
    (inside.home / "file").write_text("")
    with pytest.raises(RuntimeFailure):
        await inside.box.mkdir("file")


async def test_without_a_routing_there_is_no_inside(inside: Inside) -> None:
    await inside.runtime.remove("r1")
    with pytest.raises(NotFound):
        _ = inside.box


def test_a_full_disk_says_so() -> None:
    error = translated(OSError(28, "No space left on device"), "write x")
    assert (error.code, str(error)) == ("no_space", "cannot write x: No space left on device")
    assert error.hint


# --- commands -------------------------------------------------------------------------------------------------------


async def test_a_command_sees_what_the_start_command_will(inside: Inside) -> None:
    (inside.model / "weights").write_text("w\n")
    (inside.shared / "data").write_text("d\n")
    script = 'cat "$1" shared/data; echo $GREETING $PORT; pwd; echo bad >&2; exit 3'
    result = await inside.box.run(["sh", "-c", script, "x", "/models/weights"], timeout=10)
    assert result.out == f"w\nd\nhi 8000\n{inside.home}\n"
    assert (result.err, result.exit_code) == ("bad\n", 3)


async def test_python_is_the_orchestrators_own(inside: Inside) -> None:
    result = await inside.box.run(["python3", "-c", "import pydantic, sys; print(sys.executable)"], timeout=20)
    assert result.out.strip() == await inside.box.python()


async def test_output_is_bounded_and_may_be_any_bytes(inside: Inside) -> None:
    result = await inside.box.run(["sh", "-c", r"yes | head -c 3000000; printf 'a\377b'"], timeout=20)
    assert len(result.out) == 64 * 1024
    assert result.out.endswith("y\na�b")


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["no-such-command"], "command_not_found"),
        (["/no/such/command"], "command_not_found"),
        (["/models/script"], "permission"),
        (["/models/nothing"], "exec_format"),
    ],
)
async def test_why_a_command_cannot_run(inside: Inside, argv: list[str], code: str) -> None:
    (inside.model / "script").write_text("#!/bin/sh\n")
    (inside.model / "nothing").write_text("nothing\n")
    (inside.model / "nothing").chmod(0o755)
    with pytest.raises(RuntimeFailure) as caught:
        await inside.box.run(argv, timeout=10)
    assert caught.value.code == code


async def test_a_timeout_ends_the_whole_tree(inside: Inside) -> None:
    began = time.monotonic()
    with pytest.raises(CommandTimeout) as caught:
        await inside.box.run(["sh", "-c", "echo before; (setsid sleep 1005 &); sleep 1006"], timeout=0.3)
    assert time.monotonic() - began < 3
    assert caught.value.out == "before\n"
    assert not members(inside.folder, {})


async def test_a_cancelled_command_ends(inside: Inside) -> None:
    running = asyncio.create_task(inside.box.run(["sleep", "1007"], timeout=60))
    deadline = time.monotonic() + 10
    while not members(inside.folder, {}):
        assert time.monotonic() < deadline
        await asyncio.to_thread(time.sleep, 0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not members(inside.folder, {})


async def test_what_a_command_leaves_in_the_background_ends_with_the_routing(inside: Inside) -> None:
    began = time.monotonic()
    result = await inside.box.run(["sh", "-c", "sleep 1008 & echo done"], timeout=30)
    assert (result.out, time.monotonic() - began < 5) == ("done\n", True)
    assert len(members(inside.folder, {})) == 1
    await inside.runtime.remove("r1")
    assert not members(inside.folder, {})


async def test_its_log_lines_come_before_those_of_the_start_command(inside: Inside) -> None:
    await inside.box.log("one\ntwo")
    await inside.box.log("three")
    assert [line.text async for line in inside.runtime.logs("r1")] == ["one", "two", "three"]
