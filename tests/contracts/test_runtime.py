"""What every runtime promises, over the fake, local processes and a real Docker Engine alike (core.ports.Runtime)."""

from __future__ import annotations

import asyncio
import io
import tarfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import InvalidInput, NotFound, RuntimeFailure
from orchestrator.core.ports import Command, CommandResult, Execution, Invocation, LogLine, Runtime, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Observed
from orchestrator.runtimes.memory import MemoryEngine, MemoryRuntime, Program
from orchestrator.runtimes.process import ProcessRuntime

IMAGE = "orchestrator/busybox:test"
ABSENT = "orchestrator/absent:test"
NO_COMMAND = RuntimeFailure("cannot execute nonsense", code="command_not_found")

SHELL = {
    "runs": "exec sleep 1000",
    "ends well": "exit 0",
    "ends badly": "exit 3",
    "is stubborn": "trap '' TERM; echo ready; while :; do sleep 0.2; done",
    "prints": "echo one; echo two; sleep 0.2; echo three >&2; exec sleep 1000",
    "prints odd bytes": r"printf 'a\377b\n'; head -c 40000 /dev/zero | tr '\0' x; echo; printf 'no end'",
    "floods": "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
}
"""What a routing is asked to do here, as a shell does it."""

SCRIPTED = {
    "runs": Program(commands={"/bin/sh": CommandResult("said\n", "complained\n", 7)}),
    "ends well": Program(lives=0.0),
    "ends badly": Program(lives=0.0, exit_code=3),
    "is stubborn": Program(honours_term=False, prints=(("out", b"ready\n"),)),
    "prints": Program(prints=(("out", b"one\ntwo\n"), ("err", b"three\n"))),
    "prints odd bytes": Program(lives=0.0, prints=(("out", b"a\xffb\n" + b"x" * 40000 + b"\nno end"),)),
    "floods": Program(lives=0.0, prints=(("out", b"\n".join(b"line %d" % i for i in range(20000))),)),
    "nonsense": Program(fails={"start": NO_COMMAND}),
}
"""The same for the fake."""

TELLS = ("/bin/sh", "-c", "echo said; echo complained >&2; exit 7")


class Case:
    """One runtime on its engine; `again` opens it as a restarted daemon does."""

    def __init__(self, opened: Callable[[str], Runtime], does: Callable[[str], Command], folder: Path) -> None:
        self._open, self.does, self._folder = opened, does, folder
        self._installation, self._other = (f"test-{uuid.uuid4().hex[:12]}" for _ in range(2))
        self._runtimes: list[Runtime] = []
        self.runtime = self.again()

    def again(self) -> Runtime:
        self._runtimes.append(self._open(self._installation))
        return self._runtimes[-1]

    def other(self) -> Runtime:
        """Another installation on the same engine."""
        return self._open(self._other)

    def unit(self, unit_id: str = "r1", **changes: Any) -> Unit:
        spec = RoutingSpec(
            model_name="m",
            model_folder=str(self._folder),
            model_path="/models",
            model_mount="/models",
            image=IMAGE,
            command=("serve", "{port}"),
            port=8000,
        )
        return Unit(unit_id, "svc", **{"spec": spec} | changes)

    async def run(self, what: str, unit_id: str = "r1") -> None:
        await self.runtime.create(self.unit(unit_id))
        await self.runtime.start(unit_id, self.does(what))

    async def seen(self, unit_id: str = "r1", runtime: Runtime | None = None) -> Observed | None:
        found = {o.routing: o for o in await (runtime or self.runtime).observe()}
        return found.get(unit_id)

    async def ended(self, unit_id: str = "r1") -> Observed:
        async def exited() -> Observed | None:
            seen = await self.seen(unit_id)
            return seen if seen and seen.state == "exited" else None

        return await until(exited)

    async def close(self) -> None:
        last = self.again()
        for unit in await last.observe():
            await last.remove(unit.routing)
        for runtime in self._runtimes:
            await runtime.close()


async def until(probe: Callable[[], Awaitable[Any]], limit: float = 10.0) -> Any:
    """The first true answer of `probe`; fails after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (answer := await probe()):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)
    return answer


async def read(lines: AsyncIterator[LogLine]) -> list[LogLine]:
    return [line async for line in lines]


@pytest.fixture(params=["memory", "process", pytest.param("docker", marks=pytest.mark.docker)])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    folder = tmp_path / "model"
    folder.mkdir()
    by_shell: Callable[[str], Command] = lambda what: Command(argv=("/bin/sh", "-c", SHELL[what]))  # noqa: E731
    match request.param:
        case "memory":
            engine = MemoryEngine()
            engine.programs |= SCRIPTED
            engine.absent.add(ABSENT)
            made = Case(lambda name: MemoryRuntime(name, engine=engine), lambda what: Command(argv=(what,)), folder)
        case "process":
            made = Case(lambda name: ProcessRuntime(name, tmp_path / "state"), by_shell, folder)
        case _:
            made = Case(request.getfixturevalue("docker_runtime"), by_shell, folder)
    yield made
    await made.close()


async def test_create_runs_nothing(case: Case) -> None:
    created = await case.runtime.create(case.unit(kind="try"))
    seen = await case.seen()
    assert seen is not None
    assert (seen.state, seen.service, seen.kind, seen.member) == ("created", "svc", "try", 0)
    assert seen.revision == case.unit().spec.revision
    assert seen.runtime_id == created.runtime_id
    assert created.port > 0


async def test_whether_an_image_is_there_is_known_before_it_is_needed(case: Case) -> None:
    assert await case.runtime.has_image(IMAGE)
    assert await case.runtime.has_image(ABSENT) == (case.runtime.name == "process"), "a process needs none"


async def test_a_started_routing_runs_and_has_an_address(case: Case) -> None:
    await case.run("runs")
    seen = await case.seen()
    assert seen is not None
    assert (seen.state, seen.exit_code) == ("running", None)
    assert seen.host
    assert seen.port


@pytest.mark.parametrize(("what", "code"), [("ends well", 0), ("ends badly", 3)])
async def test_exit_codes_are_known(case: Case, what: str, code: int) -> None:
    await case.run(what)
    assert (await case.ended()).exit_code == code


async def test_a_command_that_is_not_there(case: Case) -> None:
    await case.runtime.create(case.unit())
    with pytest.raises(RuntimeFailure) as caught:
        await case.runtime.start("r1", Command(argv=("nonsense",)))
    assert caught.value.code == "command_not_found"


async def test_stop_ends_at_once_what_honours_sigterm(case: Case) -> None:
    await case.run("runs")
    began = time.monotonic()
    await case.runtime.stop("r1", 20)
    assert time.monotonic() - began < 5
    seen = await case.seen()
    assert seen is not None
    assert seen.state == "exited"


async def test_stop_kills_after_its_grace(case: Case) -> None:
    await case.run("is stubborn")
    await until(lambda: read(case.runtime.logs("r1")))
    began = time.monotonic()
    await case.runtime.stop("r1", 1)
    assert 0.9 < time.monotonic() - began < 2.5
    seen = await case.seen()
    assert seen is not None
    assert (seen.state, seen.exit_code) == ("exited", 137)


async def test_remove_ends_and_forgets(case: Case) -> None:
    await case.run("is stubborn")
    await until(lambda: read(case.runtime.logs("r1")))
    await case.runtime.remove("r1")
    assert await case.seen() is None


async def test_stop_and_remove_are_idempotent(case: Case) -> None:
    await case.runtime.stop("r1", 1)
    await case.runtime.remove("r1")
    await case.runtime.create(case.unit())
    await case.runtime.stop("r1", 1)
    for _ in range(2):
        await case.runtime.remove("r1")


async def test_what_does_not_exist_is_not_found(case: Case) -> None:
    async def sandbox() -> None:
        await case.runtime.sandbox("r1").log("x")

    for call in (case.runtime.start("r1", case.does("runs")), sandbox(), read(case.runtime.logs("r1"))):
        with pytest.raises(NotFound):
            await call


async def test_logs_in_order_with_streams_tail_and_since(case: Case) -> None:
    await case.run("prints")

    async def all_there() -> list[LogLine]:
        lines = await read(case.runtime.logs("r1"))
        return lines if len(lines) == 3 else []

    lines = await until(all_there)
    assert [(line.stream, line.text) for line in lines] == [("out", "one"), ("out", "two"), ("err", "three")]
    assert [line.text for line in await read(case.runtime.logs("r1", tail=2))] == ["two", "three"]
    assert [line.text for line in await read(case.runtime.logs("r1", since=lines[2].time - 0.001))][-1] == "three"
    assert await read(case.runtime.logs("r1", since=time.time() + 60)) == []
    assert await read(case.runtime.logs("r1", tail=0)) == []


async def test_followed_logs_end_with_the_routing(case: Case) -> None:
    await case.run("prints")
    following = asyncio.create_task(read(case.runtime.logs("r1", follow=True)))
    await until(lambda: read(case.runtime.logs("r1")))
    await case.runtime.stop("r1", 5)
    lines = await asyncio.wait_for(following, 10)
    assert "one" in [line.text for line in lines]


async def test_any_bytes_can_be_logged(case: Case) -> None:
    await case.run("prints odd bytes")
    await case.ended()
    lines = await read(case.runtime.logs("r1"))
    assert lines[0].text == "a�b"
    assert lines[-1].text.endswith("no end")
    assert "".join(line.text for line in lines[1:]).count("x") == 40000
    assert max(len(line.text) for line in lines) <= 16 * 1024


async def test_the_end_of_a_flood(case: Case) -> None:
    await case.run("floods")
    await case.ended()
    lines = [line.text for line in await read(case.runtime.logs("r1", tail=50))]
    assert lines == [f"line {i}" for i in range(19950, 20000)]


async def test_a_leftover_is_replaced(case: Case) -> None:
    await case.run("runs")
    before = await case.seen()
    await case.runtime.create(case.unit())
    after = await case.seen()
    assert before is not None
    assert after is not None
    assert after.state == "created"
    assert after.runtime_id != before.runtime_id
    assert len(await case.runtime.observe()) == 1


async def test_a_restarted_daemon_adopts_what_runs(case: Case) -> None:
    await case.run("prints")
    await case.run("is stubborn", "r2")
    await case.runtime.close()
    adopting = case.again()
    seen = await case.seen("r1", adopting)
    assert seen is not None
    assert seen.state == "running"
    for unit_id in ("r1", "r2"):
        await until(lambda unit_id=unit_id: read(adopting.logs(unit_id, tail=1)))
    await adopting.stop("r2", 0.2)
    ended = await case.seen("r2", adopting)
    assert ended is not None
    assert ended.exit_code == 137
    await adopting.remove("r1")
    assert await case.seen("r1", adopting) is None


async def test_a_restarted_daemon_starts_what_was_created(case: Case) -> None:
    await case.runtime.create(case.unit())
    adopting = case.again()
    await adopting.start("r1", case.does("runs"))
    seen = await case.seen("r1", adopting)
    assert seen is not None
    assert seen.state == "running"


async def test_events_tell_of_a_death(case: Case) -> None:
    heard: dict[str, float] = {}

    async def listen() -> None:
        async for unit_id in case.runtime.events():
            heard[unit_id] = time.monotonic()

    async def heard_of(unit_id: str) -> bool:
        return unit_id in heard

    async def listens() -> bool:
        await case.run("ends well", "r0")
        return "r0" in heard

    listening = asyncio.create_task(listen())
    try:
        await until(listens)
        await case.run("runs")
        await until(lambda: heard_of("r1"))
        heard.clear()
        await case.runtime.stop("r1", 5)
        await until(lambda: heard_of("r1"), 2)
    finally:
        listening.cancel()
        with suppress(asyncio.CancelledError):
            await listening


async def test_closing_ends_the_events(case: Case) -> None:
    async def listen() -> None:
        with suppress(Exception):
            async for _ in runtime.events():
                listening.set()

    runtime, listening = case.again(), asyncio.Event()
    task = asyncio.create_task(listen())
    await case.run("runs")
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            await listening.wait()
    await runtime.close()
    await asyncio.wait_for(task, 5)


async def test_capacity_names_what_routings_draw_from(case: Case) -> None:
    capacity = (await case.runtime.info()).capacity
    assert capacity.slots["cpu"] >= 1
    assert capacity.slots["mem"] > 2**20
    assert capacity.slots["cuda.device"] == len(capacity.devices)


async def test_what_a_running_unit_takes_is_told(case: Case) -> None:
    await case.run("is stubborn")
    await case.runtime.create(case.unit("r2"))

    async def told() -> Any:
        return (await case.runtime.usage()).get("r1")

    took = await until(told)
    assert took.cpu >= 0
    assert 100_000 < took.memory < 1 << 30
    assert set(await case.runtime.usage()) == {"r1"}, "what does not run takes nothing"
    other = case.other()
    assert await other.usage() == {}
    await other.close()
    await case.runtime.stop("r1", 0)
    assert await case.runtime.usage() == {}


async def test_installations_do_not_see_each_other(case: Case) -> None:
    await case.runtime.create(case.unit())
    other = case.other()
    assert await other.observe() == []
    await other.close()
    assert await case.seen() is not None


async def heard(execution: Execution) -> tuple[bytes, bytes, int]:
    """What it wrote to out and err, and its exit code; closed."""
    told = {"out": b"", "err": b""}
    try:
        async for stream, data in execution.output():
            told[stream] += data
        return told["out"], told["err"], await execution.wait()
    finally:
        await execution.close()


async def test_a_command_runs_beside_what_runs(case: Case) -> None:
    await case.run("runs")
    execution = await case.runtime.execute("r1", Invocation(TELLS))
    assert await heard(execution) == (b"said\n", b"complained\n", 7)
    seen = await case.seen()
    assert seen is not None
    assert seen.state == "running"


async def test_on_a_terminal_all_that_a_command_writes_is_one_stream(case: Case) -> None:
    await case.run("runs")
    out, err, code = await heard(await case.runtime.execute("r1", Invocation(TELLS, tty=True)))
    assert (out.split(), err, code) == ([b"said", b"complained"], b"", 7)


async def test_the_input_of_a_command_comes_whole_and_ends(case: Case) -> None:
    await case.run("runs")
    execution = await case.runtime.execute("r1", Invocation(("cat",), stdin=True))
    sent = [b"%d" % n + b"x" * 50_000 for n in range(40)]

    async def send() -> None:
        for data in (*sent, b""):
            await execution.write(data)

    sending = asyncio.create_task(send())
    assert await heard(execution) == (b"".join(sent), b"", 0)
    await sending
    no_input = await case.runtime.execute("r1", Invocation(("cat",)))
    assert await heard(no_input) == (b"", b"", 0)


@pytest.mark.parametrize("tty", [False, True])
async def test_closing_ends_a_command(tty: bool, case: Case) -> None:
    await case.run("runs")
    execution = await case.runtime.execute("r1", Invocation(("sleep", "1000"), tty=tty, stdin=True))
    await execution.resize(100, 40)
    hearing = asyncio.create_task(read_all(execution))
    await execution.close()
    await asyncio.wait_for(hearing, 5)
    assert await execution.wait() >= 128
    await execution.write(b"nobody reads it")


async def read_all(execution: Execution) -> None:
    async for _ in execution.output():
        pass


async def test_a_command_needs_a_routing_that_runs_and_must_be_there(case: Case) -> None:
    with pytest.raises(NotFound):
        await case.runtime.execute("r1", Invocation(("cat",)))
    await case.runtime.create(case.unit())
    with pytest.raises(RuntimeFailure) as caught:
        await case.runtime.execute("r1", Invocation(("cat",)))
    assert caught.value.code == "not_running"
    await case.run("runs")
    with pytest.raises(RuntimeFailure) as caught:
        await heard(await case.runtime.execute("r1", Invocation(("nonsense",))))
    assert caught.value.code == "command_not_found"


def tar(**members: bytes | None) -> bytes:
    """Names to bodies; None: a folder, text that begins with `->`: a symbolic link."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.mode = 0o755
            if body is None:
                info.type = tarfile.DIRTYPE
            elif body.startswith(b"->"):
                info.type, info.linkname = tarfile.SYMTYPE, body[2:].decode()
            else:
                info.size = len(body)
            archive.addfile(info, io.BytesIO(body or b""))
    return out.getvalue()


async def in_pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 100_000):
        yield data[at : at + 100_000]


async def brought(case: Case, path: str) -> dict[str, bytes]:
    """Files that the archive of `path` holds."""
    data = b"".join([block async for block in case.runtime.archive("r1", path)])
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = [one for one in archive.getmembers() if one.isreg()]
        return {one.name: opened.read() for one in files if (opened := archive.extractfile(one))}


async def test_files_come_in_and_out_as_they_are(case: Case) -> None:
    await case.run("runs")
    large = bytes(range(256)) * 8000
    given = tar(**{"tree": None, "tree/a": b"one", "tree/b": None, "tree/b/c": large})
    told = await case.runtime.unpack("r1", ".", in_pieces(given), folder=True)
    assert (told.files, told.size) == (2, 3 + len(large))
    assert await brought(case, "/home/work/tree") == {"tree/a": b"one", "tree/b/c": large}
    await case.runtime.unpack("r1", "tree/a", in_pieces(tar(other=b"two")), folder=False)
    await case.runtime.unpack("r1", "copy", in_pieces(given), folder=False)
    assert await brought(case, "tree/a") == {"a": b"two"}
    assert await brought(case, "copy/a") == {"a": b"one"}


UNSOUND = {
    "a name that leads out": (tar(**{"../out": b"x"}), "."),
    "a name that leads out from below": (tar(**{"a/../../out": b"x"}), "."),
    "no tar": (b"nonsense" * 200, "."),
    "cut off": (tar(a=b"x" * 5000)[:3000], "."),
    "several under one name": (tar(a=b"x", b=b"y"), "one"),
}


@pytest.mark.parametrize("name", UNSOUND)
async def test_an_unsound_archive_is_refused(name: str, case: Case) -> None:
    data, path = UNSOUND[name]
    await case.run("runs")
    with pytest.raises(InvalidInput, match="cannot unpack"):
        await case.runtime.unpack("r1", path, in_pieces(data), folder=False)


async def test_a_path_that_is_not_there_is_said(case: Case) -> None:
    await case.run("runs")
    for call in (
        brought(case, "nothing"),
        case.runtime.unpack("r1", "nothing", in_pieces(tar(a=b"x")), folder=True),
        case.runtime.unpack("r1", "no/where/at", in_pieces(tar(a=b"x")), folder=False),
    ):
        with pytest.raises(RuntimeFailure) as caught:
            await call
        assert caught.value.code == "not_found"
