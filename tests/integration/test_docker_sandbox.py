"""What is special about preparing a container: users, mounts, virtual file systems, images without a shell."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from docker_box import Box, opened

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Command, CommandTimeout
from orchestrator.runtimes.docker import DockerRuntime

pytestmark = pytest.mark.docker


@pytest.fixture
async def box(docker_runtime: Callable[..., DockerRuntime], tmp_path: Path) -> AsyncIterator[Box]:
    async for made in opened(docker_runtime, tmp_path):
        yield made


USERS = {
    "root of the image": ("busybox", None, "0:0"),
    "user of the image": ("user", None, "1000:1001"),
    "a number that the image does not know": ("busybox", "1234", "1234:0"),
    "a name, in another group": ("user", "model:root", "1000:0"),
}


@pytest.mark.parametrize(("image", "user", "owner"), USERS.values(), ids=USERS)
async def test_what_actions_make_belongs_to_the_user(box: Box, image: str, user: str | None, owner: str) -> None:
    await box.runtime.create(box.unit(image, user=user))
    sandbox = box.runtime.sandbox("r1")
    for path in ("a/b/file", "/opt/c/file", "/models/d/file", "/dev/shm/e/file"):
        await sandbox.write(path, b"one\n", mode=0o640, append=False)
        await sandbox.write(path, b"two\n", mode=0o750, append=True)
    await sandbox.mkdir("made/here")
    await sandbox.mkdir("/models/made")
    files = "a/b/file /opt/c/file /models/d/file /dev/shm/e/file"
    seen = await box.shell(
        f"stat -c '%u:%g %a' {files} made/here /models/made /home/work; cat {files}; echo x >>made/x"
    )
    modes = ["750"] * 4 + ["755"] * 3
    assert seen.out.split() == [word for mode in modes for word in (owner, mode)] + ["one", "two"] * 4
    assert {path.name for path in box.model.rglob("*")} == {"d", "file", "made"}  # nothing half-made beside them


async def test_folders_that_exist_stay_as_they_are(box: Box) -> None:
    await box.runtime.create(box.unit("user"))
    await box.runtime.sandbox("r1").write("/tmp/a/b", b"x", mode=0o644, append=False)
    assert (await box.shell("stat -c '%u %a' /tmp")).out.split() == ["0", "1777"]


async def test_links_are_followed(box: Box) -> None:
    await box.runtime.create(box.unit())
    sandbox = box.runtime.sandbox("r1")
    await box.shell("mkdir real && ln -s real link && echo old >real/file && ln -s real/file alias")
    await sandbox.write("link/new", b"x", mode=0o644, append=False)
    await sandbox.write("alias", b"more\n", mode=0o644, append=True)
    assert (await box.shell("ls real; cat real/file; readlink alias")).out.split() == [
        "file", "new", "old", "more", "real/file",
    ]  # fmt: skip


async def test_a_read_only_model_folder_is_refused(box: Box) -> None:
    await box.runtime.create(box.unit(model_read_only=True))
    for call in ("write", "mkdir"):
        sandbox = box.runtime.sandbox("r1")
        with pytest.raises(RuntimeFailure) as caught:
            await (
                sandbox.mkdir("/models/x")
                if call == "mkdir"
                else sandbox.write("/models/x", b"", mode=420, append=False)
            )
        assert caught.value.code == "permission"
    assert list(box.model.iterdir()) == []


async def test_an_image_without_a_shell(box: Box) -> None:
    await box.runtime.create(box.unit("noshell"))
    sandbox = box.runtime.sandbox("r1")
    await sandbox.write("/www/index.html", b"one\n", mode=0o644, append=False)
    await sandbox.write("/www/index.html", b"two\n", mode=0o644, append=True)
    await sandbox.write("/models/config", b"three\n", mode=0o644, append=False)
    await sandbox.mkdir("empty")
    with pytest.raises(RuntimeFailure, match=r"orchestrator/noshell:test has no /bin/sh") as caught:
        await sandbox.run(["true"], timeout=5)
    assert caught.value.code == "no_shell"
    assert "run_command" in caught.value.hint
    with pytest.raises(RuntimeFailure) as caught:
        await box.runtime.start("r1", Command(text="/httpd -f -p 8000"))
    assert caught.value.code == "no_shell"
    await box.runtime.start("r1", Command(argv=("/httpd", "-f", "-p", "8000", "-h", "/www")))
    assert (await box.answer("/index.html")).endswith(b"one\ntwo\n")
    assert (box.model / "config").read_bytes() == b"three\n"


async def test_the_own_command_of_an_image_without_a_shell(box: Box) -> None:
    await box.runtime.create(box.unit("noshell"))
    (box.model / "index.html").write_text("hello")
    await box.runtime.start("r1", Command())
    assert (await box.answer("/index.html")).endswith(b"hello")


async def test_a_timeout_ends_everything_and_the_files_stay(box: Box) -> None:
    await box.runtime.create(box.unit())
    await box.runtime.sandbox("r1").write("kept", b"yes", mode=0o644, append=False)
    began = time.monotonic()
    with pytest.raises(CommandTimeout) as caught:
        await box.shell("echo before; (setsid sleep 987 &); sleep 987", timeout=1)
    assert time.monotonic() - began < 4
    assert caught.value.out == "before\n"
    seen = await box.shell("ps | grep -c '[s]leep 987'; cat kept; true")
    assert seen.out == "0\nyes"


async def test_a_command_that_leaves_something_behind_ends(box: Box) -> None:
    await box.runtime.create(box.unit())
    began = time.monotonic()
    assert (await box.shell("echo done; sleep 60 &")).out == "done\n"
    assert time.monotonic() - began < 5


async def test_notes_of_actions_come_first_in_the_log(box: Box) -> None:
    await box.runtime.create(box.unit())
    sandbox = box.runtime.sandbox("r1")
    await sandbox.log("it's $HOME\n%s")
    assert [line.text for line in await box.log()] == ["it's $HOME", "%s"]
    await box.runtime.start("r1", Command(argv=("echo", "started")))
    await box.ended()
    assert [line.text for line in await box.log()] == ["it's $HOME", "%s", "started"]
