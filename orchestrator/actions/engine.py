"""Runs the pre-start actions of one routing in order, between its creation and its start command.

A newcomer's action is: its model in `core.definition`, one file with `async def run(args, context) -> Result`, one
line in `ACTIONS`, one row in tests/integration/test_actions_table.py (and, where it has a result, one line in
`core.templates.RESULTS`).
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from orchestrator.actions import log, mkdir, run_command, write_file, write_tempfile
from orchestrator.actions.context import ActionError, Context, Result
from orchestrator.core.definition import Action, RunCommand
from orchestrator.core.errors import OrchestratorError, RuntimeFailure
from orchestrator.core.masking import mask
from orchestrator.core.ports import CommandTimeout, Sandbox
from orchestrator.core.state import Failure
from orchestrator.core.templates import render_action

ACTIONS: Mapping[str, Callable[[Any, Context], Awaitable[Result]]] = {
    "write_file": write_file.run,
    "write_tempfile": write_tempfile.run,
    "run_command": run_command.run,
    "mkdir": mkdir.run,
    "log": log.run,
}

ENDING = 15.0
"""Seconds that a sandbox has beyond the action's own timeout to end a command's processes."""
TAIL = 64 * 1024
"""Characters of any text in an event."""
TAIL_LINES = 50
SAID = 160
"""Characters of what an action did, in its event's cause."""


@dataclass(frozen=True, slots=True)
class ActionEvent:
    """One action has begun or ended; its kind in the event log is `action.<state>`. Everything in it is masked.

    `index` counts from 0, as in the definition's key paths; `duration` in seconds; `detail` is what it did (`path`,
    `command`, `out`, `err`, `exit_code`, `message`); `cause` says why it failed, else in one line what it did.
    """

    index: int
    name: str
    state: Literal["started", "finished", "failed"]
    duration: float = 0.0
    detail: Mapping[str, object] = field(default_factory=dict)
    cause: str = ""


class ActionFailed(OrchestratorError):
    """An action failed, and so does the start. `code`: action_failed or action_timeout. Everything in it is masked."""

    code = "action_failed"

    def __init__(
        self,
        index: int,
        name: str,
        reason: str,
        *,
        hint: str = "",
        code: str = "action_failed",
        exit_code: int | None = None,
        tail: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"cannot run {_place(index, name)}: {reason}", hint=hint, code=code)
        self.index, self.name, self.exit_code, self.tail = index, name, exit_code, tail

    def failure(self, at: float) -> Failure:
        """What the routing's record keeps; `at` in seconds of the steady clock."""
        return Failure(self.code, self.message, at, hint=self.hint, exit_code=self.exit_code, log_tail=self.tail)


Emit = Callable[[ActionEvent], Awaitable[None]]


async def run_actions(
    actions: Sequence[Action],
    sandbox: Sandbox,
    values: Mapping[str, str],
    emit: Emit,
    secrets: Collection[str] = (),
    *,
    temp_dir: str = "/home/work/.tmp",
) -> Mapping[str, str]:
    """Run all; the keys of their refs with what these stand for (lay them over `values` to render the start command).

    `values` has the built-in keys (core.templates.BUILT_IN). `temp_dir` is where write_tempfile writes, as the start
    command will see it. Raises ActionFailed at the first that fails, Unavailable when the engine goes away.
    Cancelled, it ends what runs.
    """
    refs: dict[str, str] = {}
    for index, action in enumerate(actions):
        context = Context(sandbox, action.timeout, temp_dir)
        result = await _one(index, render_action(action, {**values, **refs}), context, emit, secrets)
        if action.ref:
            refs |= {action.ref + suffix: value for suffix, value in result.items()}
    return refs


async def _one(index: int, action: Action, context: Context, emit: Emit, secrets: Collection[str]) -> Mapping[str, str]:
    """Run one action between its two events."""
    loop = asyncio.get_running_loop()
    await emit(ActionEvent(index, action.action, "started", cause=_place(index, action.action)))
    began = loop.time()
    detail: Mapping[str, object] = {}
    try:
        async with asyncio.timeout(_limit(action)):
            result = await ACTIONS[action.action](action.args, context)
            detail = _masked(result.detail, secrets)
            if result.log:
                await context.sandbox.log(mask(result.log, secrets).removesuffix("\n"))
        if result.failed:
            raise result.failed
    except (OrchestratorError, TimeoutError) as error:
        failed = _translated(index, action, error, secrets)
        if isinstance(error, CommandTimeout):
            detail = _masked({"out": error.out, "err": error.err}, secrets)
        await emit(ActionEvent(index, action.action, "failed", loop.time() - began, detail, failed.message))
        raise failed from None
    took = loop.time() - began
    said = f"{_place(index, action.action)} took {took:.2f} s{_did(detail)}"
    await emit(ActionEvent(index, action.action, "finished", took, detail, said))
    return result.values


def _place(index: int, name: str) -> str:
    return f"pre_start_actions[{index}] ({name})"


def _did(detail: Mapping[str, object]) -> str:
    """In one line, from masked detail: the command with its exit code, the path, the message."""
    match detail:
        case {"command": list(argv), "exit_code": code}:
            text = f"exit code {code}: {shlex.join(map(str, argv))}"
        case {"path": text} | {"message": text}:
            pass
        case _:
            return ""
    first, *more = str(text).splitlines() or [""]
    return f": {first[:SAID]}{' …' if more or len(first) > SAID else ''}"


def _limit(action: Action) -> float:
    """Seconds. `Sandbox.run` keeps the action's time itself, so that it can end the processes."""
    return action.timeout + (ENDING if isinstance(action, RunCommand) else 0)


def _translated(
    index: int, action: Action, error: OrchestratorError | TimeoutError, secrets: Collection[str]
) -> OrchestratorError:
    """What fails the start. An engine that does not answer is no failure of the action: it stays what it is."""
    tail: tuple[str, ...] = ()
    exit_code = None
    match error:
        case TimeoutError():
            reason = f"it had not ended after {action.timeout:g} s"
            hint, code = "raise the action's `timeout`, or find out what it waits for", "action_timeout"
            if isinstance(error, CommandTimeout):
                tail = _tail(error.out + error.err, secrets)
        case ActionError() | RuntimeFailure():
            reason, hint, code = mask(error.message, secrets), mask(error.hint, secrets), "action_failed"
            if isinstance(error, ActionError) and error.ran:
                exit_code, tail = error.ran.exit_code, _tail(error.ran.out + error.ran.err, secrets)
        case _:
            return error
    return ActionFailed(index, action.action, reason, hint=hint, code=code, exit_code=exit_code, tail=tail)


def _tail(text: str, secrets: Collection[str]) -> tuple[str, ...]:
    return tuple(mask(text, secrets).splitlines()[-TAIL_LINES:])


def _masked(detail: Mapping[str, object], secrets: Collection[str]) -> Mapping[str, object]:
    def hide(value: object) -> object:
        match value:
            case str():
                return mask(value, secrets)[-TAIL:]
            case list():
                return [hide(item) for item in value]
            case _:
                return value

    return {key: hide(value) for key, value in detail.items()}
