"""The Docker runtime on a real engine: what becomes of containers, and what is said when they cannot be."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import docker
import pytest
from docker_box import Box, opened

from orchestrator.archives import spooling
from orchestrator.core.errors import RuntimeFailure, Unavailable
from orchestrator.core.ports import Command, Invocation
from orchestrator.core.spec import ResolvedMount
from orchestrator.runtimes.docker import DockerRuntime

pytestmark = pytest.mark.docker

MIB = 1 << 20
SERVE = ("busybox", "httpd", "-f", "-p", "8000")


@pytest.fixture
async def box(docker_runtime: Callable[..., DockerRuntime], tmp_path: Path) -> AsyncIterator[Box]:
    async for made in opened(docker_runtime, tmp_path):
        yield made


async def test_a_container_is_what_was_asked_for(box: Box, engine: docker.DockerClient, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mounts = (ResolvedMount(source=str(tmp_path / "data"), target="/home/work/data"),)
    resources = {"cpu": 1.5, "mem": 64 * MIB, "shm": 16 * MIB}
    labels = {"team": "a", "orchestrator.installation": "another"}
    unit = box.unit("user", mounts=mounts, resources=resources, hostname="here", labels=labels)
    created = await box.runtime.create(unit)
    facts = engine.api.inspect_container(created.runtime_id)
    host, config = facts["HostConfig"], facts["Config"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"], host["ShmSize"]) == (
        1_500_000_000,
        64 * MIB,
        64 * MIB,
        16 * MIB,
    )
    assert (host["Init"], host["PidsLimit"], host["RestartPolicy"]["Name"]) == (True, 8192, "no")
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert set(host["CapDrop"]) == {"NET_RAW", "MKNOD", "AUDIT_WRITE", "SETFCAP"}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert config["Labels"]["team"] == "a"
    assert config["Labels"]["orchestrator.installation"].startswith("test-")
    assert config["Labels"]["orchestrator.revision"] == unit.spec.revision
    seen = await box.shell(
        "hostname; pwd; echo $PORT; touch data/x || echo refused; touch mine; df -k /dev/shm | tail -1"
    )
    assert seen.out.split()[:4] == ["here", "/home/work", "8000", "refused"]
    assert "16384" in seen.out


async def test_the_start_command_runs_in_the_model_path(box: Box) -> None:
    await box.runtime.create(box.unit("python", environ={"A": "b"}))
    await box.runtime.start("r1", Command(text="pwd; echo $BASH; id -u; exec python3 -c 'print(1)'"))
    await box.ended()
    assert [line.text for line in await box.log()] == ["/models", "/bin/bash", "0", "1"]


async def test_odd_arguments_arrive_as_they_are(box: Box) -> None:
    odd = ("it's", 'a "b"', "$HOME `x`", "two\nlines", "", "-n", "ü\\")
    await box.run("sh", "-c", 'for a in "$@"; do echo "<$a>"; done', "sh", *odd)
    await box.ended()
    assert "\n".join(line.text for line in await box.log()) == "\n".join(f"<{part}>" for part in odd)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a mount that is not there": ({"mounts": (ResolvedMount(source="/no/such", target="/x"),)}, "mount_refused"),
    "two mounts at one place": ({"mounts": (ResolvedMount(source="/tmp", target="/models"),)}, "mount_refused"),
    "an image that is not there": ({"image": "nothing/here:1"}, "image_missing"),
    "an image that cannot be": ({"image": "No/Such Image"}, "image_missing"),
    "a user that the image has not": ({"user": "nobody-here"}, "no_user"),
    "too little memory": ({"resources": {"mem": 1 * MIB}}, "bad_resources"),
    "a network that is not there": ({"network": "no-such-network"}, "no_network"),
}


@pytest.mark.parametrize(("spec", "code"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_created_leaves_nothing(box: Box, spec: dict[str, Any], code: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await box.runtime.create(box.unit(**spec))
    assert caught.value.code == code
    assert caught.value.message.startswith("cannot ")
    assert caught.value.hint
    assert await box.runtime.observe() == []


@pytest.mark.parametrize(
    ("image", "argv", "code"),
    [
        ("busybox", ("/models/nothing",), "command_not_found"),
        ("busybox", ("/etc/passwd",), "permission"),
        ("noshell", ("/nothing",), "command_not_found"),
    ],
)
async def test_a_command_that_cannot_be_executed(box: Box, image: str, argv: tuple[str, ...], code: str) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await box.run(*argv, image=image)
    assert caught.value.code == code


async def test_too_much_memory_is_known_as_such(box: Box) -> None:
    eater = "x = []\nwhile True: x.append(bytearray(1 << 20))"
    await box.run("python3", "-c", eater, image="python", resources={"mem": 32 * MIB})
    seen = await box.ended()
    assert (seen.exit_code, seen.oom) == (137, True)


async def test_paused_and_removed_by_hand(box: Box, engine: docker.DockerClient) -> None:
    await box.run(*SERVE)
    assert b"404" in await box.answer("/nothing")
    running = await box.seen()
    assert running is not None
    engine.api.pause(running.runtime_id)
    seen = await box.seen()
    assert seen is not None
    assert (seen.state, seen.host) == ("paused", running.host)
    await box.runtime.stop("r1", 5)
    assert (await box.ended()).exit_code is not None
    engine.api.remove_container(running.runtime_id, force=True)
    assert await box.seen() is None
    await box.runtime.stop("r1", 5)
    await box.runtime.remove("r1")


async def test_a_leftover_of_another_installation_is_left_alone(
    box: Box, docker_runtime: Callable[..., DockerRuntime]
) -> None:
    other = Box(docker_runtime(), box.model)
    await asyncio.gather(box.run(*SERVE), other.run(*SERVE))  # the same service and routing: the names would be too
    mine, theirs = await box.seen(), await other.seen()
    assert mine is not None
    assert theirs is not None
    assert mine.runtime_id != theirs.runtime_id
    await box.runtime.remove("r1")
    assert await box.runtime.observe() == []
    left = await other.seen()
    assert left is not None
    assert (left.state, left.runtime_id) == ("running", theirs.runtime_id)
    await other.close()


async def test_routings_do_not_reach_each_other(box: Box) -> None:
    await box.run(*SERVE)
    await box.answer()
    seen = await box.seen()
    assert seen is not None
    await box.runtime.create(box.unit(unit_id="r2"))
    tried = await box.runtime.sandbox("r2").run(["nc", "-w", "1", seen.host, "8000"], timeout=5)
    assert tried.exit_code != 0


async def test_a_flood_is_bounded_on_disk_and_in_memory(box: Box) -> None:
    line = "x" * 1000
    await box.run("sh", "-c", f"yes {line} | head -n 100000; echo end")
    await box.ended()
    tracemalloc.start()
    try:
        count, size = 0, 0
        async for got in box.runtime.logs("r1"):
            count, size = count + 1, size + len(got.text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 0 < size < 40 * MIB  # of 100: three files of 10 MB
    assert peak < 16 * MIB
    assert [got.text for got in await box.log(tail=2)] == [line, "end"]


async def test_a_reader_that_stops_reading_leaves_no_thread(box: Box) -> None:
    await box.run("sh", "-c", "yes")
    async with aclosing(box.runtime.logs("r1", follow=True)) as lines:
        async for line in lines:
            assert line.text == "y"
            break
    began = time.monotonic()
    await box.runtime.remove("r1")
    assert time.monotonic() - began < 5


async def test_pull_never_names_the_fix(box: Box) -> None:
    with pytest.raises(RuntimeFailure) as caught:
        await box.runtime.ensure_image(box.unit("nothing/here:1"), lambda _: None)
    assert caught.value.code == "image_missing"
    assert "docker pull nothing/here:1" in caught.value.hint
    assert (await box.runtime.ensure_image(box.unit(), lambda _: None)).startswith("sha256:")


async def test_an_engine_that_is_not_there(docker_runtime: Callable[..., DockerRuntime], tmp_path: Path) -> None:
    runtime = docker_runtime(host=f"unix://{tmp_path}/none.sock")
    for call in (runtime.observe(), runtime.info(), anext(runtime.events())):
        with pytest.raises(Unavailable) as caught:
            await call
        assert caught.value.code == "engine_unavailable"
        assert "DOCKER_HOST" in caught.value.hint
    await runtime.close()


async def test_an_engine_whose_bridge_is_out_of_reach(
    docker_runtime: Callable[..., DockerRuntime], tmp_path: Path
) -> None:
    """Named by a TCP address it may be anywhere: the port is published on the loopback there."""
    async with forwarded("/var/run/docker.sock") as port:
        async for box in opened(docker_runtime, tmp_path, host=f"tcp://127.0.0.1:{port}"):
            (box.model / "index.html").write_text("hello")
            await box.run(*SERVE)
            seen = await box.seen()
            assert seen is not None
            assert seen.host == "127.0.0.1"
            assert seen.port not in (0, 8000)
            assert (await box.answer("/index.html")).endswith(b"hello")


class forwarded:
    """A TCP port of the loopback that leads to the engine's socket."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __aenter__(self) -> int:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_engine = await asyncio.open_unix_connection(self._path)
        await asyncio.gather(_copy(reader, to_engine[1]), _copy(to_engine[0], writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_a_command_has_the_user_folder_variables_and_terminal_that_were_asked_for(box: Box) -> None:
    await box.run("sleep", "1000", image="user")

    async def said(text: str, **how: Any) -> list[str]:
        execution = await box.runtime.execute("r1", Invocation(("sh", "-c", text), **how))
        try:
            return b"".join([data async for _, data in execution.output()]).decode().split()
        finally:
            await execution.close()

    assert await said("id -u; pwd") == ["1000", "/models"]
    assert await said("id -u; pwd; echo $A", user="root", folder="/tmp", environ={"A": "b"}) == ["0", "/tmp", "b"]
    sized = "until stty size 2>/dev/null | grep .; do sleep 0.1; done"
    assert await said(sized, tty=True, size=(132, 43)) == ["43", "132"]


@pytest.mark.parametrize("user", ["", "root"])
async def test_a_closed_command_takes_along_what_it_started(box: Box, user: str) -> None:
    await box.run("sleep", "1000", image="user")
    text = "trap '' TERM HUP; sleep 1001 & echo up; sleep 1002; sleep 1003"
    execution = await box.runtime.execute("r1", Invocation(("sh", "-c", text), user=user))
    async for _, data in execution.output():
        assert data == b"up\n"
        break
    await execution.close()
    assert (await box.shell("ps -o args")).out.count("sleep 100") == 1, "what the routing runs itself"


async def test_files_that_come_in_belong_to_the_routings_user(box: Box) -> None:
    async def archive() -> AsyncIterator[bytes]:
        yield tar(("tree", None), ("tree/file", b"x"))

    await box.run("sleep", "1000", image="user")
    await box.runtime.unpack("r1", "/home/work", archive(), folder=True)
    assert (await box.shell("cd /home/work; echo y >> tree/file; cat tree/file; id -u")).out.split() == ["xy", "1000"]
    with pytest.raises(RuntimeFailure) as caught:
        await box.runtime.unpack("r1", "/dev/shm/x", archive(), folder=False)
    assert caught.value.code == "unsupported"


def tar(*members: tuple[str, bytes | None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(body or b""), 0o755, 4242
            info.type = tarfile.REGTYPE if body is not None else tarfile.DIRTYPE
            made.addfile(info, io.BytesIO(body or b""))
    return out.getvalue()


async def test_whoever_copies_slowly_holds_up_nobody(box: Box, engine: docker.DockerClient) -> None:
    """The engine locks a container for as long as files go in or out of it."""
    await box.run("sh", "-c", "head -c 300000000 /dev/zero >/large; exec sleep 1000")
    await box.shell("until [ $(stat -c %s /large) = 300000000 ]; do sleep 0.1; done", timeout=60)
    (running,) = await box.runtime.observe()
    container = engine.containers.get(running.runtime_id)
    wanted = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield tar(("x", b"x" * MIB))[:MIB]
        wanted.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(box.runtime.unpack("r1", "/tmp", slowly(), folder=True))
    await asyncio.wait_for(wanted.wait(), 10)
    await asyncio.sleep(0.5)  # for as much as there is to be with the engine
    try:
        await asyncio.wait_for(asyncio.to_thread(container.reload), 10)
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    async with aclosing(box.runtime.archive("r1", "/large")) as taken:  # type: ignore[type-var]
        assert await anext(taken)
        await asyncio.wait_for(asyncio.to_thread(container.reload), 20)


async def test_what_is_copied_leaves_the_disk_room(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    async def archive() -> AsyncIterator[bytes]:
        yield tar(("x", b"x"))

    await box.run("sleep", "1000")
    monkeypatch.setattr(spooling, "SPARED", 1 << 60)
    with pytest.raises(Unavailable, match="No space left") as caught:
        await box.runtime.unpack("r1", "/tmp", archive(), folder=True)
    assert caught.value.code == "disk_full"
