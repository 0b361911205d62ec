"""Local routings against what goes wrong on a real machine: killed at any point, forks, floods, ports, foreigners."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import RuntimeFailure
from orchestrator.core.ports import Command, Invocation, LogLine, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.state import Observed, Reservation
from orchestrator.runtimes import host, open_runtime
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.runtimes.process.ends import Terminal
from orchestrator.runtimes.process.processes import members
from orchestrator.runtimes.process.units import UnitFolder
from orchestrator.settings import DockerSettings, Settings

SERVES = ("python", "-m", "http.server", "--bind", "127.0.0.1", "{port}")


def sh(text: str) -> Command:
    return Command(argv=("/bin/sh", "-c", text))


class Machine:
    """A state directory, the runtime on it, and a look at the processes that are really there."""

    def __init__(self, root: Path) -> None:
        self.state, self.model = root / "state", root / "model"
        self.model.mkdir()
        self.runtime = self.again()

    def again(self) -> ProcessRuntime:
        return ProcessRuntime("test", self.state)

    def unit(self, unit_id: str = "r1", environ: dict[str, str] | None = None, **changes: Any) -> Unit:
        fields: dict[str, Any] = {
            "model_name": "m",
            "model_folder": str(self.model),
            "model_path": "/models",
            "model_mount": "/models",
            "port": 8000,
            "command": SERVES,
        }
        reservation = Reservation(devices=("GPU-1", "GPU-2"))
        return Unit(unit_id, "svc", RoutingSpec(**(fields | changes)), reservation=reservation, environ=environ or {})

    async def run(self, command: Command, unit_id: str = "r1", **changes: Any) -> None:
        await self.runtime.create(self.unit(unit_id, **changes))
        await self.runtime.start(unit_id, command)

    def folder(self, unit_id: str = "r1") -> Path:
        return self.state / "routings" / unit_id

    def recorded(self, unit_id: str = "r1") -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder(unit_id) / "pid.json").read_text()))
        except FileNotFoundError:
            return {}

    def processes(self, unit_id: str = "r1") -> set[int]:
        return members(self.folder(unit_id), self.recorded(unit_id))

    async def seen(self, unit_id: str = "r1") -> Observed:
        return next(o for o in await self.runtime.observe() if o.routing == unit_id)

    async def state_is(self, state: str, unit_id: str = "r1") -> Observed:
        async def reached() -> Observed | None:
            seen = await self.seen(unit_id)
            return seen if seen.state == state else None

        return await until(reached)

    async def log(self, unit_id: str = "r1", **which: Any) -> list[str]:
        return [line.text async for line in self.runtime.logs(unit_id, **which)]

    async def says(self, text: str, unit_id: str = "r1") -> None:
        async def said() -> bool:
            return text in await self.log(unit_id, tail=50)

        await until(said)


async def until(probe: Callable[[], Any], limit: float = 10.0) -> Any:
    deadline = time.monotonic() + limit
    while not (answer := await probe()):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)
    return answer


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for seen in await made.runtime.observe():
        await made.runtime.remove(seen.routing)
    await made.runtime.close()


# --- ends -----------------------------------------------------------------------------------------------------------

STRAYS = """
(sleep 1001 & echo $! >> /home/work/pids)
(setsid env -i sleep 1002 & echo $! >> /home/work/pids)
(trap '' TERM; sleep 1003 & echo $! >> /home/work/pids)
"""


@pytest.mark.parametrize("how", ["it is stopped", "it ends", "it is removed"])
async def test_all_that_it_forked_ends_with_it(machine: Machine, how: str) -> None:
    last = "until [ -e /home/work/end ]; do sleep 0.05; done" if how == "it ends" else "sleep 1000"
    await machine.run(sh(f"{STRAYS} echo ready; {last}"))
    await machine.says("ready")
    strays = [int(line) for line in (machine.folder() / "home/pids").read_text().split()]
    assert len(strays) == 3
    assert all(alive(pid) for pid in strays)
    match how:
        case "it is stopped":
            await machine.runtime.stop("r1", 0.3)
        case "it ends":
            (machine.folder() / "home/end").touch()
            await machine.state_is("exited")
        case _:
            await machine.runtime.remove("r1")
    assert not [pid for pid in strays if alive(pid)]


async def test_workers_have_the_grace_that_their_parent_did_not_need(machine: Machine) -> None:
    worker = "trap 'sleep 0.3; echo finished; exit' TERM; echo ready; while :; do sleep 0.05; done"
    await machine.run(sh(f"({worker}) & wait"))
    await machine.says("ready")
    await machine.runtime.stop("r1", 10)
    assert "finished" in await machine.log()


async def test_a_death_is_told_at_once(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    events = machine.runtime.events()
    assert await anext(events) == ""
    began = time.monotonic()
    os.kill(machine.recorded()["main"]["pid"], signal.SIGKILL)
    assert await anext(events) == "r1"
    assert time.monotonic() - began < 0.2
    assert (await machine.seen()).exit_code == 137
    await events.aclose()  # type: ignore[attr-defined]


async def test_a_killed_supervisor_takes_its_command_along(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    recorded = machine.recorded()
    os.kill(recorded["supervisor"]["pid"], signal.SIGKILL)
    seen = await machine.state_is("exited")
    assert seen.exit_code is None

    async def gone() -> bool:
        return not alive(recorded["main"]["pid"])

    await until(gone)


async def test_a_stopped_process_is_paused(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    main = machine.recorded()["main"]["pid"]
    os.kill(main, signal.SIGSTOP)
    await machine.state_is("paused")
    began = time.monotonic()
    await machine.runtime.stop("r1", 10)
    assert time.monotonic() - began < 2


async def test_a_terminal_or_a_shutdown_does_not_end_the_supervisor(machine: Machine) -> None:
    await machine.run(sh("echo ready; exec sleep 1000"))
    supervisor = machine.recorded()["supervisor"]["pid"]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(supervisor, number)
    await machine.says("ready")
    assert (await machine.seen()).state == "running"
    assert os.getsid(supervisor) == supervisor != os.getsid(0)


# --- a daemon that is killed ----------------------------------------------------------------------------------------

DAEMON = """
import asyncio, sys
from pathlib import Path
from orchestrator.core.ports import Command, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.runtimes import host, open_runtime
from orchestrator.runtimes.process import ProcessRuntime

async def main(root, text):
    runtime = ProcessRuntime("test", Path(root) / "state")
    spec = RoutingSpec(model_name="m", model_folder=root, model_path="/models", model_mount="/models", port=8000,
                       command=("{port}",))
    print("begin", flush=True)
    while True:
        await runtime.create(Unit("r1", "svc", spec))
        await runtime.start("r1", Command(argv=("/bin/sh", "-c", text)))
        print("started", flush=True)
        if "again" not in text:
            await asyncio.sleep(100)

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


def daemon(root: Path, text: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(root), text], stdout=subprocess.PIPE, start_new_session=True
    )


async def test_what_ends_while_no_daemon_runs_is_known(machine: Machine, tmp_path: Path) -> None:
    with daemon(tmp_path, "until [ -e /home/work/end ]; do sleep 0.05; done; echo bye; exit 7") as first:
        assert first.stdout is not None
        assert await asyncio.to_thread(first.stdout.readline) == b"begin\n"
        assert await asyncio.to_thread(first.stdout.readline) == b"started\n"
        first.kill()
    (machine.folder() / "home/end").touch()
    seen = await machine.state_is("exited")
    assert seen.exit_code == 7
    assert await machine.log() == ["bye"]


@pytest.mark.parametrize("after", [0.0, 0.004, 0.011, 0.023, 0.035, 0.05])
async def test_killed_at_any_point_nothing_unknown_is_left(machine: Machine, tmp_path: Path, after: float) -> None:
    with daemon(tmp_path, "exec sleep 1004; again") as first:
        assert first.stdout is not None
        assert await asyncio.to_thread(first.stdout.readline) == b"begin\n"
        await asyncio.sleep(after)
        first.kill()
    for seen in await machine.runtime.observe():
        await machine.runtime.remove(seen.routing)

    async def gone() -> bool:
        return not members(machine.folder(), {})

    await until(gone)
    assert await machine.runtime.observe() == []


# --- what it writes -------------------------------------------------------------------------------------------------


async def test_a_flood_of_100_mb_stays_bounded(machine: Machine) -> None:
    await machine.run(sh("yes $(printf %0999d 0) | head -c 100000000; echo; echo the end"))
    seen = await until(lambda: _exited(machine), 60)
    assert seen.exit_code == 0
    assert sum(file.stat().st_size for file in machine.folder().glob("log*")) < 21 * 2**20
    assert (await machine.log(tail=1)) == ["the end"]


async def _exited(machine: Machine) -> Observed | None:
    seen = await machine.seen()
    return seen if seen.state == "exited" else None


async def test_a_followed_log_goes_on_over_rotations(machine: Machine) -> None:
    await machine.run(
        sh("echo begin; until [ -e /home/work/go ]; do sleep 0.05; done; yes 0123456789 | head -n 400000; echo end")
    )
    lines: list[LogLine] = []

    async def follow() -> None:
        async for line in machine.runtime.logs("r1", follow=True):
            lines.append(line)

    following = asyncio.create_task(follow())
    await machine.says("begin")
    (machine.folder() / "home/go").touch()
    await asyncio.wait_for(following, 30)
    assert (lines[0].text, lines[-1].text) == ("begin", "end")
    assert {line.text for line in lines[1:-1]} == {"0123456789"}


# --- ports ----------------------------------------------------------------------------------------------------------


async def test_ports_are_allocated_kept_and_never_shared(machine: Machine) -> None:
    created = await asyncio.gather(*(machine.runtime.create(machine.unit(f"r{i}")) for i in range(20)))
    ports = {c.port for c in created}
    assert len(ports) == 20
    later = await machine.again().create(machine.unit("late"))
    assert later.port not in ports
    assert {seen.port for seen in await machine.runtime.observe()} == ports | {later.port}


async def test_a_listener_counts_only_if_it_is_the_routings(machine: Machine) -> None:
    await machine.run(Command(argv=("sleep", "1000")))
    port = (await machine.seen()).port
    with socket.create_server(("127.0.0.1", port)):
        assert not await machine.runtime.owns_listener("r1", port)
    serving = await machine.runtime.create(machine.unit("r2"))
    await machine.runtime.start("r2", Command(text=f"python -m http.server --bind 127.0.0.1 {serving.port}"))
    await until(lambda: machine.runtime.owns_listener("r2", serving.port))
    assert not await machine.runtime.owns_listener("r1", serving.port)


async def test_a_fixed_port_that_is_taken_is_named(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as foreign:
        port = foreign.getsockname()[1]
        await machine.runtime.create(machine.unit(command=("serve", str(port)), port=port))
        with pytest.raises(RuntimeFailure, match=rf"port {port} is taken by process {os.getpid()} \(") as caught:
            await machine.runtime.start("r1", sh("exit"))
    assert caught.value.code == "port_taken"
    await machine.runtime.start("r1", sh(f"exec {sys.executable} -m http.server {port}"))
    assert (await machine.seen()).port == port
    await until(lambda: machine.runtime.owns_listener("r1", port))
    await machine.runtime.create(machine.unit("r2", command=("serve", str(port)), port=port))
    with pytest.raises(RuntimeFailure, match=f"port {port} is taken by the routing r1 of svc"):
        await machine.runtime.start("r2", sh("exit"))


# --- what it sees ---------------------------------------------------------------------------------------------------


async def test_the_environment_and_paths_of_a_routing(machine: Machine) -> None:
    (machine.model / "weights").write_text("")
    environ = {"BACKEND_MODEL_PATH": "/models", "GREETING": "hi /models"}
    created = await machine.runtime.create(machine.unit(environ=environ))
    shown = "import json, os, sys; print(json.dumps([dict(os.environ), sys.argv, sys.executable, os.getcwd()]))"
    script = machine.model / "show.py"
    script.write_text(shown)
    await machine.runtime.start("r1", Command(argv=("python", "/models/show.py", "/models/weights", "/home/work/x")))
    await machine.state_is("exited")
    seen, argv, executable, cwd = json.loads((await machine.log())[0])
    home = str(machine.folder() / "home")
    assert argv == [str(script), str(machine.model / "weights"), f"{home}/x"]
    assert (executable, cwd) == (sys.executable, str(machine.model))
    assert seen["BACKEND_MODEL_PATH"] == str(machine.model)
    assert (seen["GREETING"], seen["HOME"], seen["PORT"]) == ("hi /models", home, str(created.port))
    assert (seen["ORCHESTRATOR_ROUTING"], seen["CUDA_VISIBLE_DEVICES"]) == ("r1", "GPU-1,GPU-2")
    assert not {"PYTEST_CURRENT_TEST", "SHELL", "USER"} & set(seen)


async def test_a_string_runs_in_a_shell_with_its_words_translated(machine: Machine) -> None:
    (machine.model / "greeting").write_text("hello\n")
    await machine.run(Command(text="cat /models/greeting; cd /home/work && pwd"))
    await machine.state_is("exited")
    assert await machine.log() == ["hello", str(machine.folder() / "home")]


async def test_nothing_of_the_daemon_is_held_open(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_inheritable(listening.fileno(), True)
        await machine.run(sh("exec sleep 1000"))
        inode = Path(f"/proc/self/fd/{listening.fileno()}").readlink()
        held = {fd.readlink() for pid in machine.processes() for fd in Path(f"/proc/{pid}/fd").iterdir()}
        assert inode not in held


async def test_secrets_on_disk_are_the_owners_alone(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"), environ={"KEY": "secret"})
    holding = [file for file in machine.folder().rglob("*") if file.is_file() and b"secret" in file.read_bytes()]
    assert [(file.name, file.stat().st_mode & 0o777) for file in holding] == [("unit.json", 0o600)]


# --- what cannot be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (("./nothing-here",), "command_not_found"),
        (("/models/not-executable",), "permission"),
        (("/models/no-program",), "exec_format"),
        (("/models/no-interpreter",), "command_not_found"),
        (("/models",), "permission"),
        (("x" * 300,), "name_too_long"),
    ],
)
async def test_why_a_command_cannot_be_executed(machine: Machine, argv: tuple[str, ...], code: str) -> None:
    (machine.model / "not-executable").write_text("#!/bin/sh\n")
    for name, text in (("no-program", "neither\n"), ("no-interpreter", "#!/no/such\n")):
        (machine.model / name).write_text(text)
        (machine.model / name).chmod(0o755)
    await machine.runtime.create(machine.unit())
    with pytest.raises(RuntimeFailure) as caught:
        await machine.runtime.start("r1", Command(argv=argv))
    assert caught.value.code == code
    assert (await machine.state_is("exited")).exit_code == 127


async def test_a_working_directory_that_is_gone(machine: Machine) -> None:
    await machine.runtime.create(machine.unit(model_path="/models/gone"))
    with pytest.raises(RuntimeFailure, match="working directory"):
        await machine.runtime.start("r1", sh("exit"))


async def test_without_a_start_command_it_says_what_to_do(machine: Machine) -> None:
    await machine.runtime.create(machine.unit())
    with pytest.raises(RuntimeFailure, match="no start command"):
        await machine.runtime.start("r1", Command())


@pytest.mark.parametrize(
    "asked", [{"user": "1000"}, {"devices": ("/dev/kvm",)}, {"capabilities": ("SYS_ADMIN",)}, {"cluster_size": 2}]
)
async def test_what_only_a_container_grants_is_refused(machine: Machine, asked: dict[str, Any]) -> None:
    with pytest.raises(RuntimeFailure, match="does not grant") as caught:
        await machine.runtime.create(machine.unit(**asked))
    assert "Docker" in caught.value.hint
    assert await machine.runtime.observe() == []


async def test_it_runs_once(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    before = machine.recorded()
    with pytest.raises(RuntimeFailure, match="runs already"):
        await machine.runtime.start("r1", sh("exec sleep 1000"))
    assert machine.recorded() == before


async def test_a_torn_record_is_an_orphan_that_can_be_removed(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    (machine.folder() / "unit.json").write_text("{")
    seen = await machine.seen()
    assert (seen.service, seen.state) == ("", "running")
    await machine.runtime.remove("r1")
    assert await machine.runtime.observe() == []
    assert not machine.processes()


@pytest.mark.parametrize(
    "damage",
    [
        '{"supervisor": {"pid": -1, "start": 1, "boot": "b"}}',
        '{"supervisor": {"pid": 0, "start": 1, "boot": "b"}, "main": {"pid": true}}',
        '{"supervisor": {"pid": 4194305, "start": 1, "boot": "b"}}',
        '{"supervisor": "x", "main": [1]}',
        '{"supervisor": {"pid": "1/../1"}}',
        "[]",
    ],
)
def test_what_a_damaged_file_names_is_no_process(tmp_path: Path, damage: str) -> None:
    """Read only: a signal to -1 goes to every process that we may signal."""
    (tmp_path / "pid.json").write_text(damage)
    assert UnitFolder(tmp_path).recorded() == {}


@pytest.fixture
def bystander() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


async def test_damaged_files_of_one_routing_harm_nobody_else(
    machine: Machine, bystander: subprocess.Popen[bytes]
) -> None:
    """The routing runs as our own user and can write them."""
    await machine.run(sh("exec sleep 1000"), "other")
    await machine.run(sh("exec sleep 1000"))
    await machine.seen()  # it is followed from now on
    stranger = {"pid": bystander.pid, "start": 1, "boot": "b"}
    (machine.folder() / "pid.json").write_text(json.dumps({"supervisor": stranger, "main": "x"}))
    (machine.folder() / "exit.json").write_text('{"code": "x"}')
    torn = json.loads((machine.folder() / "unit.json").read_text())
    (machine.folder() / "unit.json").write_text(json.dumps(torn | {"id": "other", "port": "x"}))
    assert {seen.routing for seen in await machine.runtime.observe()} == {"r1", "other"}
    await machine.runtime.remove("r1")
    assert not machine.processes()
    assert (await machine.seen("other")).state == "running"
    assert bystander.poll() is None


# --- which runtime, and what the machine has ------------------------------------------------------------------------


async def test_auto_takes_local_processes_where_no_engine_answers(tmp_path: Path, free_port: Callable[[], int]) -> None:
    settings = Settings(runtime="auto", docker=DockerSettings(host=f"tcp://127.0.0.1:{free_port()}"))
    runtime, why = await open_runtime(settings, "test", tmp_path)
    assert runtime.name == "process"
    assert "no Docker Engine answers" in why
    await runtime.close()


@pytest.mark.parametrize(
    ("script", "devices"),
    [
        ("echo GPU-1; echo GPU-2", ("GPU-1", "GPU-2")),
        ("echo 'No devices were found'; exit 6", ()),
        ("exec sleep 1009", ()),
    ],
)
async def test_accelerators_are_what_their_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, devices: tuple[str, ...]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(host, "NVIDIA_LIMIT", 0.5)
    capacity = await host.host_capacity()
    assert capacity.devices == devices
    assert capacity.slots["cuda.device"] == len(devices)


# --- commands that somebody runs beside it --------------------------------------------------------------------------


async def said(machine: Machine, text: str, **how: Any) -> str:
    execution = await machine.runtime.execute("r1", Invocation(("/bin/sh", "-c", text), **how))
    try:
        return b"".join([data async for _, data in execution.output()]).decode()
    finally:
        await execution.close()


async def test_a_command_sees_what_the_routing_sees(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"), environ={"GREETING": "hello", "DATA": "/models/data"})
    told = (await said(machine, "pwd; echo $GREETING $DATA $EXTRA; ls -d /models", environ={"EXTRA": "more"})).split()
    assert told == [str(machine.model), "hello", f"{machine.model}/data", "more", str(machine.model)]
    assert (await said(machine, "pwd", folder="/home/work")).strip().endswith("/r1/home")
    sized = await said(machine, "stty size; tty; trap '' INT; echo $TERM", tty=True, size=(132, 43))
    assert sized.split()[:2] == ["43", "132"]
    assert sized.split()[2].startswith("/dev/pts/")
    for how, code in (({"user": "root"}, "unsupported"), ({"folder": "/nowhere"}, "not_found")):
        with pytest.raises(RuntimeFailure) as caught:
            await said(machine, "true", **how)
        assert caught.value.code == code


async def test_what_a_terminal_said_is_read_although_its_end_was_seen_first() -> None:
    ends = Terminal((80, 24))
    os.write(ends.theirs[0], b"told")
    ends.handed()
    await ends.open()
    ((_, reader),) = ends.readers

    async def ended() -> bool:
        return reader._eof or reader.exception() is not None

    await until(ended)
    assert await reader.read() == b"told"
    ends.close()


async def test_a_commands_background_does_not_hold_it_up_and_ends_with_it(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    began = time.monotonic()
    assert await said(machine, "sleep 4321 & echo done") == "done\n"
    assert time.monotonic() - began < 5
    assert not [one for one in Path("/proc").glob("[0-9]*/cmdline") if b"4321" in _bytes(one)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_commands_that_take_their_time_to_end_hold_up_nobody(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    stubborn = Invocation(("/bin/sh", "-c", "trap '' TERM; echo on; while :; do sleep 1000; done"))
    several = [await machine.runtime.execute("r1", stubborn) for _ in range(40)]
    for one in several:
        assert await anext(aiter(one.output()))
    ending = asyncio.gather(*(one.close() for one in several))
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await asyncio.to_thread(lambda: None)
    assert time.monotonic() - began < 1, "all threads wait"
    await ending
    assert {await one.wait() for one in several} == {137}


async def test_commands_end_with_their_routing(machine: Machine) -> None:
    await machine.run(sh("exec sleep 1000"))
    execution = await machine.runtime.execute("r1", Invocation(("sleep", "1000")))
    await machine.runtime.stop("r1", 1)
    assert [data async for _, data in execution.output()] == []
    assert await execution.wait() == 137
    await execution.close()
