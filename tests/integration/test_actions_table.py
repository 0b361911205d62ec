"""Every pre-start action, as a definition asks for it, in real local folders: what it leaves, its events, its result.

A new action adds its rows to `FINISHES` and `FAILS`.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from orchestrator.actions import ActionEvent, ActionFailed, run_actions
from orchestrator.actions.engine import ACTIONS
from orchestrator.core.definition import Action
from orchestrator.core.errors import Unavailable
from orchestrator.core.ports import Sandbox, Unit
from orchestrator.core.spec import RoutingSpec
from orchestrator.core.templates import RESULTS
from orchestrator.runtimes.memory import MemoryRuntime, MemorySandbox
from orchestrator.runtimes.process import ProcessRuntime

VALUES = {"model_path": "/models", "port": "8000", "ports[0]": "8000", "routing_id": "r1", "service_name": "svc"}
SPEC = RoutingSpec(model_name="m", model_folder="/nowhere", model_path="/models", model_mount="/models", port=8000)


def act(name: str, *, ref: str | None = None, timeout: float = 20.0, **args: Any) -> Action:
    action: Action = TypeAdapter(Action).validate_python({"action": name, "ref": ref, "timeout": timeout, "args": args})
    return action


def sh(script: str, **more: Any) -> Action:
    return act("run_command", command=("/bin/sh", "-c", script), **more)


@dataclass
class Inside:
    """One local routing and what its actions told."""

    runtime: ProcessRuntime
    folder: Path
    events: list[ActionEvent] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox:
        return self.runtime.sandbox("r1")

    @property
    def home(self) -> Path:
        return self.folder / "state/routings/r1/home"

    async def emit(self, event: ActionEvent) -> None:
        self.events.append(event)

    async def run(self, *actions: Action, secrets: Sequence[str] = ()) -> Mapping[str, str]:
        return await run_actions(actions, self.sandbox, VALUES, self.emit, secrets)

    async def log(self) -> list[str]:
        return [line.text async for line in self.runtime.logs("r1")]


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    (tmp_path / "model").mkdir()
    runtime = ProcessRuntime("test", tmp_path / "state")
    await runtime.create(Unit("r1", "svc", SPEC.model_copy(update={"model_folder": str(tmp_path / "model")})))
    yield Inside(runtime, tmp_path)
    await runtime.remove("r1")
    await runtime.close()


FINISHES: dict[str, tuple[list[Action], dict[str, bytes], dict[str, object]]] = {
    "each item is a line": (
        [act("write_file", filename="f", body=("a", "", "b {port}"))],
        {"f": b"a\n\nb 8000\n"},
        {"path": "f", "bytes": 10, "append": False},
    ),
    "a string is written as it is": ([act("write_file", filename="f", body="a\r\nb")], {"f": b"a\r\nb"}, {}),
    "no items, no lines": ([act("write_file", filename="f", body=())], {"f": b""}, {}),
    "append": (
        [act("write_file", filename="f", body="a"), act("write_file", filename="f", body=("b",), append=True)],
        {"f": b"ab\n"},
        {"append": True},
    ),
    "the same twice is the same": ([act("write_file", filename="f", body="a")] * 2, {"f": b"a"}, {}),
    "templates in file names": (
        [act("write_file", filename="{service_name}/{routing_id}.json", body="{}")],
        {"svc/r1.json": b"{}"},
        {},
    ),
    "Backend.AI's braces": ([act("write_file", filename="f", body='{{"port": {port}}}')], {"f": b'{"port": 8000}'}, {}),
    "folders": (
        [act("mkdir", path="a/b"), act("mkdir", path="a/b/"), act("write_file", filename="a/b/f", body="x")],
        {"a/b/f": b"x"},
        {},
    ),
    "a file's path as reference": (
        [act("write_tempfile", ref="cfg", body=("print(1 + 1)",)), sh("python3 {cfg} > out")],
        {"out": b"2\n"},
        {"exit_code": 0},
    ),
    "results as references": (
        [
            sh("echo ' out '; echo err >&2; exit 3", ref="probe", check=False),
            act("write_file", filename="f", body="<{probe[out]}|{probe[err]}|{probe[exit_code]}>"),
        ],
        {"f": b"< out |err|3>"},
        {},
    ),
    "only one newline is dropped": (
        [sh("printf 'a\\n\\n'", ref="p"), act("write_file", filename="f", body="{p[out]}|")],
        {"f": b"a\n|"},
        {},
    ),
    "what cannot be found has an exit status": (
        [
            act("run_command", ref="p", command=("no-such",), check=False),
            act("write_file", filename="f", body="{p[exit_code]}"),
        ],
        {"f": b"127"},
        {},
    ),
    "out, err and exit code": ([sh("echo a; echo b >&2")], {}, {"out": "a\n", "err": "b\n", "exit_code": 0}),
    "the last 64 KiB": ([sh("head -c 100000 /dev/zero | tr '\\0' x; echo end")], {}, {"out": "x" * 65532 + "end\n"}),
    "a message": ([act("log", message="on {port} ☃")], {}, {"message": "on 8000 ☃", "level": "info"}),
    "a message for few": ([act("log", message="x", debug=True)], {}, {"message": "x", "level": "debug"}),
}


@pytest.mark.parametrize(("actions", "files", "detail"), FINISHES.values(), ids=FINISHES.keys())
async def test_finishes(
    inside: Inside, actions: list[Action], files: dict[str, bytes], detail: dict[str, object]
) -> None:
    await inside.run(*actions)
    assert {name: (inside.home / name).read_bytes() for name in files} == files
    assert [(e.index, e.name, e.state) for e in inside.events] == [
        (index, action.action, state) for index, action in enumerate(actions) for state in ("started", "finished")
    ]
    last = inside.events[-1]
    assert last.duration > 0
    assert {key: last.detail[key] for key in detail} == detail


FAILS: dict[str, tuple[list[Action], str, str]] = {
    "status": ([sh("exit 3")], "ended with exit status 3", "check: false"),
    "no command": ([act("run_command", command=("no-such",))], "no such command", ""),
    "NUL in an argument": (
        [sh("printf 'a\\000b'", ref="p"), act("run_command", command=("echo", "{p[out]}"))],
        "NUL",
        "",
    ),
    "path upwards": ([act("write_file", filename="a/../../f", body="")], "`..`", ""),
    "path upwards by a reference": (
        [sh("echo ../f", ref="p"), act("write_file", filename="{p[out]}", body="")],
        "`..`",
        "",
    ),
    "folder upwards": ([act("mkdir", path="../x")], "`..`", ""),
    "no name": ([sh("true", ref="p"), act("write_file", filename="{p[out]}", body="")], "it is empty", ""),
    "a folder's name": (
        [sh("echo a/", ref="p"), act("write_file", filename="{p[out]}", body="")],
        "names a folder",
        "",
    ),
    "folder in the way": ([act("mkdir", path="f"), act("write_file", filename="f", body="")], "irectory", ""),
    "file in the way": ([act("write_file", filename="f", body=""), act("mkdir", path="f")], "exists", ""),
    "too slow": ([sh("echo begun; sleep 60", timeout=0.5)], "had not ended after 0.5 s", "timeout"),
}


@pytest.mark.parametrize(("actions", "words", "hint"), FAILS.values(), ids=FAILS.keys())
async def test_fails(inside: Inside, actions: list[Action], words: str, hint: str) -> None:
    with pytest.raises(ActionFailed) as caught:
        await inside.run(*actions, act("write_file", filename="never", body=""))
    failed, index = caught.value, len(actions) - 1
    assert (failed.index, failed.name) == (index, actions[-1].action)
    assert failed.message.startswith(f"cannot run pre_start_actions[{index}] ({actions[-1].action}): ")
    assert words in failed.message
    assert hint in failed.hint
    assert (inside.events[-1].state, inside.events[-1].cause) == ("failed", failed.message)
    assert not (inside.home / "never").exists()


async def test_a_failed_command_is_recorded_with_what_it_printed(inside: Inside) -> None:
    with pytest.raises(ActionFailed) as caught:
        await inside.run(sh("seq 100; echo oh no >&2; exit 7"))
    failure = caught.value.failure(at=5.0)
    assert (failure.code, failure.exit_code, failure.at) == ("action_failed", 7, 5.0)
    assert failure.log_tail == (*(str(n) for n in range(52, 101)), "oh no")
    assert inside.events[-1].detail["exit_code"] == 7


async def test_a_command_that_is_cut_off_is_recorded_with_what_it_printed(inside: Inside) -> None:
    with pytest.raises(ActionFailed) as caught:
        await inside.run(sh("echo begun; sleep 60", timeout=0.5))
    assert (caught.value.code, caught.value.failure(0).log_tail) == ("action_timeout", ("begun",))
    assert inside.events[-1].detail["out"] == "begun\n"


async def test_the_log_has_messages_and_what_is_echoed(inside: Inside) -> None:
    await inside.run(act("log", message="hello\nworld"), sh("echo quiet"), sh("echo loud; echo err >&2", echo=True))
    assert await inside.log() == ["hello", "world", "loud", "err"]


async def test_a_failed_command_echoes_too(inside: Inside) -> None:
    with pytest.raises(ActionFailed):
        await inside.run(sh("echo before the end; exit 1", echo=True))
    assert await inside.log() == ["before the end"]


async def test_mode_and_temporary_files(inside: Inside) -> None:
    refs = await inside.run(
        act("write_file", filename="secret", body="x", mode=0o600),
        act("write_tempfile", ref="a", body="", mode=0o700),
        act("write_tempfile", ref="b", body=("",)),
        act("mkdir", path="d", ref="nothing"),
    )
    assert (inside.home / "secret").stat().st_mode & 0o777 == 0o600
    assert refs.keys() == {"a", "b"}
    assert refs["a"] != refs["b"]
    assert all(path.startswith("/home/work/.tmp/") and path.endswith(".py") for path in refs.values())
    made = [inside.home / path.removeprefix("/home/work/") for path in refs.values()]
    assert [(p.read_bytes(), p.stat().st_mode & 0o777) for p in made] == [(b"", 0o700), (b"\n", 0o644)]


async def test_values_of_secrets_leave_nowhere(inside: Inside) -> None:
    secret = "hunter-22-is-secret"
    with pytest.raises(ActionFailed) as caught:
        await inside.run(
            act("log", message=f"token {secret}"),
            act("write_file", filename=f"{secret}.txt", body=secret),
            sh(f"echo {secret}; echo {secret} >&2", ref="p", echo=True),
            act("write_file", filename="kept", body="{p[out]}"),
            sh(f"echo {secret}; exit 1"),
            secrets=[secret],
        )
    told = (inside.events, caught.value.failure(0), caught.value.args, await inside.log())
    assert secret not in repr(told)
    assert "token ***" in repr(told)
    assert (inside.home / "kept").read_text() == secret, "only what is told is masked, not what is done"


async def test_each_event_says_in_one_line_what_it_is_about(inside: Inside) -> None:
    await inside.run(act("mkdir", path="d"), sh("exit 3", check=False), act("log", message="a" * 200 + "\nb"))
    told = [re.sub(r"took \d+\.\d\d s", "took T", event.cause) for event in inside.events]
    assert told == [
        "pre_start_actions[0] (mkdir)",
        "pre_start_actions[0] (mkdir) took T: d",
        "pre_start_actions[1] (run_command)",
        "pre_start_actions[1] (run_command) took T: exit code 3: /bin/sh -c 'exit 3'",
        "pre_start_actions[2] (log)",
        f"pre_start_actions[2] (log) took T: {'a' * 160} …",
    ]


async def test_cancelled_actions_leave_no_process(inside: Inside) -> None:
    task = asyncio.create_task(inside.run(sh("(while :; do date +%s%N > beat; sleep 0.05; done) & wait")))
    deadline = time.monotonic() + 10
    while not (inside.home / "beat").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = (inside.home / "beat").read_text()
    await asyncio.sleep(0.2)
    assert (inside.home / "beat").read_text() == last
    assert [e.state for e in inside.events] == ["started"]


async def test_a_lost_engine_is_no_failure_of_the_action() -> None:
    runtime = MemoryRuntime("test")
    await runtime.create(Unit("r1", "svc", SPEC))

    class Lost(MemorySandbox):
        """The same, but for an engine that is gone."""

        async def write(self, *_: object, **__: object) -> None:
            raise Unavailable("cannot reach the engine")

    events: list[ActionEvent] = []

    async def emit(event: ActionEvent) -> None:
        events.append(event)

    with pytest.raises(Unavailable):
        await run_actions(
            [act("write_file", filename="f", body="")],
            Lost(runtime.engine, runtime.engine.members["test", "r1"]),
            VALUES,
            emit,
        )
    assert events[-1].state == "failed"
    await runtime.close()


def test_every_action_of_the_model_is_in_the_table_and_tested() -> None:
    kinds = {get_args(model.model_fields["action"].annotation)[0] for model in get_args(get_args(Action)[0])}
    assert kinds == ACTIONS.keys()
    assert RESULTS.keys() <= kinds
    assert kinds == {action.action for actions, _, _ in FINISHES.values() for action in actions}
